"""A layer's connected components, and the resistances of the edges of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ..graph import LayerGraph
from .component import DenseRows, SparseRows, reduce, scale_exponent
from .reduction import Reduced

LIGHT = 20  # a vertex with fewer than 1/20 of all neighbours is cheaper by pairs of its edges
SMALL = 4096  # vertex pairs of a component that is always worked on as a full array


def complete_resistances(
    graph: LayerGraph, smallest: float, eliminate: bool = False
) -> tuple[np.ndarray, Reduced]:
    """As :meth:`Piece.resistances`, for a complete layer of given, positive smallest weight."""
    weights = graph.weights if graph.n_out >= graph.n_in else graph.weights.T
    exponent = scale_exponent(smallest, weights.max())
    part = DenseRows(weights, 2.0**exponent)
    reduced = reduce([part], exponent, eliminate)
    values = part.resistances(reduced.resistances)
    return (values if graph.n_out >= graph.n_in else values.T).reshape(-1), reduced


@dataclass(frozen=True, eq=False)
class Piece:
    """One connected component that has edges.

    Parameters
    ----------
    weights : csr_array, shape (outputs of the component, its inputs)
        Non-negative.
    outputs, inputs : ndarray
        Its vertices.
    edges : slice or ndarray
        Positions in the graph's edge order of the entries of `weights`.
    """

    weights: csr_array
    outputs: np.ndarray
    inputs: np.ndarray
    edges: slice | np.ndarray

    @property
    def exponent(self) -> int:
        """As :func:`scale_exponent` gives it."""
        data = self.weights.data
        smallest = data.min() or data[data > 0].min()
        return scale_exponent(smallest, data.max())

    def resistances(self, eliminate: bool = False) -> tuple[np.ndarray, Reduced]:
        """Resistances of the edges, and the network that the smaller side sees."""
        by_output = len(self.outputs) >= len(self.inputs)
        large, small = self.weights.shape if by_output else self.weights.shape[::-1]
        matrix = self.weights
        degrees = np.diff(matrix.indptr) if by_output else np.bincount(matrix.indices)
        heavy = degrees * LIGHT > small
        if heavy.all() or large * small <= SMALL:
            full, exponent = matrix.toarray(), self.exponent
            part = DenseRows(full if by_output else full.T, 2.0**exponent)
            del full
            reduced = reduce([part], exponent, eliminate)
            found = part.resistances(reduced.resistances)
            return _at(matrix, found if by_output else found.T), reduced
        order = csr_array((np.arange(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
        order = order if by_output else order.T.tocsr()
        return self._mixed(order, heavy, eliminate)

    def _mixed(
        self, order: csr_array, heavy: np.ndarray, eliminate: bool
    ) -> tuple[np.ndarray, Reduced]:
        """Where some rows of the large side are light; `order`: large by small, edge positions."""
        exponent = self.exponent
        scale, values = 2.0**exponent, np.empty(order.nnz)
        light = order[~heavy]
        weights = self.weights.data[light.data].astype(np.float64)
        parts = [SparseRows(light.indptr, light.indices, weights, order.shape[1], scale)]
        if heavy.any():
            dense = order[heavy]
            where = np.repeat(np.arange(dense.shape[0]), np.diff(dense.indptr)), dense.indices
            full = np.zeros(dense.shape)
            full[where] = self.weights.data[dense.data]
            parts.append(DenseRows(full, scale))
            del full
        reduced = reduce(parts, exponent, eliminate)
        values[light.data] = parts[0].resistances(reduced.resistances)
        if heavy.any():
            values[dense.data] = parts[1].resistances(reduced.resistances)[where]
        return values, reduced


def _at(pattern: csr_array, full: np.ndarray) -> np.ndarray:
    """Entries of `full` where the pattern has one, row by row to save index arrays."""
    values = np.empty(pattern.nnz)  # with any other mode `take` would fill a copy of it first
    for row, start, end in zip(full, pattern.indptr[:-1], pattern.indptr[1:], strict=True):
        row.take(pattern.indices[start:end], out=values[start:end], mode="clip")
    return values


class Components:
    """The connected components of a layer's edges of positive weight.

    Parameters
    ----------
    graph : LayerGraph
        With non-negative weights.

    Attributes
    ----------
    count : int
        Number of components, isolated vertices included.
    """

    def __init__(self, graph: LayerGraph) -> None:
        from scipy.sparse.csgraph import connected_components

        self._weights = graph.tocsr()
        self._edges: slice | np.ndarray = slice(None)
        self._n_in, vertices = graph.n_in, graph.n_in + graph.n_out
        w = self._weights
        if w.nnz and w.data.min() == 0:
            w = _subset(w, np.flatnonzero(w.data))
        if _plainly_connected(w):
            self.count, self._labels = 1, np.zeros(vertices, dtype=np.int32)
        else:
            indptr = np.concatenate([np.zeros(graph.n_in, dtype=w.indptr.dtype), w.indptr])
            adjacency = csr_array((np.ones(w.nnz, bool), w.indices, indptr), (vertices, vertices))
            self.count, self._labels = connected_components(adjacency, directed=False)
        self._inputs = _Groups(self._labels[: self._n_in], self.count)
        self._outputs = _Groups(self._labels[self._n_in :], self.count)
        if w.nnz < self._weights.nnz:
            self._leave_out_edges_between()
        # A component with as many edges as vertices less one is a tree: zero weights close cycles.
        of_edges = self._labels[self._n_in :], np.diff(self._weights.indptr)
        self._sizes = np.bincount(*of_edges, minlength=self.count)
        self._trees = self._sizes == self._inputs.sizes + self._outputs.sizes - 1

    def _leave_out_edges_between(self) -> None:
        """Edges of weight zero between components belong to none."""
        w, labels = self._weights, self._labels
        rows = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
        inside = np.flatnonzero(labels[self._n_in + rows] == labels[w.indices])
        if len(inside) < w.nnz:
            self._weights, self._edges = _subset(w, inside), inside

    def bridges(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and weights of the edges of components that are trees."""
        w = self._weights
        in_tree = np.repeat(self._trees[self._labels[self._n_in :]], np.diff(w.indptr))
        positions = np.flatnonzero(in_tree)
        return self._positions(positions), w.data[positions].astype(np.float64)

    def pieces(self, *, trees: bool) -> Iterator[Piece]:
        """The components that have edges, with or without those that are trees."""
        w = self._weights
        labels = np.flatnonzero(self._sizes if trees else self._sizes * ~self._trees)
        order = None
        for label in labels:
            outputs, inputs = self._outputs[label], self._inputs[label]
            if (len(outputs), len(inputs)) == w.shape:
                yield Piece(w, outputs, inputs, self._edges)
                return
            if order is None:
                order = csr_array((np.arange(w.nnz), w.indices, w.indptr), shape=w.shape)
            own = order[outputs]
            indices, shape = self._inputs.rank[own.indices], (len(outputs), len(inputs))
            weights = csr_array((w.data[own.data], indices, own.indptr), shape=shape)
            yield Piece(weights, outputs, inputs, self._positions(own.data))

    def _positions(self, entries: np.ndarray) -> np.ndarray:
        return entries if isinstance(self._edges, slice) else self._edges[entries]


class _Groups:
    """Vertices by label, and the rank of each among those of its label."""

    def __init__(self, labels: np.ndarray, count: int) -> None:
        self._order = np.argsort(labels, kind="stable")
        self.sizes = np.bincount(labels, minlength=count)
        self._ends = np.cumsum(self.sizes)
        self.rank = np.empty(len(labels), dtype=np.int64)
        self.rank[self._order] = np.arange(len(labels))
        self.rank -= (self._ends - self.sizes)[labels]

    def __getitem__(self, label: int) -> np.ndarray:
        end = self._ends[label]
        return self._order[end - self.sizes[label] : end]


def _plainly_connected(pattern: csr_array) -> bool:
    """Whether the output of most neighbours reaches all in three steps: the dense case, cheaply."""
    degrees = np.diff(pattern.indptr)
    if not degrees.all():
        return False
    reached = np.zeros(pattern.shape[1], dtype=bool)
    best = degrees.argmax()
    reached[pattern.indices[pattern.indptr[best] : pattern.indptr[best + 1]]] = True
    if not np.logical_or.reduceat(reached[pattern.indices], pattern.indptr[:-1]).all():
        return False
    reached[pattern.indices] = True
    return bool(reached.all())


def _subset(matrix: csr_array, entries: np.ndarray) -> csr_array:
    """The matrix with only some of its stored entries, given by their sorted positions."""
    indptr = np.searchsorted(entries, matrix.indptr)
    return csr_array((matrix.data[entries], matrix.indices[entries], indptr), shape=matrix.shape)
