"""Complete graphs, cycles, paths, stars, hypercubes, and disjoint unions."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from .._errors import GraphError
from ..graph import LayerGraph, as_layer_graph
from ..matrices import degrees
from ._build import count, from_columns


def complete(n_out: int, n_in: int) -> LayerGraph:
    """The complete bipartite graph: each output with each input.

    Parameters
    ----------
    n_out, n_in : int

    Returns
    -------
    LayerGraph
        Dense. Its singular values are ``sqrt(n_out * n_in)`` and 0.

    Raises
    ------
    GraphError
        A side without vertices.

    Notes
    -----
    Cost: O(n_out * n_in).

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.complete(2, 3)
    <LayerGraph 'K_{2,3}': 3 inputs, 2 outputs, 6 edges (1)>
    """
    n_out, n_in = count(n_out, "n_out"), count(n_in, "n_in")
    return LayerGraph(np.ones((n_out, n_in)), f"K_{{{n_out},{n_in}}}")


def star(leaves: int) -> LayerGraph:
    """One output with `leaves` inputs, each joined to it.

    Parameters
    ----------
    leaves : int

    Returns
    -------
    LayerGraph
        Its only singular value is ``sqrt(leaves)``.

    Raises
    ------
    GraphError
        No leaves.

    Notes
    -----
    Cost: O(leaves). It is ``complete(1, leaves)``.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.star(3).toarray()
    array([[1., 1., 1.]])
    """
    return complete(1, count(leaves, "leaves"))


def path(n: int) -> LayerGraph:
    """The path of n vertices, which are an input, an output, an input, ... in turn.

    Parameters
    ----------
    n : int
        At least 2.

    Returns
    -------
    LayerGraph
        Its singular values are ``2 cos(pi k / (n + 1))``, k = 1, ..., n // 2.

    Raises
    ------
    GraphError
        Fewer than two vertices.

    Notes
    -----
    Cost: O(n).

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.path(4).toarray()
    array([[1., 1.],
           [0., 1.]])
    """
    n = count(n, "n", 2)
    n_in, n_out = (n + 1) // 2, n // 2
    left = np.arange(n_out)
    columns = np.stack([left, left + 1], axis=1).ravel()
    counts = np.full(n_out, 2)
    if n % 2 == 0:  # the last vertex is an output with one neighbour
        columns, counts[-1] = columns[:-1], 1
    return from_columns(counts, columns, n_in, f"P_{n}")


def cycle(n: int) -> LayerGraph:
    """The cycle of 2 n vertices: n inputs and n outputs in turn.

    Parameters
    ----------
    n : int
        Vertices of each side, at least 2.

    Returns
    -------
    LayerGraph
        2-regular. Its singular values are ``2 |cos(pi k / n)|``, k = 0, ..., n - 1.

    Raises
    ------
    GraphError
        Fewer than two vertices on a side.

    Notes
    -----
    Cost: O(n).

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.cycle(3).toarray()
    array([[1., 1., 0.],
           [0., 1., 1.],
           [1., 0., 1.]])
    """
    n = count(n, "n", 2)
    left = np.arange(n)
    columns = np.sort(np.stack([left, (left + 1) % n], axis=1), axis=1).ravel()
    return from_columns(np.full(n, 2), columns, n, f"C_{2 * n}")


def hypercube(dimension: int) -> LayerGraph:
    """The hypercube graph: inputs are its corners with an even number of ones.

    Parameters
    ----------
    dimension : int
        At least 1.

    Returns
    -------
    LayerGraph
        With ``2^(dimension - 1)`` vertices on each side, dimension-regular. Its singular values are
        ``dimension - 2 i``, those >= 0, each ``binomial(dimension, i)`` times (0 half as often).

    Raises
    ------
    GraphError
        A dimension below 1, or above 26 (2^25 vertices on a side).

    Notes
    -----
    Cost: O(dimension * 2^dimension). Corners of a side are in the order of their binary numbers.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.ensembles.hypercube(2).toarray()
    array([[1., 1.],
           [1., 1.]])
    """
    dimension = count(dimension, "dimension")
    if dimension > 26:
        raise GraphError(f"a hypercube of dimension {dimension} is too large; 26 is the most")
    # Corners 2 i and 2 i + 1 differ in the last bit, so that i numbers each side.
    half = np.arange(2 ** (dimension - 1))
    odd = 2 * half + (1 - np.bitwise_count(half) % 2)
    neighbours = (odd[:, None] ^ (1 << np.arange(dimension))) >> 1
    columns = np.sort(neighbours, axis=1).ravel()
    return from_columns(np.full(len(half), dimension), columns, len(half), f"Q_{dimension}")


def disjoint_union(*graphs: LayerGraph) -> LayerGraph:
    """The graphs side by side, with no edge between them.

    Parameters
    ----------
    *graphs : LayerGraph
        At least one; their weights are kept, also those that are 0.

    Returns
    -------
    LayerGraph
        Inputs and outputs in the order of the graphs: weights are block diagonal. Its singular
        values are those of all of them.

    Raises
    ------
    GraphError
        No graphs.

    Notes
    -----
    Cost: O(edges).

    Examples
    --------
    >>> import nngraph as ng
    >>> edge = ng.ensembles.complete(1, 1)
    >>> ng.ensembles.disjoint_union(edge, edge).toarray()
    array([[1., 0.],
           [0., 1.]])
    """
    if not graphs:
        raise GraphError("a disjoint union needs at least one graph")
    parts = [as_layer_graph(graph) for graph in graphs]
    shifts = np.cumsum([0, *(part.n_in for part in parts)])
    edges = [part.edges() for part in parts]
    columns = [inputs + shift for (_, inputs), shift in zip(edges, shifts[:-1], strict=True)]
    counts = np.concatenate([degrees(part).outputs for part in parts])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.concatenate([part.data for part in parts])
    shape = (len(counts), shifts[-1])
    weights = csr_array((data, np.concatenate(columns), indptr), shape=shape)
    return LayerGraph(weights, " + ".join(part.name for part in parts if part.name))
