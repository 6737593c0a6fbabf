"""Gram matrix of a sparse matrix, on its columns."""

from __future__ import annotations

import numpy as np

from .._jit import kernel


@kernel
def gram(indptr, indices, data, out):
    """Add the upper triangle of ``M.T @ M`` to `out`.

    Parameters
    ----------
    indptr : uint64 array, shape (n_rows + 1,)
    indices : unsigned integer array, shape (nnz,)
        Sorted within each row.
    data : float array, shape (nnz,), or None
        None: every entry is 1.
    out : array, shape (n_columns, n_columns)
        Any type that holds the sums.
    """
    for r in range(indptr.size - 1):
        last = indptr[r + 1]
        for a in range(indptr[r], last):
            row = out[indices[a]]
            if data is None:
                for b in range(a, last):
                    row[indices[b]] += 1
            else:
                weight = np.float64(data[a])
                for b in range(a, last):
                    row[indices[b]] += weight * data[b]
