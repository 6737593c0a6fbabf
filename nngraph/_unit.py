"""The unit view: a layer unrolled over space, one edge per use of a parameter."""

from __future__ import annotations

from math import prod

import numpy as np
from scipy.sparse import csr_array

from ._canonical import freeze
from ._errors import GraphError, UnsupportedOpError
from ._windows import layer_shape, tap_pairs
from .graph import LayerGraph
from .network import Layer

_BLOCK_EDGES = 500_000  # edges made at once


def unit_shapes(layer: Layer, input_shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of one example before and after a layer; an error says what is missing."""
    if layer.kind in ("embedding", "recurrent"):
        raise UnsupportedOpError(
            f"layer {layer.name!r} is of kind {layer.kind!r}, which has no unit view; take the "
            "kernel view"
        )
    if input_shape is None and layer.kernel:
        space = ", ".join(("depth", "height", "width")[-len(layer.kernel) :])
        raise GraphError(
            f"the unit view of layer {layer.name!r} needs the shape of its input; pass "
            f"input_shape=({layer.n_in}, {space}), or to to_graph that of the network's input, or "
            'begin the chain with {"input": [...]}'
        )
    before = (layer.n_in,) if input_shape is None else tuple(int(n) for n in input_shape)
    return before, layer_shape(layer, before)


def repeated(layer: Layer, graph: LayerGraph, input_shape, max_edges: int) -> LayerGraph:
    """The unit view of a linear layer, from its kernel view: one copy per place it is used at."""
    before, after = unit_shapes(layer, input_shape)
    times = prod(before[:-1])
    _check_budget(layer, graph.n_edges * times, max_edges)
    csr = graph.tocsr()
    columns = csr.indices + np.arange(times)[:, None] * layer.n_in
    indptr = np.concatenate([[0], np.cumsum(np.tile(np.diff(csr.indptr), times))])
    weights = csr_array(
        (np.tile(csr.data, times), columns.ravel(), indptr), shape=(prod(after), prod(before))
    )
    parameters = np.arange(graph.n_edges) if graph.parameters is None else graph.parameters
    return LayerGraph(weights, layer.name, parameters=np.tile(parameters, times), view="unit")


def unrolled(layer: Layer, weight, exists, input_shape, max_edges: int) -> LayerGraph:
    """The unit view of a convolution.

    `weight` and `exists` (which parameters are edges) have shape (n_out, n_in / groups, taps).
    """
    before, after = unit_shapes(layer, input_shape)
    pairs = list(tap_pairs(layer, before))
    per_output = exists.sum(axis=1) @ np.array([len(at) for at, _ in pairs])
    _check_budget(layer, int(per_output.sum()), max_edges)
    if layer.transposed:  # so that each row's columns come out ascending
        pairs.reverse()
    ends = np.cumsum(per_output)
    index = np.int32 if max(ends[-1], prod(before)) <= np.iinfo(np.int32).max else np.int64
    data, parameters = np.empty(ends[-1], weight.dtype), np.empty(ends[-1], np.int64)
    columns, indptr = np.empty(ends[-1], index), np.zeros(prod(after) + 1, index)
    block = max(1, _BLOCK_EDGES // max(1, int(per_output.max())))
    places = prod(after[1:])
    for first in range(0, layer.n_out, block):
        last = min(first + block, layer.n_out)
        part = _block(layer, exists[first:last], first, pairs, (prod(before), places))
        here = slice(ends[first] - per_output[first], ends[last - 1])
        parameters[here], columns[here] = part.data, part.indices
        data[here] = weight.reshape(-1)[part.data]
        indptr[first * places + 1 : last * places + 1] = part.indptr[1:] + here.start
    # Frozen, so that the graph need not copy them.
    weights = freeze(csr_array((data, columns, indptr), shape=(prod(after), prod(before))))
    return LayerGraph(weights, layer.name, parameters=freeze(parameters), view="unit")


def _block(layer: Layer, exists, first: int, pairs, sizes) -> csr_array:
    """The rows of the output channels from `first`, with the parameter of each edge as its data."""
    (n_in, places), taps = sizes, len(pairs)
    uses = np.array([len(at) for at, _ in pairs])
    starts = np.cumsum(uses) - uses
    output_places, input_places = (np.concatenate(side) for side in zip(*pairs, strict=True))
    step = -1 if layer.transposed else 1
    o, c, t = np.nonzero(exists[:, :, ::step])
    times = uses[t]
    edges = np.arange(times.sum()) + np.repeat(starts[t] - (np.cumsum(times) - times), times)
    rows = np.repeat(o * places, times) + output_places[edges]
    o += first
    channel = o // (layer.n_out // layer.groups) * layer.shape[1] + c
    columns = np.repeat(channel * (n_in // layer.n_in), times) + input_places[edges]
    tap = taps - 1 - t if layer.transposed else t
    parameters = np.repeat((o * layer.shape[1] + c) * taps + tap, times)
    # The conversion sorts by row and keeps the order within.
    return csr_array((parameters, (rows, columns)), shape=(len(exists) * places, n_in))


def _check_budget(layer: Layer, n_edges: int, max_edges: int) -> None:
    if n_edges > max_edges:
        raise GraphError(
            f"the unit view of layer {layer.name!r} has {n_edges:,} edges, more than "
            f"{max_edges:,}; take the kernel view, a smaller input_shape, or raise max_edges"
        )
