"""Values carried along a network graph, from its input to its output and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
from scipy.sparse import csr_array

from ._errors import ChainError
from .graph import Join, LayerGraph, NetworkGraph

Cross = Callable[[int, LayerGraph, np.ndarray, bool], np.ndarray]


@dataclass(frozen=True)
class Sweep:
    """Values at the inputs and at the outputs of each layer, and at the far end of the network."""

    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    end: np.ndarray


@dataclass(frozen=True)
class Flow:
    """A network's joins, checked, and an order of its layers in which each follows its sources."""

    network: NetworkGraph
    joins: tuple[Join, ...]
    order: tuple[int, ...]
    n_input: int
    n_output: int

    @classmethod
    def of(cls, network: NetworkGraph, purpose: str) -> Flow:
        """The flow of a network whose joins are known; ChainError where they lead nowhere."""
        if not isinstance(network, NetworkGraph):
            raise TypeError(
                f"{purpose} needs a NetworkGraph, got {type(network).__name__}; make one with "
                "nngraph.to_graph(network) or nngraph.NetworkGraph([layer, ...])"
            )
        joins, last = tuple(network.require_joins(purpose)), len(network)
        sources: dict[int, set[int]] = {k: set() for k in range(last)}
        for join in joins:
            if join.source >= last or join.target > last:
                raise ChainError(
                    f"a join leads from layer {join.source} to layer {join.target}, and there are "
                    f"{last} layers"
                )
            if join.source >= 0 and join.target < last:
                sources[join.target].add(join.source)
        try:
            order = tuple(TopologicalSorter(sources).static_order())
        except CycleError as error:
            loop = " -> ".join(network.names[k] for k in reversed(error.args[1]))
            raise ChainError(
                f"{purpose} needs layers that can be put in order, and these form a loop (a layer "
                f"that is used again, or a recurrence): {loop}"
            ) from None
        n_input = _extent({j.matrix.shape[1] for j in joins if j.source < 0}, "the input")
        n_output = _extent({j.matrix.shape[0] for j in joins if j.target == last}, "the output")
        return cls(network, joins, order, n_input, n_output)

    def forward(self, start, cross: Cross) -> Sweep:
        """From `start`, an array at the network's input, through all joins and layers.

        ``cross(k, graph, values, back)`` carries values over layer k.
        """
        inputs, outputs = {}, {-1: start}
        for k in self.order:
            graph = self.network[k]
            into = [(j, outputs[j.source]) for j in self.joins if j.target == k]
            inputs[k] = _collect(into, graph.n_in, start.dtype, back=False)
            outputs[k] = cross(k, graph, inputs[k], False)
        into = [(j, outputs[j.source]) for j in self.joins if j.target == len(self.network)]
        end = _collect(into, self.n_output, start.dtype, back=False)
        return self._sweep(inputs, outputs, end)

    def backward(self, start, cross: Cross) -> Sweep:
        """From `start`, an array at the network's output, against all joins and layers."""
        inputs, outputs = {len(self.network): start}, {}
        for k in reversed(self.order):
            graph = self.network[k]
            out = [(j, inputs[j.target]) for j in self.joins if j.source == k]
            outputs[k] = _collect(out, graph.n_out, start.dtype, back=True)
            inputs[k] = cross(k, graph, outputs[k], True)
        out = [(j, inputs[j.target]) for j in self.joins if j.source < 0]
        end = _collect(out, self.n_input, start.dtype, back=True)
        return self._sweep(inputs, outputs, end)

    def _sweep(self, inputs: dict, outputs: dict, end: np.ndarray) -> Sweep:
        layers = range(len(self.network))
        return Sweep(tuple(inputs[k] for k in layers), tuple(outputs[k] for k in layers), end)


def position(network: NetworkGraph, layer: int | str) -> int:
    """The index of a layer given by index or name."""
    if isinstance(layer, str):
        if layer not in network.names:
            raise KeyError(f"no layer is named {layer!r}; there are {list(network.names)}")
        return network.names.index(layer)
    return range(len(network))[layer]


def push(matrix: np.ndarray | csr_array, values: np.ndarray, back: bool) -> np.ndarray:
    """Sum of `values` over the neighbours of each row's vertex, or with `back` of each column's.

    Only the pattern of `matrix` counts; a dense one is complete. Sums of bools are "any", those of
    int64 become Python ints where they might not fit.
    """
    (values,) = widen(values)
    n = matrix.shape[1 if back else 0]
    if isinstance(matrix, np.ndarray):
        return np.full(n, np.add.reduce(values, dtype=values.dtype), values.dtype)
    indptr, indices = matrix.indptr, matrix.indices
    if back:
        marks = np.ones(len(indices), bool)
        turned = csr_array((marks, indices, indptr), shape=matrix.shape).tocsc()
        indptr, indices = turned.indptr, turned.indices
    sums = np.zeros(n, values.dtype)
    filled = np.diff(indptr) > 0
    if filled.any():
        # Starts of the rows that are not empty: empty ones between them hold no entries.
        sums[filled] = np.add.reduceat(values[indices], indptr[:-1][filled])
    return sums


def widen(*vectors: np.ndarray) -> tuple[np.ndarray, ...]:
    """The vectors, as Python ints where they are int64 and a sum of all might not fit."""
    whole = all(v.dtype == np.int64 for v in vectors)
    if vectors[0].dtype.kind in "bf" or (
        whole and sum(float(v.sum(dtype=np.float64)) for v in vectors) < 2.0**62
    ):
        return vectors
    return tuple(v.astype(object) for v in vectors)


def _collect(parts: Sequence, n: int, dtype, *, back: bool) -> np.ndarray:
    """Sum over joins of the values that they carry to n vertices."""
    for join, values in parts:
        here, there = (1, 0) if back else (0, 1)
        if join.matrix.shape[here] != n or join.matrix.shape[there] != len(values):
            raise ChainError(
                f"the join from {join.source} to {join.target} has shape {join.matrix.shape}, "
                f"and joins {len(values)} vertices to {n} (going "
                f"{'back' if back else 'forward'}); its shape must be (inputs of the target, "
                "outputs of the source)"
            )
    if not parts:
        return np.zeros(n, dtype)
    arrays = widen(*(values for _, values in parts))
    carried = [push(j.matrix, v, back) for (j, _), v in zip(parts, arrays, strict=True)]
    return sum(carried[1:], start=carried[0])


def _extent(sizes: set[int], what: str) -> int:
    if len(sizes) != 1:
        raise ChainError(
            f"{what} is {'joined to no layer' if not sizes else f'of several sizes, {sizes}'}; "
            "joins lead from source -1 to target len(layers)"
        )
    return sizes.pop()
