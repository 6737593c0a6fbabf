"""A layer's connected components, and the resistances of the edges of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ..graph import LayerGraph
from .component import DenseRows, SparseRows, reduce, scale_exponent
from .reduction import Reduced

LIGHT = 20  # a row with fewer than 1/20 of the entries is cheaper by pairs than by full products
SMALL = 4096  # entries of a component that is always worked on as a full array


@dataclass(frozen=True, eq=False)
class Piece:
    """Edges of one connected component, and where they lie between its two sides.

    Parameters
    ----------
    edges : ndarray of int64
        Positions in the graph's edge order; zero weights between connected vertices are among them.
    weights : ndarray of float64
        Of these edges.
    outputs, inputs : ndarray of int64
        The component's vertices.
    rows, columns : ndarray of int64
        Positions in `outputs` and `inputs` of the ends of each edge.
    """

    edges: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray
    inputs: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def is_tree(self) -> bool:
        """Whether it has no cycle and no edge of weight zero."""
        vertices = len(self.outputs) + len(self.inputs)
        return len(self.edges) == vertices - 1 and bool(self.weights.all())

    def toarray(self) -> np.ndarray:
        """Weights as a full array, outputs by inputs."""
        full = np.zeros((len(self.outputs), len(self.inputs)))
        full[self.rows, self.columns] = self.weights
        return full

    def resistances(self, eliminate: bool = False) -> tuple[np.ndarray, Reduced]:
        """Resistances of the edges, and the network that the smaller side sees."""
        exponent = scale_exponent(self.weights[self.weights > 0].min(), self.weights.max())
        scale = 2.0**exponent
        weights, large, small = self.weights, self.rows, self.columns
        p, q = len(self.outputs), len(self.inputs)
        if p < q:
            large, small, p, q = small, large, q, p
        heavy = np.bincount(large, minlength=p) * LIGHT > q if p * q > SMALL else np.ones(p, bool)
        dense, sparse = heavy[large], None
        rank = np.cumsum(heavy) - 1
        parts = []
        if heavy.any():
            full = np.zeros((rank[-1] + 1, q))
            where = rank[large[dense]], small[dense]
            full[where] = weights[dense]
            parts.append(DenseRows(full, scale))
            del full
        if not heavy.all():
            sparse = np.flatnonzero(~dense)
            sparse = sparse[np.argsort(large[sparse], kind="stable")]
            counts = np.bincount(large[sparse], minlength=p)[~heavy]
            indptr = np.concatenate([[0], np.cumsum(counts)])
            parts.append(SparseRows(indptr, small[sparse], weights[sparse], q, scale))
        reduced = reduce(parts, exponent, eliminate)
        values = np.empty(len(weights))
        if heavy.any():
            values[dense] = parts[0].resistances(reduced.resistances)[where]
        if sparse is not None:
            values[sparse] = parts[-1].resistances(reduced.resistances)
        return values, reduced


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
class Components:
    """The connected components of a layer's edges of positive weight.

    Parameters
    ----------
    graph : LayerGraph
        With non-negative weights.
    """

    graph: LayerGraph

    def __post_init__(self) -> None:
        from scipy.sparse.csgraph import connected_components

        graph = self.graph
        rows, columns = graph.edges()
        positive = graph.data > 0
        counts = np.bincount(rows[positive], minlength=graph.n_out)
        indptr = np.concatenate([np.zeros(graph.n_in + 1, dtype=np.int64), np.cumsum(counts)])
        vertices = graph.n_in + graph.n_out
        adjacency = csr_array(
            (positive[positive], columns[positive], indptr), shape=(vertices, vertices)
        )
        count, labels = connected_components(adjacency, directed=False)
        fix = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731
        fix("count", int(count))
        fix("labels", labels)
        fix("_ends", (rows, columns))

    def __iter__(self) -> Iterator[Piece]:
        """The components that have edges; edges of weight zero between components are in none."""
        n_in, (rows, columns) = self.graph.n_in, self._ends
        of_input, of_output = self.labels[:n_in], self.labels[n_in:]
        inside = np.flatnonzero(of_output[rows] == of_input[columns])
        inputs, outputs, edges = (
            _Groups(of, self.count) for of in (of_input, of_output, of_output[rows[inside]])
        )
        for label in np.flatnonzero(edges.sizes):
            chosen = inside[edges[label]]
            yield Piece(
                edges=chosen,
                weights=self.graph.data[chosen].astype(np.float64),
                outputs=outputs[label],
                inputs=inputs[label],
                rows=outputs.rank[rows[chosen]],
                columns=inputs.rank[columns[chosen]],
            )


class _Groups:
    """Positions by label, and the rank of each position among those of its label."""

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
