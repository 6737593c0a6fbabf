"""sigma_1 and sigma_2 with their certificates, against SciPy's eigsh on the adjacency matrix.

The peer is what published code for these spectra calls: ARPACK for the three eigenvalues of largest
magnitude of the bipartite adjacency matrix in float32, whose third one is sigma_2. It starts from a
random vector, on which its time depends: the mean over some given ones is taken. It proves nothing.
BLAS has one thread; kernels are compiled before the clock starts.
Shapes are outputs x inputs. Only the full version measures the large layers.
"""

from __future__ import annotations

import numpy as np
from _floors import Floors, best_times, quick_flag
from scipy.sparse import block_array, csr_array
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

import nngraph as ng

SEEDS = (0, 1, 2)


def random_layer(shape: tuple[int, int], density: float, seed: int, weighted: bool) -> csr_array:
    """A mask with independent edges, row by row; weights are ones or absolute values of normals."""
    rng = np.random.default_rng(seed)
    counts = rng.binomial(shape[1], density, shape[0])
    rows = [np.sort(rng.choice(shape[1], n, replace=False, shuffle=False)) for n in counts]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.abs(rng.standard_normal(indptr[-1])) if weighted else np.ones(indptr[-1])
    return csr_array((data.astype(np.float32), np.concatenate(rows), indptr), shape=shape)


def ratio(shape, density: float, *, weighted: bool, repeats: int, seeds=SEEDS, starts=4):
    """Time of eigsh over ours, summed over masks, and a note."""
    ours = theirs = worst = 0.0
    for seed in seeds:
        weights = random_layer(shape, density, seed, weighted)
        graph = ng.LayerGraph(weights)
        adjacency = block_array([[None, weights], [weights.T, None]], format="csr")
        found = ng.singular_values(graph)
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((starts, sum(shape))).astype(np.float32)
        peers = [lambda a=adjacency, v0=v: eigsh(a, k=3, which="LM", v0=v0) for v in vectors]
        run = [lambda g=graph: ng.singular_values(g), *peers]
        fast, *slow = best_times(run, repeats, in_a_row=min(repeats, 3))
        ours, theirs = ours + fast, theirs + np.mean(slow)
        worst = max(worst, found.intervals[1, 1] / found[1] - 1)
    sure = "certified" if found.index_certified else f"fails at most {found.failure_probability:g}"
    times = f"{1e3 * ours / len(seeds):.1f} / {1e3 * theirs / len(seeds):.0f} ms"
    return theirs / ours, f"{times}; sigma_2 at most {worst:.1e} higher, {sure}"


def main() -> None:
    quick = quick_flag(__doc__)
    floors = Floors()
    with threadpool_limits(1, user_api="blas"):
        measured, note = ratio((4608, 512), 0.05, weighted=False, repeats=8 if quick else 25)
        floors.at_least("4608x512 at 5 %: eigsh / singular_values", measured, 8, note)
        if not quick:
            for weighted in (False, True):
                measured, note = ratio(
                    (25088, 4096), 1e7 / (25088 * 4096), weighted=weighted, repeats=1,
                    seeds=(0,), starts=2,
                )
                kind = "weighted" if weighted else "unweighted"
                floors.at_least(f"25088x4096, 1e7 edges, {kind}", measured, 10, note)
    floors.finish()


if __name__ == "__main__":
    main()
