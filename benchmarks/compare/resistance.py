"""Effective resistance: exact, against the time of its flops as plain products, and against peers.

The limit of a layer with sides p >= q is the time of 3 p q^2 + q^3 flops as matrix products of just
these shapes. BLAS runs on one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from _floors import Floors, best_times, quick_flag
from scipy.linalg.blas import dgemm

import nngraph as ng
from nngraph.parallel import single_blas_thread

VGG16 = [
    (64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304), (256, 2304),
    (512, 2304), (512, 4608), (512, 4608), (512, 4608), (512, 4608), (512, 4608), (10, 512),
]  # fmt: skip
BIG = (4096, 11008)


def layer(shape: tuple[int, int], seed: int = 0) -> ng.LayerGraph:
    """A complete layer of |N(0, 1)| weights."""
    weights = np.abs(np.random.default_rng(seed).standard_normal(shape))
    return ng.LayerGraph(np.maximum(weights, 1e-12))


def limit(shape: tuple[int, int], part: int = 1):
    """A function that does the products of 3 p q^2 + q^3 flops, or one of `part` equal parts."""
    p, q = max(shape), min(shape)
    rng = np.random.default_rng(1)
    # q x q times q x n has 2 q^2 n flops.
    widths = [-(-p // (2 * part))] * 3 + [-(-q // (2 * part))]
    square, *sides = (np.asfortranarray(rng.normal(size=(q, n))) for n in (q, *widths))
    outs = [np.zeros_like(side) for side in sides]

    def run() -> None:
        for side, out in zip(sides, outs, strict=True):
            dgemm(1.0, square, side, c=out, overwrite_c=1)

    return run


def against_the_limit(floors: Floors, shapes: list, name: str, bound: float, repeats: int) -> float:
    """One floor: our time for all layers over their limit. Returns our time."""
    graphs = [layer(shape, k) for k, shape in enumerate(shapes)]
    runs = [limit(shape) for shape in shapes]
    ours, products = best_times(
        [lambda: [ng.effective_resistance(g) for g in graphs], lambda: [run() for run in runs]],
        repeats,
    )
    floors.at_most(f"{name}: exact / limit", ours / products, bound, f"{1e3 * ours:.2f} ms")
    return ours


def against_networkx(floors: Floors, shape: tuple[int, int]) -> None:
    """networkx computes all pairs; building its graph is not counted."""
    import networkx as nx

    graph = layer(shape)
    G = ng.to_networkx(graph)
    start = time.perf_counter()
    pairs = nx.resistance_distance(G, weight="weight", invert_weight=False)
    theirs = time.perf_counter() - start
    expected = np.array([pairs[graph.n_in + i][j] for i, j in zip(*graph.edges(), strict=True)])
    difference = np.abs(ng.effective_resistance(graph)[:] / expected - 1).max()
    (ours,) = best_times([lambda: ng.effective_resistance(graph)], 20)
    floors.at_least(
        f"{shape[0]} x {shape[1]}: networkx / exact", theirs / ours, 600,
        f"{theirs:.2f} s; values differ by {difference:.0e}",
    )  # fmt: skip


def against_pinv(shape: tuple[int, int]) -> None:
    """NumPy's pseudo-inverse of the whole Laplacian, for the record."""
    graph = layer(shape)
    laplacian = ng.laplacian(graph).toarray()

    def pinv() -> np.ndarray:
        inverse = np.linalg.pinv(laplacian, hermitian=True)
        return inverse.diagonal()[:, None] + inverse.diagonal() - 2 * inverse

    ours, theirs = best_times([lambda: ng.effective_resistance(graph), pinv], 3)
    print(f"{shape[0]} x {shape[1]}: numpy pinv takes {theirs / ours:.0f} times as long")


def accuracy(floors: Floors) -> None:
    """Largest relative error against mpmath, in units of 1e-12, over ill-conditioned layers."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from reference import exact_resistances

    rng = np.random.default_rng(0)
    blocks = np.zeros((14, 9))
    blocks[:7, :5], blocks[7:, 5:] = (np.abs(rng.normal(size=s)) for s in ((7, 5), (7, 4)))
    row = np.abs(rng.normal(size=(14, 9)))
    row[3], row[:, 2] = row[3] * 1e-12, row[:, 2] * 1e-12
    cases = {
        "Gaussian": np.abs(rng.normal(size=(14, 9))),
        "log-uniform 1e-12 to 1": 10 ** rng.uniform(-12, 0, (14, 9)),
        "one row and one column x 1e-12": row,
        "clusters, link 1e-10": blocks + 1e-10 * (np.arange(126) == 8).reshape(14, 9),
        "clusters, link 1e-15": blocks + 1e-15 * (np.arange(126) == 8).reshape(14, 9),
    }
    for name, weights in cases.items():
        found = ng.effective_resistance(ng.LayerGraph(weights)).tocsr()
        exact = exact_resistances(weights, 80)[found.nonzero()]
        error = np.abs(found.data / exact - 1).max()
        floors.at_most(f"{name}: relative error / 1e-12", error / 1e-12, 1.0, f"{error:.1e}")


CHILD = """
import numpy as np, nngraph as ng
weights = np.random.default_rng(0).standard_normal({shape}, dtype=np.float32)
np.abs(weights, out=weights)
weights.flags.writeable = False
graph = ng.LayerGraph(weights)
print("ready", flush=True)
input()
ng.effective_resistance(graph)
"""


def peak_memory(floors: Floors, shape: tuple[int, int], bound: float) -> None:
    """Highest anonymous resident memory of a process that holds the layer and computes."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(shape=shape)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    child.stdout.readline()
    peak = 0

    def watch() -> None:
        nonlocal peak
        while child.poll() is None:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
            except OSError:
                return
            sizes = [int(x.split()[1]) for x in status.splitlines() if x.startswith("RssAnon")]
            peak = max([peak, *sizes])
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    child.communicate("\n")
    thread.join()
    if child.returncode:
        raise SystemExit("the process whose memory was measured failed")
    floors.at_most(f"{shape[0]} x {shape[1]}: peak anonymous memory, GB", peak / 1e6, bound)


def main() -> None:
    quick = quick_flag(__doc__)
    floors = Floors()
    with single_blas_thread():
        against_the_limit(floors, [(1024, 4096)], "1024 x 4096", 1.5, 3 if quick else 10)
        against_the_limit(floors, [(300, 784)], "300 x 784", 2.0, 50 if quick else 200)
        against_the_limit(floors, VGG16, "VGG-16 list", 1.7, 2 if quick else 5)
        accuracy(floors)
        against_networkx(floors, (300, 784))
        against_pinv((300, 784))
        if not quick:
            graph = layer(BIG)
            ours, products = best_times(
                [lambda: ng.effective_resistance(graph), limit(BIG, part=4)], 2
            )
            floors.at_most(
                f"{BIG[0]} x {BIG[1]}: exact / limit", ours / products / 4, 1.4, f"{ours:.2f} s"
            )
            del graph
    peak_memory(floors, *((1024, 2752), 0.2) if quick else (BIG, 2.2))
    floors.finish()


if __name__ == "__main__":
    main()
