"""Views: how a layer becomes a bipartite graph, and how edge values become parameter scores again.

========= =============================== ========================================================
view      vertices                        edges
========= =============================== ========================================================
`kernel`  outputs; inputs x taps          one per parameter
`channel` outputs; inputs                 one per pair with a tap, its weight a norm over the taps
`unit`    single activations              one per use of a parameter: many share one
========= =============================== ========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.sparse import csr_array

from ._canonical import Complete, csr_where, freeze
from ._errors import GraphError, did_you_mean
from ._run import layer_inputs
from ._unit import repeated, unrolled
from .graph import LayerGraph, NetworkGraph
from .joins import WiredJoins
from .network import Layer, Network

VIEWS = ("kernel", "channel", "unit")
UNIT_EDGES = 50_000_000  # edges of a unit view that is still built: about 1 GB

_NORMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "l2": lambda taps: np.sqrt(np.square(taps, dtype=np.float64).sum(axis=2)),
    "l1": lambda taps: np.abs(taps).sum(axis=2, dtype=np.float64),
    "max": lambda taps: np.abs(taps).max(axis=2),
    "sum": lambda taps: taps.sum(axis=2, dtype=np.float64),
}


def to_graph(
    network: Network,
    view: str = "kernel",
    *,
    norm: str = "l2",
    input_shape=None,
    max_edges: int = UNIT_EDGES,
) -> NetworkGraph:
    """A network as a sequence of bipartite graphs, one per layer, each built when it is asked for.

    Parameters
    ----------
    network : Network
    view : {"kernel", "channel", "unit"}
        What the vertices are; see :func:`nngraph.layer_graph`.
    norm : {"l2", "l1", "max", "sum"}
        Edge weights of the channel view.
    input_shape : tuple of int, optional
        Shape of one example, for the unit view and the joins. Default: what the wiring states.
    max_edges : int
        Edges up to which a layer's unit view is built.

    Returns
    -------
    NetworkGraph
        Lazy and picklable. Its joins follow the wiring; a bag of weights has none.

    Raises
    ------
    GraphError
        An unknown view or norm.
    ChainError
        The unit view of a network whose shapes do not fit, or of a layer that no node uses.

    See Also
    --------
    nngraph.fold : from edge values back to one score per parameter.

    Notes
    -----
    Cost: none until a layer or the joins are asked for; the unit view finds the shapes first.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.from_tensors({"conv.weight": np.ones((8, 3, 5, 5))})
    >>> ng.to_graph(net)[0], ng.to_graph(net, "channel")["conv"]
    (<LayerGraph 'conv': 75 inputs, 8 outputs, 600 edges (1)>,
     <LayerGraph 'conv': 3 inputs, 8 outputs, 24 edges (1)>)
    """
    _check_names(view, norm)
    shapes: Mapping[str, tuple[int, ...]] = {}
    stated = input_shape is not None or network.input_shape is not None
    if view == "unit" and network.wiring is not None and stated:
        shapes = layer_inputs(network, input_shape)
    layers = [
        LayerView(layer, view, norm, shapes.get(layer.name), max_edges) for layer in network
    ]
    joins = () if network.wiring is None else WiredJoins(network, view, input_shape)
    return NetworkGraph(layers, joins, names=network.names, view=view)


@dataclass(frozen=True)
class LayerView:
    """One layer's graph, not built yet."""

    layer: Layer
    view: str
    norm: str
    input_shape: tuple[int, ...] | None
    max_edges: int

    def __call__(self) -> LayerGraph:
        return layer_graph(
            self.layer, self.view, norm=self.norm, input_shape=self.input_shape,
            max_edges=self.max_edges,
        )  # fmt: skip


def layer_graph(
    layer: Layer,
    view: str = "kernel",
    *,
    norm: str = "l2",
    input_shape=None,
    max_edges: int = UNIT_EDGES,
) -> LayerGraph:
    """A layer as a weighted bipartite graph.

    Parameters
    ----------
    layer : Layer
    view : {"kernel", "channel", "unit"}
        ``"kernel"``: outputs by inputs x kernel positions, one edge per parameter, columns in C
        order (channel, then tap). ``"channel"``: outputs by inputs, one edge where any tap exists,
        its weight a norm over the taps. ``"unit"``: every activation is a vertex and every use of a
        parameter an edge, with exact stride, padding (padded taps are no edges), dilation, groups
        and transposition; vertices are activations of one example in C order.
    norm : {"l2", "l1", "max", "sum"}
        Edge weights of the channel view; ``"sum"`` keeps the sign.
    input_shape : tuple of int, optional
        Shape of one example at the layer's input, for the unit view: ``(channels, *space)`` for a
        convolution; for a linear layer ``(*any, features)``, default ``(features,)``.
    max_edges : int
        Edges up to which a unit view is built.

    Returns
    -------
    LayerGraph
        With ``parameters`` where edge k is not parameter k; in the channel view an edge's parameter
        is the first of its taps.

    Raises
    ------
    GraphError
        An unknown view or norm; a unit view without input shape or of more than `max_edges` edges.
    ChainError
        An input shape that does not fit the layer.
    UnsupportedOpError
        The unit view of an embedding or a recurrent layer.

    Notes
    -----
    Without a mask a parameter that is exactly 0 is no edge; with one, the edges are the mask, also
    where the weight is 0. Groups are block diagonal. Cost: O(edges); the kernel view of a complete
    layer is a reshape without a copy.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> layer = ng.Layer("conv", np.ones((1, 1, 3)), padding=1)
    >>> ng.layer_graph(layer, "unit", input_shape=(1, 4)).toarray()
    array([[1., 1., 0., 0.],
           [1., 1., 1., 0.],
           [0., 1., 1., 1.],
           [0., 0., 1., 1.]])
    """
    _check_names(view, norm)
    if view == "kernel":
        return _kernel_view(layer)
    if view == "channel":
        return _channel_view(layer, norm)
    if not layer.kernel:
        return repeated(layer, _kernel_view(layer), input_shape, max_edges)
    weight = layer.array().reshape(layer.n_out, layer.shape[1], -1)
    return unrolled(layer, weight, _exists(layer, weight), input_shape, max_edges)


def _check_names(view: str, norm: str) -> None:
    if view not in VIEWS:
        raise GraphError(f"there is no view {view!r}{did_you_mean(view, VIEWS)}")
    if norm not in _NORMS:
        raise GraphError(f"there is no norm {norm!r}{did_you_mean(norm, _NORMS)}")


def _exists(layer: Layer, weight: np.ndarray) -> np.ndarray:
    """Which parameters are edges: bool, of the shape that `weight` was brought into."""
    return weight != 0 if layer.mask is None else layer.mask.reshape(weight.shape)


def _block_diagonal(layer: Layer, values, exists, view: str) -> LayerGraph:
    """A graph of outputs by groups x width, from arrays of shape (n_out, width)."""
    width, taps = exists.shape[1], layer.size // exists.size  # taps behind one entry
    if layer.groups == 1 and exists.all():
        parameters = None if taps == 1 else np.arange(0, layer.size, taps)
        return LayerGraph(Complete(values), layer.name, parameters=parameters, view=view)
    weights = csr_where(values, exists)
    if layer.groups > 1:
        group = np.arange(layer.n_out) // (layer.n_out // layer.groups)
        columns = weights.indices + np.repeat(group * width, np.diff(weights.indptr))
        shape = (layer.n_out, layer.groups * width)
        weights = freeze(csr_array((weights.data, columns, weights.indptr), shape=shape))
    parameters = None
    if weights.nnz < layer.size:
        parameters = np.flatnonzero(exists)
        parameters *= taps
        freeze(parameters)
    return LayerGraph(weights, layer.name, parameters=parameters, view=view)


def _kernel_view(layer: Layer) -> LayerGraph:
    weight = layer.array().reshape(layer.n_out, -1)
    return _block_diagonal(layer, weight, _exists(layer, weight), "kernel")


def _channel_view(layer: Layer, norm: str) -> LayerGraph:
    weight = layer.array().reshape(layer.n_out, layer.shape[1], -1)
    exists = _exists(layer, weight)
    values = _NORMS[norm](np.where(exists, weight, 0)).astype(weight.dtype)
    return _block_diagonal(layer, values, exists.any(axis=2), "channel")


def fold(values, layer: Layer, graph: LayerGraph, *, how: str = "mean") -> np.ndarray:
    """One score per parameter from values on the edges of one of the layer's views.

    Parameters
    ----------
    values : EdgeValues or array_like, shape (n_edges,)
        In edge order.
    layer : Layer
    graph : LayerGraph
        The view of the layer that the values belong to.
    how : {"mean", "sum", "min"}
        What becomes of the values of edges that share a parameter (unit view).

    Returns
    -------
    ndarray of float64, of the layer's canonical shape
        NaN where a parameter has no edge. In the channel view a value is repeated over the taps
        that exist.

    Raises
    ------
    GraphError
        An unknown `how`, or values or a graph that do not fit.

    Notes
    -----
    Cost: O(edges + parameters).

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> layer = ng.Layer("conv", np.ones((1, 1, 3)), padding=1)
    >>> graph = ng.layer_graph(layer, "unit", input_shape=(1, 4))
    >>> ng.fold(np.ones(graph.n_edges), layer, graph, how="sum")  # how often each tap is used
    array([[[3., 4., 3.]]])
    """
    known = ("mean", "sum", "min")
    if how not in known:
        raise GraphError(f"cannot fold by {how!r}{did_you_mean(how, known)}")
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (graph.n_edges,):
        raise GraphError(
            f"{graph!r} needs one value per edge, {graph.n_edges}, got shape {values.shape}"
        )
    parameters = np.arange(graph.n_edges) if graph.parameters is None else graph.parameters
    if (graph.parameters is None and graph.n_edges != layer.size) or (
        len(parameters) and parameters.max() >= layer.size
    ):
        raise GraphError(
            f"{graph!r} is no view of layer {layer.name!r} of shape {layer.shape}; fold with the "
            "graph that layer_graph or to_graph made of it"
        )
    if graph.view == "channel":
        taps = prod(layer.kernel)
        pairs = np.full(layer.size // taps, np.nan)
        pairs[parameters // taps] = values
        scores = np.repeat(pairs, taps).reshape(layer.shape)
        return np.where(_exists(layer, layer.array()), scores, np.nan)
    scores = np.full(layer.size, np.nan)
    if how == "min":
        scores[parameters] = np.inf
        np.minimum.at(scores, parameters, values)
    else:
        counts = np.bincount(parameters, minlength=layer.size)
        totals = np.bincount(parameters, values, layer.size)
        used = counts > 0
        scores[used] = totals[used] / (counts[used] if how == "mean" else 1)
    return scores.reshape(layer.shape)
