"""Degrees, strengths, and the matrices of a graph: adjacency, Laplacians, incidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array

from ._errors import ChainError, GraphError, did_you_mean
from .graph import (
    Join,
    LayerGraph,
    NetworkGraph,
    as_layer_graph,
    from_mask,
    identity_join,
    require_nonnegative,
)


class Sides(NamedTuple):
    """One array for the inputs of a layer graph and one for its outputs."""

    inputs: np.ndarray
    outputs: np.ndarray


def degrees(graph: LayerGraph) -> Sides:
    """Number of edges at each vertex.

    Parameters
    ----------
    graph : LayerGraph

    Returns
    -------
    Sides
        ``(inputs, outputs)``, int64 arrays of shapes (n_in,) and (n_out,). Edges of weight 0 count.

    Notes
    -----
    Cost: O(edges); O(vertices) for a complete layer.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.degrees(ng.LayerGraph([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
    Sides(inputs=array([1, 0, 2]), outputs=array([2, 1]))
    """
    graph = as_layer_graph(graph)
    if not graph.is_sparse:
        return Sides(np.full(graph.n_in, graph.n_out), np.full(graph.n_out, graph.n_in))
    w = graph.weights
    return Sides(
        np.bincount(w.indices, minlength=graph.n_in), np.diff(w.indptr).astype(np.int64)
    )


def strengths(graph: LayerGraph) -> Sides:
    """Sum of the weights of the edges at each vertex.

    Parameters
    ----------
    graph : LayerGraph
        Signed weights are summed with their signs; take :func:`magnitude` first for absolute sums.

    Returns
    -------
    Sides
        ``(inputs, outputs)``, float64 arrays of shapes (n_in,) and (n_out,).

    Notes
    -----
    Cost: O(edges). Sums are taken in float64 whatever the weights' type.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.strengths(ng.LayerGraph([[1.0, 0.0, 2.0], [0.0, 0.0, -3.0]]))
    Sides(inputs=array([ 1.,  0., -1.]), outputs=array([ 3., -3.]))
    """
    graph = as_layer_graph(graph)
    if not graph.is_sparse:
        return Sides(*(graph.weights.sum(axis=axis, dtype=np.float64) for axis in (0, 1)))
    outputs, inputs = graph.edges()
    return Sides(_sums(inputs, graph.data, graph.n_in), _sums(outputs, graph.data, graph.n_out))


def adjacency(graph: LayerGraph | NetworkGraph) -> csr_array:
    """The symmetric adjacency matrix over all vertices, inputs first, then outputs.

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph
        A network graph must be a plain chain; its vertices are the network's inputs and then the
        outputs of each layer, as :func:`glue` joins them.

    Returns
    -------
    csr_array, shape (n, n)
        Of the weights' type, with two stored entries per edge, also where its weight is 0.

    Raises
    ------
    ChainError
        A network graph that is no plain chain.

    Notes
    -----
    Cost: O(edges).

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.adjacency(ng.LayerGraph([[1.0, 2.0]])).toarray()
    array([[0., 0., 1.],
           [0., 0., 2.],
           [1., 2., 0.]])
    """
    edges = _edges(graph)
    return _symmetric(edges, edges.weights)


KINDS = ("combinatorial", "normalized", "signless")


def laplacian(graph: LayerGraph | NetworkGraph, kind: str = "combinatorial") -> csr_array:
    """A Laplacian matrix over all vertices, inputs first, then outputs.

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph
        With weights >= 0, the conductances; a network graph as for :func:`adjacency`.
    kind : {"combinatorial", "normalized", "signless"}
        With A the adjacency and D the diagonal matrix of strengths: ``D - A``,
        ``I - D^(-1/2) A D^(-1/2)`` or ``D + A``. A vertex of strength 0 has a row of zeros in each.

    Returns
    -------
    csr_array of float64, shape (n, n)
        Two stored entries per edge and the whole diagonal.

    Raises
    ------
    NegativeWeightError
        A weight is negative; take :func:`magnitude` or :func:`squared` first.
    ChainError
        A network graph that is no plain chain.
    GraphError
        An unknown kind.

    Notes
    -----
    Cost: O(edges). Normalised as by F. Chung, Spectral Graph Theory (1997), section 1.2: for a
    bipartite graph its eigenvalues are 1 minus and 1 plus the singular values of
    ``D_out^(-1/2) W D_in^(-1/2)``, those of vertices of strength 0 apart.

    Examples
    --------
    >>> import nngraph as ng
    >>> g = ng.LayerGraph([[1.0, 3.0]])
    >>> ng.laplacian(g).toarray()
    array([[ 1.,  0., -1.],
           [ 0.,  3., -3.],
           [-1., -3.,  4.]])
    >>> ng.laplacian(g, "normalized").toarray().round(3)
    array([[ 1.   ,  0.   , -0.5  ],
           [ 0.   ,  1.   , -0.866],
           [-0.5  , -0.866,  1.   ]])
    """
    if kind not in KINDS:
        raise GraphError(f"no Laplacian is of kind {kind!r}{did_you_mean(kind, KINDS)}")
    edges = _edges(graph, "the Laplacian")
    weights = edges.weights.astype(np.float64)
    strength = _sums(edges.inputs, weights, edges.n) + _sums(edges.outputs, weights, edges.n)
    if kind == "signless":
        return _symmetric(edges, weights, strength)
    if kind == "combinatorial":
        return _symmetric(edges, -weights, strength)
    scale = np.zeros(edges.n)
    np.divide(1.0, np.sqrt(strength), out=scale, where=strength > 0)
    scaled = -weights * scale[edges.inputs] * scale[edges.outputs]
    return _symmetric(edges, scaled, (strength > 0).astype(np.float64))


def incidence(
    graph: LayerGraph | NetworkGraph, *, weighted: bool = False, oriented: bool = True
) -> csr_array:
    """The incidence matrix: vertices (inputs first, then outputs) by edges (row-major order).

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph
        A network graph as for :func:`adjacency`; its edges are those of the glued layers in turn.
    weighted : bool
        Entries are the square roots of the weights (which must be >= 0), else 1.
    oriented : bool
        Edges run from input to output: entries at inputs are negative.

    Returns
    -------
    csr_array of float64, shape (n, n_edges)

    Raises
    ------
    NegativeWeightError
        With `weighted`, a weight is negative; take :func:`magnitude` or :func:`squared` first.
    ChainError
        A network graph that is no plain chain.

    Notes
    -----
    Cost: O(edges). With B the weighted incidence, ``B @ B.T`` is the combinatorial Laplacian if
    oriented and the signless one if not.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.incidence(ng.LayerGraph([[1.0, 4.0]]), weighted=True).toarray()
    array([[-1.,  0.],
           [ 0., -2.],
           [ 1.,  2.]])
    """
    edges = _edges(graph, "a weighted incidence matrix" if weighted else None)
    m = len(edges.weights)
    heads = np.sqrt(edges.weights, dtype=np.float64) if weighted else np.ones(m)
    entries = np.concatenate([-heads if oriented else heads, heads])
    rows = np.concatenate([edges.inputs, edges.outputs])
    return coo_array((entries, (rows, np.tile(np.arange(m), 2))), shape=(edges.n, m)).tocsr()


def glue(network: NetworkGraph) -> NetworkGraph:
    """The chain in which each layer's inputs *are* the outputs of the layer before it.

    Parameters
    ----------
    network : NetworkGraph
        A plain chain: layer k reads nothing but the outputs of layer k - 1 (layer 0 the network's
        input), and each of its input vertices reads one of them.

    Returns
    -------
    NetworkGraph
        Lazy, with identity joins. Input vertices that read the same output become one vertex, such
        as the taps of a channel in the kernel view, and the weights of edges that become parallel
        add, as conductances do. What the last layer's outputs feed is left as it is.

    Raises
    ------
    ChainError
        The joins are unknown or no plain chain: a layer reads several layers, as after a sum or a
        concatenation, skips one, or an input vertex reads several vertices or none, as in a pooled
        unit view.

    Notes
    -----
    Cost: O(entries of the joins) here and O(edges) when a layer is asked for.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> both = np.array([[True], [True]])  # two taps of one channel
    >>> joins = [ng.Join(-1, 0, both), ng.Join(0, 1, np.eye(1, dtype=bool))]
    >>> ng.glue(ng.NetworkGraph([np.array([[2.0, 3.0]])], joins))[0].toarray()
    array([[5.]])
    """
    joins = {}
    for join in network.require_joins("gluing layers"):
        if join.target < len(network):
            joins.setdefault(join.target, []).append(join)
    layers, sizes = [], []
    for k, layer in enumerate(network.layers):
        join = _only_join(joins.get(k, []), k, network.names[k])
        columns = _one_source_each(join, network.names[k])
        n = join.matrix.shape[1]
        same = len(columns) == n and np.array_equal(columns, np.arange(n))
        layers.append(layer if same else _Glued(layer, columns, n))
        sizes.append(n)
    sizes.append(network[-1].n_out)
    chain = tuple(Join(k - 1, k, identity_join(n)) for k, n in enumerate(sizes))
    return NetworkGraph(layers, chain, names=network.names, view=network.view)


def _only_join(joins: list[Join], k: int, name: str) -> Join:
    sources = [join.source for join in joins]
    if sources != [k - 1]:
        read = ", ".join("the input" if s < 0 else f"layer {s}" for s in sources) or "nothing"
        raise ChainError(
            f"layer {k} ({name!r}) reads {read}; only a plain chain, in which each layer reads the "
            "one before it, is one graph: take the layers one by one"
        )
    return joins[0]


def _one_source_each(join: Join, name: str) -> np.ndarray:
    """The output vertex that each input vertex reads."""
    counts = np.diff(join.matrix.indptr)
    if (counts != 1).any():
        vertex = int(np.flatnonzero(counts != 1)[0])
        raise ChainError(
            f"input {vertex} of layer {join.target} ({name!r}) reads {counts[vertex]} vertices; "
            "vertices are glued only where each reads exactly one (the kernel and channel views "
            "of a chain without sums)"
        )
    return join.matrix.indices.astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Glued:
    """A layer whose input i is vertex ``columns[i]`` of n."""

    layer: Any
    columns: np.ndarray
    n: int

    def __call__(self) -> LayerGraph:
        graph = self.layer() if callable(self.layer) else self.layer
        if graph.is_sparse:
            w = graph.weights
            parts = (w.data.astype(np.float64), self.columns[w.indices], w.indptr)
            return LayerGraph(csr_array(parts, shape=(graph.n_out, self.n)), graph.name)
        taps = np.arange(graph.n_in)
        join = csr_array((np.ones(graph.n_in), (taps, self.columns)), shape=(graph.n_in, self.n))
        fed = np.bincount(self.columns, minlength=self.n) > 0
        mask = np.broadcast_to(fed, (graph.n_out, self.n))
        return from_mask(graph.weights @ join, mask, graph.name)


def _sums(vertices: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """Sum of the weights at each of n vertices."""
    sums = np.bincount(vertices, weights, n)
    return sums.astype(np.float64, copy=False)  # bincount gives integers where there are none


@dataclass(frozen=True)
class _Edges:
    """All edges of a graph on n vertices, in order."""

    inputs: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray
    n: int


def _edges(graph: LayerGraph | NetworkGraph, nonnegative: str | None = None) -> _Edges:
    """The edges, after a check of signs where `nonnegative` says what they are needed for."""
    layers = glue(graph) if isinstance(graph, NetworkGraph) else [as_layer_graph(graph)]
    parts, n = [], 0
    for layer in layers:
        if nonnegative:
            require_nonnegative(layer, nonnegative)
        outputs, inputs = layer.edges()
        parts.append((inputs + n, outputs + n + layer.n_in, layer.data))
        n += layer.n_in
    columns = (c[0] if len(c) == 1 else np.concatenate(c) for c in zip(*parts, strict=True))
    return _Edges(*columns, n + layer.n_out)


def _symmetric(edges: _Edges, values: np.ndarray, diagonal: np.ndarray | None = None) -> csr_array:
    """The matrix with `values` at both entries of each edge and perhaps a diagonal."""
    rows, columns = [edges.inputs, edges.outputs], [edges.outputs, edges.inputs]
    entries = [values, values]
    if diagonal is not None:
        own = np.arange(edges.n)
        rows, columns, entries = [*rows, own], [*columns, own], [*entries, diagonal]
    place = (np.concatenate(rows), np.concatenate(columns))
    # tocsr sums duplicates (there are none) and, unlike sparse sums, keeps stored zeros.
    matrix = coo_array((np.concatenate(entries), place), shape=(edges.n, edges.n)).tocsr()
    matrix.sort_indices()
    return matrix
