"""Effective resistances of one connected bipartite component: Schur complement onto its small side.

With B the conductances of a component, one row per vertex i of its large side, d the row sums and
P = B / d, the small side alone is a network with conductances S = B^T diag(1/d) B and the same
resistances r between its vertices. Each vertex of the large side then returns to it:

    R[i, j] = 1/d_i + (P r)[i, j] - (P r P^T)[i, i] / 2,

for every j of the small side, edge or not. No term is much larger than the result (see
`reduction._by_elimination`), so that R is as accurate as r.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from .reduction import Reduced, network_resistances

# Rows of the large side worked on together: as many as columns, so that reading these is cheap.
LEAST_BLOCK, MOST_BLOCK = 384, 2048
PAIR_BLOCK = 1 << 20  # pairs of edges of light rows worked on together
LARGEST = np.finfo(np.float64).max / 4
SPAN = 990  # binary orders of magnitude between largest and smallest weight that fit beside 1
FAR = 1000  # powers of two from 2**-FAR to 2**FAR are finite, and so are their reciprocals


def scale_exponent(smallest: float, largest: float) -> int:
    """The binary exponent that brings the largest weight to 1, or above it for wide spans."""
    (_, low), (_, high) = np.frexp(smallest), np.frexp(largest)
    return int(np.clip(np.clip(high - low - SPAN, 0, SPAN) - high, -FAR, FAR))


class DenseRows:
    """Rows of large-side vertices as a full array, overwritten by their resistances in the end."""

    def __init__(self, weights: np.ndarray, scale: float) -> None:
        # In the memory order of the weights, so that a transposed layer is never transposed.
        self.array = np.multiply(weights, scale, dtype=np.float64, order="K")
        self.scale, self.inverse = scale, 1 / self.array.sum(axis=1)
        self.array *= np.sqrt(self.inverse)[:, None]
        self._by_row = self.array.flags.c_contiguous

    def gram(self) -> np.ndarray:
        """``S`` of these rows, in Fortran order and 0 above the diagonal."""
        from scipy.linalg.blas import dsyrk

        a = self.array.T if self._by_row else self.array
        return dsyrk(1.0, a, trans=not self._by_row, lower=1)

    def resistances(self, r: np.ndarray) -> np.ndarray:
        """Resistances from each row's vertex to each small-side vertex; ends the life of `self`."""
        from scipy.linalg.blas import dgemm

        p, q = self.array.shape
        order = "C" if self._by_row else "F"
        step = -(-p // -(-p // min(max(q, LEAST_BLOCK), MOST_BLOCK)))  # equal blocks, rounded up
        hitting, through = (np.empty((step, q), order=order) for _ in range(2))
        root = np.sqrt(self.inverse)
        for start in range(0, p, step):
            rows = slice(start, start + step)
            if p - start < step:
                hitting, through = (np.empty((p - start, q), order=order) for _ in range(2))
            np.multiply(self.array[rows], root[rows, None], out=hitting)
            # r is symmetric, so a block in either memory order is a plain Fortran product.
            if self._by_row:
                dgemm(1.0, r, hitting.T, c=through.T, overwrite_c=1)
            else:
                dgemm(1.0, hitting, r, c=through, overwrite_c=1)
            shift = self.scale * self.inverse[rows]
            shift -= np.einsum("ij,ij->i", hitting, through) / 2
            np.add(through, shift[:, None], out=self.array[rows])
        self.array.flags.writeable = False  # so that a result can hold it without a copy
        return self.array


class SparseRows:
    """Rows of large-side vertices with few entries each, in CSR order."""

    def __init__(self, indptr, columns, weights, q: int, scale: float) -> None:
        self.indptr, self.columns, self.q, self.scale = indptr, columns, q, scale
        self._weights, self._counts = weights * scale, np.diff(indptr)
        self.inverse = 1 / np.add.reduceat(self._weights, indptr[:-1])

    def _times(self, factor: np.ndarray) -> np.ndarray:
        return self._weights * np.repeat(factor, self._counts)

    def gram(self) -> np.ndarray:
        """As :meth:`DenseRows.gram`."""
        data = self._times(np.sqrt(self.inverse))
        rows = csr_array((data, self.columns, self.indptr), shape=(len(self.inverse), self.q))
        return np.asfortranarray(np.tril((rows.T @ rows).toarray()))

    def resistances(self, r: np.ndarray) -> np.ndarray:
        """Resistances of these rows' entries."""
        hitting = self._times(self.inverse)
        through = np.empty_like(hitting)
        pairs = np.concatenate([[0], np.cumsum(self._counts**2)])
        start = 0
        while start < len(self._counts):
            end = int(np.searchsorted(pairs, pairs[start] + PAIR_BLOCK, side="right")) - 1
            end = max(end, start + 1)
            entries = slice(self.indptr[start], self.indptr[end])
            through[entries] = self._block(r, hitting, start, end)
            start = end
        half = np.add.reduceat(hitting * through, self.indptr[:-1]) / 2
        return through + np.repeat(self.scale * self.inverse - half, self._counts)

    def _block(self, r: np.ndarray, hitting: np.ndarray, start: int, end: int) -> np.ndarray:
        """``(P r)`` at the entries of some rows: each entry meets all entries of its row."""
        first, counts = self.indptr[start:end], self._counts[start:end]
        lengths = np.repeat(counts, counts)  # partners of each entry
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        partners = np.arange(offsets[-1]) + np.repeat(
            np.repeat(first, counts) - offsets[:-1], lengths
        )
        here = np.repeat(self.columns[self.indptr[start] : self.indptr[end]], lengths)
        products = hitting[partners] * r[here, self.columns[partners]]
        return np.add.reduceat(products, offsets[:-1])


def reduce(parts: list, exponent: int, eliminate: bool = False) -> Reduced:
    """The network that a component's small side sees, in the units of the weights.

    Parameters
    ----------
    parts : list of DenseRows and SparseRows
        All vertices of the large side, made with the scale ``2.0 ** exponent``.
    exponent : int
        As :func:`scale_exponent` gives it.
    eliminate : bool, optional
        Do not try Cholesky.

    Returns
    -------
    Reduced
        With the spanning trees of the whole component.
    """

    def conductances() -> np.ndarray:
        total = parts[0].gram()
        for part in parts[1:]:
            total += part.gram()
        return total

    reduced = network_resistances(conductances, eliminate)
    r = reduced.resistances
    r *= 2.0**exponent
    if not r.max() <= LARGEST:
        np.minimum(r, LARGEST, out=r)  # so that no infinity meets the weight 0
    inverses = np.concatenate([part.inverse for part in parts])
    vertices = len(inverses) + len(r)
    log_trees = reduced.log_trees - np.log(inverses).sum() - (vertices - 1) * exponent * np.log(2)
    return reduced._replace(resistances=r, log_trees=float(log_trees))
