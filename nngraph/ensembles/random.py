"""Random graphs: Erdos-Renyi and biregular ones, without double edges."""

from __future__ import annotations

from math import ceil, gcd, log1p, sqrt
from numbers import Real

import numpy as np

from .._errors import GraphError
from ..graph import LayerGraph
from ._build import count, from_keys, sides


def erdos_renyi(
    n_out: int, n_in: int, *, density: float, iid: bool = False, rng=None
) -> LayerGraph:
    """A random graph in which every set of edges of the same size is equally likely.

    Parameters
    ----------
    n_out, n_in : int
    density : float
        From 0 to 1. The graph has exactly ``round(density * n_out * n_in)`` edges.
    iid : bool
        Each pair is an edge with probability `density`, independently of the others; the number of
        edges is random.
    rng : None, int, or numpy.random.Generator
        As for ``numpy.random.default_rng``.

    Returns
    -------
    LayerGraph
        With weights 1.

    Raises
    ------
    GraphError
        A density that is no number in [0, 1], a side without vertices, or 2^63 pairs or more.

    Notes
    -----
    Cost: O(k log k) for k edges: distinct numbers are drawn by sorting a few too many, and too many
    are thinned out at random. Above density 1/2 the pairs that are no edges are drawn instead.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.erdos_renyi(512, 4608, density=0.01, rng=0)
    <LayerGraph 'ER(512,4608)': 4608 inputs, 512 outputs, 23593 edges (0.01)>
    """
    n_out, n_in = sides(n_out, n_in)
    if isinstance(density, bool) or not isinstance(density, Real) or not 0 <= density <= 1:
        raise GraphError(f"density must lie between 0 and 1, got {density!r}")
    rng = np.random.default_rng(rng)
    pairs = n_out * n_in
    edges = int(rng.binomial(pairs, density)) if iid else round(density * pairs)
    return from_keys(distinct(pairs, edges, rng), n_out, n_in, f"ER({n_out},{n_in})")


def random_biregular(n_out: int, n_in: int, *, out_degree: int, rng=None) -> LayerGraph:
    """A random graph whose outputs all have one degree, and whose inputs all have another.

    Parameters
    ----------
    n_out, n_in : int
    out_degree : int
        Edges of each output, at most `n_in`; each input has ``n_out * out_degree / n_in``, which
        must be whole.
    rng : None, int, or numpy.random.Generator
        As for ``numpy.random.default_rng``.

    Returns
    -------
    LayerGraph
        With weights 1 and no double edges. Its largest singular value is the geometric mean of the
        two degrees.

    Raises
    ------
    GraphError
        Degrees that do not exist; the message names the nearest that do.

    Notes
    -----
    The configuration model, its double edges removed by switches with edges drawn at random
    (McKay & Wormald 1990, J. Algorithms 11): close to uniform for sparse graphs, not exactly
    uniform. Above density 1/2 the complement is drawn. Cost: O(k log k) for k edges, times a few
    dozen rounds of switches near density 1/2.

    Examples
    --------
    >>> import nngraph as ng
    >>> g = ng.ensembles.random_biregular(6, 4, out_degree=2, rng=0)
    >>> ng.degrees(g)
    Sides(inputs=array([3, 3, 3, 3]), outputs=array([2, 2, 2, 2, 2, 2]))
    """
    n_out, n_in = sides(n_out, n_in)
    degree = count(out_degree, "out_degree", 0)
    step = n_in // gcd(n_in, n_out)  # degrees must be multiples of it
    if degree > n_in or degree % step:
        near = {min(max(k * step, 0), n_in) for k in (degree // step, degree // step + 1)}
        raise GraphError(
            f"out_degree={degree} gives no whole degree of the {n_in} inputs (at most one edge per "
            f"pair); the nearest that do are {sorted(near)}"
        )
    rng = np.random.default_rng(rng)
    dense = 2 * degree > n_in
    keys = _switched(n_out, n_in, n_in - degree if dense else degree, rng)
    if dense:
        keys = _complement(n_out * n_in, keys)
    return from_keys(keys, n_out, n_in, f"biregular({n_out},{n_in},{degree})")


def distinct(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """k distinct numbers below n, sorted; every set of k is equally likely."""
    if 2 * k > n:
        return _complement(n, distinct(n, n - k, rng))
    found = np.empty(0, np.int64)
    while len(found) < k:
        # As many draws as give k distinct numbers on average, and some more. Nothing tells one
        # number from another here, so that each set of the size that results is equally likely.
        missing, free = k - len(found), n - len(found)
        draws = ceil(-n * log1p(-missing / free) + 4 * sqrt(missing)) + 10
        found = np.sort(np.concatenate([found, rng.integers(n, size=draws)]))
        found = found[np.concatenate([[True], found[1:] != found[:-1]])]
    surplus = rng.choice(len(found), len(found) - k, replace=False, shuffle=False)
    return np.delete(found, surplus)


def _complement(n: int, keys: np.ndarray) -> np.ndarray:
    kept = np.ones(n, bool)
    kept[keys] = False
    return np.flatnonzero(kept)


def _switched(n_out: int, n_in: int, degree: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted keys of a biregular graph of density at most 1/2.

    An edge that is there twice, (r, c), is switched with another, (s, d), to (r, d) and (s, c),
    unless one of these exists. Fewer than 2 * out_degree * in_degree edges are ruled out as (s, d),
    and there are n_in * in_degree of them: at density 1/2 or less some edge always is allowed.
    """
    stubs = np.repeat(np.arange(n_in), n_out * degree // n_in)
    keys = np.sort(np.repeat(np.arange(n_out) * n_in, degree) + rng.permutation(stubs))
    while True:
        twice = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        if not len(twice):
            return keys
        other = rng.integers(len(keys), size=len(twice))
        (r, c), (s, d) = np.divmod(keys[twice], n_in), np.divmod(keys[other], n_in)
        new = np.stack([r * n_in + d, s * n_in + c])
        place = np.minimum(np.searchsorted(keys, new), len(keys) - 1)
        allowed = (keys[place] != new).all(axis=0)
        # Of switches that share an edge, old or new, one at most may be carried out.
        allowed &= _first(other) & ~np.isin(other, twice)
        allowed[allowed] &= _first(new[:, allowed])
        gone = np.concatenate([twice[allowed], other[allowed]])
        fresh = np.sort(new[:, allowed].ravel())
        keys = np.delete(keys, gone)
        keys = np.insert(keys, np.searchsorted(keys, fresh), fresh)


def _first(values: np.ndarray) -> np.ndarray:
    """Whether each value (each column, all of its values) comes for the first time."""
    flat = values.ravel()
    _, places = np.unique(flat, return_index=True)
    first = np.zeros(flat.shape, bool)
    first[places] = True
    return first if values.ndim == 1 else first.reshape(values.shape).all(axis=0)
