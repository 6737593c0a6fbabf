"""Choosing edges by their leverage: rates, exact systematic sampling, spanning forests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..graph import LayerGraph

MOST_BITS = 50  # of the integers that stand for inclusion probabilities


def rate(scores: Sequence[np.ndarray], count: float) -> float:
    """The c at which ``min(1, c * score)`` sums to `count` over all arrays.

    Parameters
    ----------
    scores : sequence of ndarray
        Non-negative.
    count : float
        At least 0.

    Returns
    -------
    float
        Infinite where there are no more than `count` positive scores.

    Notes
    -----
    Scores that reach 1 are set aside and the rest is rescaled, until nothing changes: exact, in a
    few passes over the scores.
    """
    pool = [s[s > 0] for s in scores]
    if sum(s.size for s in pool) <= count:
        return np.inf
    found = 0.0
    while count > 0:
        found = count / sum(float(s.sum()) for s in pool)
        kept = [s[found * s < 1] for s in pool]
        full = sum(s.size for s in pool) - sum(s.size for s in kept)
        if not full:
            break
        pool, count = kept, count - full
    return found


def systematic(scores: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Exactly `count` positions, each drawn with probability ``min(1, c * score)``.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Non-negative, at least `count` of them positive.
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, sorted

    Notes
    -----
    The probabilities are laid end to end in random order, and the entries that hold the points
    u, u + 1, u + 2, ... are taken, with u uniform in [0, 1) (Madow, Ann. Math. Stat. 20, 1949).
    In integers, so that the count is exact and no entry is hit twice; a probability is off by less
    than 2^-36 for up to 2^26 entries.
    """
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    order = rng.permutation(len(scores))
    bits = min(62 - int(count).bit_length(), MOST_BITS)
    unit = 1 << bits
    with np.errstate(invalid="ignore"):  # inf * 0
        shares = np.nan_to_num(np.minimum(rate([scores], count) * scores[order], 1))
    lengths = np.floor(shares * unit).astype(np.int64)
    missing = count * unit - int(lengths.sum())
    while missing:  # what rounding left over, spread over the entries that can take it
        sign = 1 if missing > 0 else -1
        room = np.where(lengths > 0, unit - lengths if missing > 0 else lengths - 1, 0)
        able = np.flatnonzero(room)[: abs(missing)]
        step = np.minimum(room[able], max(abs(missing) // len(able), 1))
        lengths[able] += sign * step
        missing -= sign * int(step.sum())
    points = (np.cumsum(lengths) + (unit - 1 - int(rng.integers(unit)))) >> bits
    return np.sort(order[np.diff(points, prepend=0) > 0])


def highest(scores: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The positions of the `count` highest scores, sorted; ties at random."""
    shuffled = rng.permutation(len(scores))
    best = np.argsort(-scores[shuffled], kind="stable")[:count]
    return np.sort(shuffled[best])


SAMPLERS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "systematic": systematic,
    "topk": highest,
}
BACKBONES = ("forest",)


def spanning_forest(
    graph: LayerGraph, scores: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """The spanning forest of highest scores, its best edge first.

    Parameters
    ----------
    graph : LayerGraph
    scores : ndarray, shape (n_edges,)
        Edges whose score is 0 are no edges here.
    size : int
        Number of its edges: vertices less components.
    rng : numpy.random.Generator
        Orders edges of equal score, so that the forest of a uniform layer is no star.

    Returns
    -------
    ndarray of int64, shape (size,)
        Positions in edge order.

    Notes
    -----
    If the edges above a threshold connect what all edges connect, the best forest lies among them;
    so Kruskal's algorithm sees the best few edges per vertex, and more only where they fail.
    """
    n_edges, vertices = len(scores), graph.n_in + graph.n_out
    tried = 4 * vertices
    while size:
        threshold = np.partition(scores, n_edges - tried)[n_edges - tried] if tried < n_edges else 0
        candidates = np.flatnonzero(scores >= threshold if threshold > 0 else scores)
        candidates = rng.permutation(candidates)
        candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
        ranks = _forest_ranks(graph, candidates, vertices)
        if len(ranks) == size:
            return candidates[ranks]
        tried *= 8
    return np.zeros(0, dtype=np.int64)


def _forest_ranks(graph: LayerGraph, candidates: np.ndarray, vertices: int) -> np.ndarray:
    """Places in `candidates` of the edges of the spanning forest that takes early ones first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    if graph.is_sparse:
        rows = np.searchsorted(graph.weights.indptr, candidates, side="right") - 1
        columns = graph.weights.indices[candidates]
    else:
        rows, columns = np.divmod(candidates, graph.n_in)
    ranks = np.arange(1.0, len(candidates) + 1)  # a rank of 0 would be no edge
    ends = graph.n_in + rows, columns
    tree = minimum_spanning_tree(coo_array((ranks, ends), shape=(vertices, vertices)).tocsr())
    return np.sort(tree.data).astype(np.int64) - 1
