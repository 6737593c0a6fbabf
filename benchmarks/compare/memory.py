"""Peak anonymous memory of `analyze` on large safetensors layers: one layer, and twelve of them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _floors import Floors, quick_flag

LIMIT_GB = 2.0


def write(path: Path, layers: int, shape: tuple[int, int], zeros: bool = False) -> None:
    """A safetensors file of float32 normal layers; with `zeros`, one weight in 64 rows is 0."""
    size = 4 * shape[0] * shape[1]
    header = {
        f"layers.{k}.weight": {
            "dtype": "F32", "shape": list(shape), "data_offsets": [k * size, (k + 1) * size]
        }
        for k in range(layers)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the format's own writer does, so that data are aligned
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(layers):
            for _ in range(shape[0] // 64):
                block = rng.standard_normal((64, shape[1])).astype(np.float32)
                block[0, 0] *= not zeros
                file.write(block.tobytes())


def peak_anonymous_gb(path: Path) -> tuple[float, float]:
    """Peak anonymous memory of a fresh process that analyses `path`, and its seconds."""
    code = f"import nngraph as ng; print(ng.analyze(ng.load({str(path)!r})))"
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while child.poll() is None:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("RssAnon"):
                    peak = max(peak, int(line.split()[1]))
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    code_out = child.wait()
    thread.join()
    if code_out:
        raise SystemExit(f"analyze failed with exit code {code_out}")
    return peak / 1e6, time.perf_counter() - start


def main() -> None:
    quick = quick_flag(__doc__)
    shape = (1024, 2752) if quick else (4096, 11008)
    floors = Floors()
    with tempfile.TemporaryDirectory() as folder:
        peaks = {}
        for layers, zeros in ((1, False), (1, True), (12, False)):
            path = Path(folder) / "layers.safetensors"
            write(path, layers, shape, zeros)
            peaks[layers, zeros], seconds = peak_anonymous_gb(path)
            floors.at_most(
                f"{layers} x {shape[0]} x {shape[1]}{', some zeros' * zeros}: peak, GB",
                peaks[layers, zeros], LIMIT_GB, f"{seconds:.1f} s",
            )
            path.unlink()
    ratio = peaks[12, False] / peaks[1, False]
    floors.at_most("peak of twelve layers / peak of one", ratio, 1.1)
    floors.finish()


if __name__ == "__main__":
    main()
