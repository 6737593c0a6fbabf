"""What the solvers see: a matrix with few empty rows and columns, of a size that squares well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import frexp, ldexp

import numpy as np
from scipy.sparse import csr_array

from ..graph import LayerGraph

_DENSE_DEGREE = 8
_NARROWED = 1 << 20  # from this many edges on, reading two bytes per index instead of four pays
_CHUNK = 1 << 21  # entries that are made dense and float64 at a time


@dataclass(frozen=True, eq=False)
class Matrix:
    """``scale * diag(rows) @ weights @ diag(columns)``.

    Parameters
    ----------
    weights : ndarray or csr_array, shape (n_rows, n_columns)
    unit : bool
        Every stored entry counts as 1, whatever it is.
    scale : float
    rows, columns : ndarray, optional
        None: ones.
    """

    weights: np.ndarray | csr_array
    unit: bool = False
    scale: float = 1.0
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None

    @classmethod
    def of(cls, graph: LayerGraph) -> Matrix:
        """The graph's weights; constant ones become ones, huge and tiny ones are scaled."""
        weights = _trimmed(graph)
        data = weights if isinstance(weights, np.ndarray) else weights.data
        if not data.size:
            return cls(weights)
        low, high = float(data.min()), float(data.max())
        if low == high and low != 0:
            return cls(weights, unit=True, scale=abs(low))
        peak = max(-low, high)
        if peak == 0 or 1e-9 < peak < 1e9:
            return cls(weights)
        exponent = frexp(peak)[1]  # products of such weights can overflow or vanish
        data = np.ldexp(np.asarray(data, np.float64), -exponent)
        if isinstance(weights, np.ndarray):
            return cls(data, scale=ldexp(1.0, exponent))
        return cls(_with(weights, data), scale=ldexp(1.0, exponent))

    @classmethod
    def pattern(cls, graph: LayerGraph) -> Matrix:
        """Ones where the graph has edges."""
        return cls(_trimmed(graph), unit=True)

    def normalized(self) -> Matrix:
        """``D_out^-1/2 W D_in^-1/2`` for non-negative W; vertices of strength 0 give zeros."""
        if self.unit and not self.sparse:
            n_rows, n_columns = self.shape
            return replace(self, scale=1 / np.sqrt(n_rows * n_columns))
        with np.errstate(divide="ignore"):
            rows, columns = (
                np.where(total > 0, 1 / np.sqrt(total), 0.0) for total in self._strengths()
            )
        return replace(self, scale=1.0, rows=rows, columns=columns)

    def _strengths(self) -> tuple[np.ndarray, np.ndarray]:
        if not self.sparse:
            return tuple(self.weights.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
        w = self.weights
        rows, columns = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        # Some rows at a time: bincount makes wide copies of what it reads.
        cuts = np.searchsorted(w.indptr, np.arange(0, w.nnz, _CHUNK))
        for start, stop in pairwise(np.unique([*cuts, len(rows)])):
            counts = np.diff(w.indptr[start : stop + 1])
            edges = slice(w.indptr[start], w.indptr[stop])
            weights = np.ones(counts.sum()) if self.unit else w.data[edges]
            owners = np.repeat(np.arange(len(counts)), counts)
            rows[start:stop] = np.bincount(owners, weights, len(counts))
            columns += np.bincount(w.indices[edges], weights, len(columns))
        return rows, columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are left."""
        return self.weights.shape

    @property
    def sparse(self) -> bool:
        """Whether the weights are a csr_array."""
        return not isinstance(self.weights, np.ndarray)

    @property
    def n_edges(self) -> int:
        """Stored entries."""
        return self.weights.nnz if self.sparse else self.weights.size

    @property
    def complete(self) -> bool:
        """Whether every pair is an edge."""
        return self.n_edges == self.shape[0] * self.shape[1]

    def frobenius(self) -> float:
        """Square of the Frobenius norm, without `scale`; an upper bound where rows are scaled."""
        if self.rows is not None:
            return float(min(self.shape))  # no singular value exceeds 1
        if self.unit:
            return float(self.n_edges)
        data = (self.weights.data if self.sparse else self.weights).reshape(-1)
        blocks = (data[i : i + _CHUNK].astype(np.float64) for i in range(0, data.size, _CHUNK))
        return float(sum(block @ block for block in blocks))

    def dense(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows `start` to `stop` as a float64 array, without `scale`."""
        part = self.weights[start:stop]
        if self.sparse:
            values = np.ones(part.nnz) if self.unit else part.data.astype(np.float64)
            part = _with(part, values).toarray()
        elif self.unit:
            part = np.ones(part.shape)
        else:
            part = part.astype(np.float64)
        if self.rows is not None:
            part *= self.rows[start:stop, None] * self.columns
        return part

    def blocks(self):
        """The whole as float64 arrays of some rows each."""
        step = max(1, _CHUNK // self.shape[1])
        for start in range(0, self.shape[0], step):
            yield self.dense(start, start + step)

    def transpose(self) -> Matrix:
        """The transposed matrix; a sparse one in CSR again."""
        weights = self.weights.T
        return replace(
            self, weights=weights.tocsr() if self.sparse else weights,
            rows=self.columns, columns=self.rows,
        )

    def parts(self):
        """A sparse matrix as ``indptr, indices, data`` for a kernel; data None where unit."""
        w = self.weights
        narrow = w.nnz > _NARROWED and w.shape[1] <= 1 << 16
        indices = w.indices.astype(np.uint16) if narrow else _unsigned(w.indices)
        return w.indptr.astype(np.uint64), indices, None if self.unit else w.data

    def scaled_parts(self):
        """The same with the scaled rows and columns multiplied in."""
        indptr, indices, data = self.parts()
        if self.rows is not None:
            counts = np.diff(self.weights.indptr)
            factors = np.repeat(self.rows, counts) * self.columns[self.weights.indices]
            data = factors if data is None else factors * data
        return indptr, indices, data


def live_vertices(graph: LayerGraph) -> tuple[int, int]:
    """How many outputs and how many inputs have an edge."""
    if not graph.is_sparse:
        return graph.shape
    outputs = np.count_nonzero(np.diff(graph.weights.indptr))
    return int(outputs), int(np.count_nonzero(_columns_in_use(graph.weights)))


def _columns_in_use(weights: csr_array) -> np.ndarray:
    used = np.zeros(weights.shape[1], dtype=bool)
    used[weights.indices] = True
    return used


def _trimmed(graph: LayerGraph):
    weights = graph.weights
    # Where degrees are large, few vertices are isolated, and as rows of zeros they do no harm.
    if not graph.is_sparse or weights.nnz >= _DENSE_DEGREE * max(weights.shape):
        return weights
    rows, columns = np.diff(weights.indptr) > 0, _columns_in_use(weights)
    if rows.all() and columns.all():
        return weights
    indptr = np.concatenate([weights.indptr[:1], weights.indptr[1:][rows]])
    number = np.cumsum(columns, dtype=weights.indices.dtype) - 1
    shape = (int(rows.sum()), int(columns.sum()))
    return csr_array((weights.data, number[weights.indices], indptr), shape=shape)


def _with(weights: csr_array, data: np.ndarray) -> csr_array:
    return csr_array((data, weights.indices, weights.indptr), shape=weights.shape)


def _unsigned(indices: np.ndarray) -> np.ndarray:
    """The same bits, unsigned: signed ones are tested for being negative at each access."""
    return indices.view(np.uint32 if indices.dtype.itemsize == 4 else np.uint64)
