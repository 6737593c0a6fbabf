"""What starting costs: `import nngraph` against `import numpy`, and the shell on a ResNet-20.

The layers have ResNet-20's shapes with random weights, or are the real ones where NNGRAPH_DATA is
set.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _floors import Floors, quick_flag

WIDTHS = (16, 32, 64)


def cpu_seconds(command: list[str]) -> float:
    """CPU time, user and system, of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def least(commands: list[list[str]], repeats: int) -> list[float]:
    """Least CPU time of each command, interleaved."""
    best = [float("inf")] * len(commands)
    for _ in range(repeats):
        for k, command in enumerate(commands):
            best[k] = min(best[k], cpu_seconds(command))
    return best


def resnet20(folder: Path) -> str:
    """A file with ResNet-20's layers."""
    real = Path(os.environ.get("NNGRAPH_DATA", "")) / "resnet_cifar10" / "resnet20.npz"
    if real.is_file():
        return str(real)
    rng = np.random.default_rng(0)
    layers = {"conv1.weight": (16, 3, 3, 3), "linear.weight": (10, 64)}
    for stage, width in enumerate(WIDTHS):
        for block in range(3):
            narrow = WIDTHS[max(stage - 1, 0)] if block == 0 else width
            layers[f"layer{stage + 1}.{block}.conv1.weight"] = (width, narrow, 3, 3)
            layers[f"layer{stage + 1}.{block}.conv2.weight"] = (width, width, 3, 3)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in layers.items()}
    path = folder / "resnet20.npz"
    np.savez(path, **arrays)
    return str(path)


def main() -> None:
    quick = quick_flag(__doc__)
    repeats = 5 if quick else 15
    floors = Floors()
    python = sys.executable
    numpy, ours = least([[python, "-c", "import numpy"], [python, "-c", "import nngraph"]], repeats)
    floors.at_most("import nngraph / import numpy (CPU)", ours / numpy, 2.0, f"{1e3 * ours:.0f} ms")

    with tempfile.TemporaryDirectory() as folder:
        path = resnet20(Path(folder))
        shell = [python, "-m", "nngraph.cli", "analyze", path]
        listing = (
            "import sys; from nngraph.cli import main\n"
            f"sys.argv = ['nngraph', 'analyze', {path!r}]\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print('MODULES', *[m for m in sys.modules if not m.startswith('__main')])"
        )
        out = subprocess.run([python, "-c", listing], check=True, capture_output=True, text=True)
        needed = out.stdout.split("MODULES", 1)[1].split()
        importing = [python, "-c", (
            "import importlib\n"
            f"for name in {needed!r}:\n"
            "    try: importlib.import_module(name)\n"
            "    except Exception: pass"
        )]
        imports, whole = least([importing, shell], repeats)
    floors.at_most(
        "nngraph analyze ResNet-20 / starting and importing (CPU)", whole / imports, 1.5,
        f"{1e3 * whole:.0f} ms",
    )
    floors.finish()


if __name__ == "__main__":
    main()
