"""LayerGraph and NetworkGraph: frozen weighted bipartite graphs of layers, and how they join."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from ._canonical import (
    Complete,
    as_weights,
    check_rank,
    csr_where,
    freeze,
    from_bool,
    from_dense,
    from_sparse,
    full_csr,
    is_exposed,
    plain_array,
)
from ._errors import ChainError, MaskError, NegativeWeightError, WeightError


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """A weighted bipartite graph between the inputs and the outputs of one layer.

    Parameters
    ----------
    weights : array_like or sparse array, shape (n_out, n_in)
        So that the layer computes ``weights @ x``. In a dense array a zero is no edge (use
        :func:`from_mask` where a mask says otherwise); in a sparse one every stored entry is an
        edge, also with weight 0, and duplicates are summed.
    name : str, optional
        The layer's name.
    parameters : ndarray of int64, shape (n_edges,), optional
        Flat index, in the layer's canonical parameter tensor, of the parameter behind each edge.
        None: edge k is parameter k.
    view : str, optional
        How a layer of a network became this graph: ``"kernel"``, ``"channel"`` or ``"unit"``.

    Attributes
    ----------
    weights : ndarray or csr_array, read-only
        A dense array when every entry is an edge, else a canonical ``csr_array`` (sorted, no
        duplicates) whose stored entries are the edges. float32 where the input has 32 bits or
        fewer, else float64.

    Raises
    ------
    WeightError
        NaN or infinite weights, not two axes, an axis of size zero, integers, bools, objects.

    Notes
    -----
    Cost: one pass over the entries. A read-only array is kept as it is; a writable one is copied,
    so that nobody can change the graph. Edges are in row-major (CSR) order everywhere in nngraph;
    vertex values are inputs first, then outputs.

    Examples
    --------
    >>> import nngraph as ng
    >>> g = ng.LayerGraph([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], "fc")
    >>> g.n_out, g.n_in, g.n_edges
    (2, 3, 3)
    >>> g.toarray()
    array([[1., 0., 2.],
           [0., 3., 0.]])
    """

    weights: np.ndarray | csr_array
    name: str = ""
    _: KW_ONLY
    parameters: np.ndarray | None = None
    view: str | None = None
    # The weights again where every entry is an edge: dataclasses.replace hands both on, and zeros
    # stay edges as long as they are the same object.
    _complete: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        what = f"layer graph {self.name!r}" if self.name else "the layer graph"
        weights = self.weights
        if isinstance(weights, LayerGraph):
            raise TypeError(
                f"{what} is given a LayerGraph; use it as it is, or dataclasses.replace(graph, "
                "name=...)"
            )
        if weights is self._complete and weights is not None:
            weights = Complete(weights)
        canonical = from_sparse(weights, what) if issparse(weights) else from_dense(weights, what)
        object.__setattr__(self, "weights", canonical)
        object.__setattr__(self, "_complete", None if self.is_sparse else canonical)
        if self.parameters is not None:
            parameters = np.asarray(self.parameters)
            if parameters.shape != (self.n_edges,) or parameters.dtype.kind not in "iu":
                raise WeightError(
                    f"{what}: parameters must be one integer per edge, shape ({self.n_edges},), "
                    f"got {parameters.dtype} of shape {parameters.shape}"
                )
            parameters = parameters.astype(np.int64, copy=is_exposed(parameters))
            if parameters.size and parameters.min() < 0:
                raise WeightError(f"{what}: parameters are flat indices, got {parameters.min()}")
            parameters.flags.writeable = False
            object.__setattr__(self, "parameters", parameters)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_out, n_in)``."""
        return self.weights.shape

    @property
    def n_out(self) -> int:
        """Number of outputs (rows)."""
        return self.weights.shape[0]

    @property
    def n_in(self) -> int:
        """Number of inputs (columns)."""
        return self.weights.shape[1]

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.weights.nnz if self.is_sparse else self.weights.size

    @property
    def density(self) -> float:
        """Edges over ``n_out * n_in``."""
        return self.n_edges / (self.n_out * self.n_in)

    @property
    def is_sparse(self) -> bool:
        """Whether some entry is no edge, so that ``weights`` is a ``csr_array``."""
        return not isinstance(self.weights, np.ndarray)

    @property
    def data(self) -> np.ndarray:
        """Edge weights in edge order, shape (n_edges,), read-only; no copy."""
        return self.weights.data if self.is_sparse else self.weights.reshape(-1)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Output and input index of each edge, in edge order, two int64 arrays of n_edges."""
        if not self.is_sparse:
            return (
                np.repeat(np.arange(self.n_out), self.n_in),
                np.tile(np.arange(self.n_in), self.n_out),
            )
        counts = np.diff(self.weights.indptr)
        rows = np.repeat(np.arange(self.n_out), counts)
        return rows, self.weights.indices.astype(np.int64)

    def tocsr(self) -> csr_array:
        """The edges as a ``csr_array``; for a complete layer an explicit one with all entries."""
        if self.is_sparse:
            return self.weights
        return full_csr(self.weights)

    def toarray(self) -> np.ndarray:
        """The weights as a dense array, 0 where there is no edge."""
        return self.weights.toarray() if self.is_sparse else self.weights

    def pattern(self) -> np.ndarray:
        """Dense bool array: True where there is an edge."""
        if not self.is_sparse:
            return np.ones(self.shape, dtype=bool)
        found = np.zeros(self.shape, dtype=bool)
        found[self.edges()] = True
        return found

    def with_data(self, data) -> LayerGraph:
        """The same edges with other weights, given in edge order."""
        data = as_weights(data, "the array of edge weights")
        if data.shape != (self.n_edges,):
            raise WeightError(f"{self.n_edges} edge weights are needed, got shape {data.shape}")
        if not self.is_sparse:
            weights = Complete(data.reshape(self.shape))
        else:
            w = self.weights
            weights = csr_array((data, w.indices, w.indptr), shape=w.shape)
        return replace(self, weights=weights)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.toarray(), dtype=dtype, copy=bool(copy) or None)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        freeze(self.weights)
        if self.parameters is not None:
            self.parameters.flags.writeable = False

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return (
            f"<LayerGraph{name}: {self.n_in} inputs, {self.n_out} outputs, "
            f"{self.n_edges} edges ({self.density:.3g})>"
        )


def from_mask(weights, mask, name: str = "") -> LayerGraph:
    """The layer graph whose edges are the True entries of a mask, also where the weight is 0.

    Parameters
    ----------
    weights : array_like, shape (n_out, n_in)
        Floating-point weights.
    mask : array_like of bool, shape (n_out, n_in)
        Which entries are edges.
    name : str, optional
        The layer's name.

    Returns
    -------
    LayerGraph

    Raises
    ------
    MaskError
        The mask is not bool or has another shape.
    WeightError
        As for :class:`LayerGraph`.

    Examples
    --------
    >>> import nngraph as ng
    >>> g = ng.from_mask([[0.0, 1.0], [2.0, 3.0]], [[True, True], [False, True]])
    >>> g.n_edges, g.data
    (3, array([0., 1., 3.]))
    """
    weights = as_weights(weights, "the weights")
    mask = plain_array(mask, "the mask", MaskError)
    if mask.dtype != bool or mask.shape != weights.shape:
        raise MaskError(
            f"the mask must be bool of shape {weights.shape}, got {mask.dtype} of {mask.shape}"
        )
    if mask.ndim == 2 and mask.all():
        return LayerGraph(Complete(weights), name)
    check_rank(mask.shape, "the mask")
    return LayerGraph(csr_where(weights, mask), name)


def magnitude(graph):
    """The graph with the absolute values of its weights.

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph

    Returns
    -------
    LayerGraph or NetworkGraph
        Of the same type; edges (stored zeros too) stay.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.magnitude(ng.LayerGraph([[-1.0, 2.0]])).data
    array([1., 2.])
    """
    return _map_data(graph, np.abs)


def squared(graph):
    """The graph with the squares of its weights; otherwise as :func:`magnitude`.

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph

    Returns
    -------
    LayerGraph or NetworkGraph

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.squared(ng.LayerGraph([[-1.0, 2.0]])).data
    array([1., 4.])
    """
    return _map_data(graph, np.square)


def _map_data(graph, function: Callable):
    if isinstance(graph, NetworkGraph):
        return graph.map(_MapData(function))
    return _MapData(function)(as_layer_graph(graph))


@dataclass(frozen=True)
class _MapData:
    function: Callable

    def __call__(self, graph: LayerGraph) -> LayerGraph:
        with np.errstate(over="ignore"):  # with_data finds what overflowed
            return graph.with_data(freeze(self.function(graph.data)))


def as_layer_graph(graph) -> LayerGraph:
    """`graph` itself, or a LayerGraph of a two-axis array; other types raise TypeError."""
    if isinstance(graph, LayerGraph):
        return graph
    if isinstance(graph, np.ndarray) or issparse(graph):
        return LayerGraph(graph)
    raise TypeError(
        f"a LayerGraph is needed, got {type(graph).__name__}; make one with "
        "nngraph.LayerGraph(weights)"
    )


def require_nonnegative(graph: LayerGraph, purpose: str) -> None:
    """Raise NegativeWeightError, naming the remedy, where a weight is negative."""
    if graph.n_edges and graph.data.min() < 0:
        raise NegativeWeightError(
            f"layer {graph.name!r} has negative weights and {purpose} needs conductances; take "
            "nngraph.magnitude(graph) or nngraph.squared(graph) first"
        )


@dataclass(frozen=True, eq=False)
class Join:
    """How the outputs of one layer reach the inputs of another, or of the network's output.

    Parameters
    ----------
    source : int
        Index of the layer whose outputs are read; -1: the network's input.
    target : int
        Index of the layer that reads them; ``len(layers)``: the network's output.
    matrix : csr_array or array_like of bool, shape (n_in of target, n_out of source)
        True where an input vertex of the target is fed by an output vertex of the source. Kept as a
        read-only ``csr_array`` without stored False.

    Raises
    ------
    ChainError
        A matrix that is not bool or has not two axes, or indices that no layer can have.
    """

    source: int
    target: int
    matrix: csr_array

    def __post_init__(self) -> None:
        source, target = index(self.source), index(self.target)
        if source < -1 or target < 0:
            raise ChainError(
                f"a join leads from a layer or the input (-1) to a layer, got {source} to {target}"
            )
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", target)
        what = f"the matrix of the join from {source} to {target}"
        object.__setattr__(self, "matrix", from_bool(self.matrix, what))

    def __reduce__(self):
        return type(self), (self.source, self.target, self.matrix)


@dataclass(frozen=True, eq=False)
class NetworkGraph:
    """An ordered, lazy sequence of layer graphs and how their vertex sets join.

    Parameters
    ----------
    layers : sequence of LayerGraph, arrays, or zero-argument callables that build a LayerGraph
        Built when asked for, never cached.
    joins : sequence of Join, optional
        Default: a chain, the outputs of each layer being the inputs of the next. An empty sequence
        says that nothing is known.
    names : sequence of str, optional
        Default: the names of the given graphs; layer k is ``"layer k"`` where it has none.
    view : str, optional
        The view that made the layers.

    Raises
    ------
    ChainError
        Default joins where the sizes of consecutive layers differ.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.ones((4, 3)), np.ones((2, 4))])
    >>> len(net), net[1].n_in, len(net.joins)
    (2, 4, 3)
    """

    layers: tuple[Any, ...]
    joins: Sequence[Join] | None = None
    _: KW_ONLY
    names: tuple[str, ...] | None = None
    view: str | None = None

    def __post_init__(self) -> None:
        layers = tuple(
            layer if callable(layer) else as_layer_graph(layer) for layer in self.layers
        )
        if not layers:
            raise ChainError("a network graph needs at least one layer")
        fix = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731
        fix("layers", layers)
        if self.names is None:
            fix("names", tuple(layer.name or f"layer {k}" for k, layer in enumerate(self)))
        if len(self.names) != len(layers):
            raise ChainError(f"{len(layers)} layers but {len(self.names)} names")
        fix("names", tuple(self.names))
        if self.joins is None:
            fix("joins", _chain([(layer.n_in, layer.n_out) for layer in self], self.names))
        elif isinstance(self.joins, list) or not isinstance(self.joins, Sequence):
            fix("joins", tuple(self.joins))  # other sequences may find their joins when asked

    def __getitem__(self, index: int | str) -> LayerGraph:
        if isinstance(index, str):
            if index not in self.names:
                raise KeyError(f"no layer is named {index!r}; there are {list(self.names)}")
            index = self.names.index(index)
        layer = self.layers[index]
        return layer() if callable(layer) else layer

    def __iter__(self) -> Iterator[LayerGraph]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self.layers)

    def map(self, function: Callable[[LayerGraph], LayerGraph]) -> NetworkGraph:
        """The network with `function` applied to each layer, when it is asked for."""
        layers = tuple(_Mapped(function, layer) for layer in self.layers)
        return replace(self, layers=layers)

    def require_joins(self, purpose: str) -> Sequence[Join]:
        """The joins, or a ChainError that says how to give them."""
        if not self.joins:
            raise ChainError(
                f"{purpose} needs to know how the layers join; load the network with a chain "
                "(nngraph.load(path, chain=[...]), or --network on the command line) or from a "
                "traced model"
            )
        return self.joins

    def __repr__(self) -> str:
        known = isinstance(self.joins, (tuple, list))
        joins = f"{len(self.joins)} joins" if known else "joins by its wiring"
        return f"<NetworkGraph: {len(self)} layers, {joins}, view {self.view!r}>"


@dataclass(frozen=True)
class _Mapped:
    function: Callable
    layer: Any

    def __call__(self) -> LayerGraph:
        return self.function(self.layer() if callable(self.layer) else self.layer)


def _chain(sizes: list[tuple[int, int]], names: tuple[str, ...]) -> tuple[Join, ...]:
    """Identity joins of layers with the given numbers of inputs and outputs."""
    for k, ((_, before), (after, _)) in enumerate(pairwise(sizes)):
        if before != after:
            raise ChainError(
                f"layer {k} ({names[k]!r}) has {before} outputs but layer {k + 1} "
                f"({names[k + 1]!r}) has {after} inputs; pass joins= where they do not match one "
                "to one"
            )
    vertices = [sizes[0][0], *(n_out for _, n_out in sizes)]
    return tuple(Join(k - 1, k, identity_join(n)) for k, n in enumerate(vertices))


def identity_join(n: int) -> csr_array:
    """The join matrix of n vertices with themselves."""
    return csr_array(
        (np.ones(n, dtype=bool), np.arange(n), np.arange(n + 1)), shape=(n, n)
    )
