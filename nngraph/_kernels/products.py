"""Products of a large matrix with two vectors at a time: each weight is read once for both.

Weights may be float32; every product and sum is float64. Unsigned indices spare Numba the test for
negative ones, which costs a third of the time.
"""

from __future__ import annotations

import numpy as np

from .._jit import kernel

ONE = np.uint64(1)
LANES = 512  # partial sums per row of a dense matrix, so that the loop over them is vectorised


@kernel
def times(indptr, indices, data, x, y):
    """``y = M @ x`` for a sparse M.

    Parameters
    ----------
    indptr : uint64 array, shape (n_rows + 1,)
    indices : unsigned integer array, shape (nnz,)
    data : float array, shape (nnz,), or None
        None: every entry is 1.
    x : float64 array, shape (n_columns, 2)
    y : float64 array, shape (n_rows, 2)
    """
    for r in range(indptr.size - 1):
        start, stop = indptr[r], indptr[r + 1]
        first = 0.0
        second = 0.0
        if data is None:
            for k in range(start, stop):
                j = indices[k]
                first += x[j, 0]
                second += x[j, 1]
        else:
            # Both halves of the row at once: a sum need not wait for the one before it.
            half = (stop - start) >> ONE
            other_first = 0.0
            other_second = 0.0
            for k in range(start, start + half):
                j = indices[k]
                weight = np.float64(data[k])
                first += weight * x[j, 0]
                second += weight * x[j, 1]
                j = indices[k + half]
                weight = np.float64(data[k + half])
                other_first += weight * x[j, 0]
                other_second += weight * x[j, 1]
            for k in range(start + half + half, stop):
                weight = np.float64(data[k])
                first += weight * x[indices[k], 0]
                second += weight * x[indices[k], 1]
            first += other_first
            second += other_second
        y[r, 0] = first
        y[r, 1] = second


@kernel
def transpose_times(indptr, indices, data, y, x):
    """``x = M.T @ y``; otherwise as :func:`times`."""
    x[:] = 0.0
    for r in range(indptr.size - 1):
        first = y[r, 0]
        second = y[r, 1]
        for k in range(indptr[r], indptr[r + 1]):
            j = indices[k]
            if data is None:
                x[j, 0] += first
                x[j, 1] += second
            else:
                weight = np.float64(data[k])
                x[j, 0] += weight * first
                x[j, 1] += weight * second


@kernel
def dense_normal(matrix, middle, x, z):
    """``z = M.T @ (middle * (M @ x.T)).T``, transposed: each row of M is read once.

    Parameters
    ----------
    matrix : float array, shape (n_rows, n_columns)
    middle : float64 array, shape (n_rows,)
    x, z : float64 arrays, shape (2, n_columns)
    """
    n = matrix.shape[1]
    sums = np.empty((2, LANES))
    z[:] = 0.0
    for r in range(matrix.shape[0]):
        sums[:] = 0.0
        for start in range(0, n, LANES):
            stop = min(start + LANES, n)
            w = matrix[r, start:stop]
            a, b = x[0, start:stop], x[1, start:stop]
            for c in range(stop - start):
                sums[0, c] += w[c] * a[c]
            for c in range(stop - start):
                sums[1, c] += w[c] * b[c]
        first = middle[r] * sums[0].sum()
        second = middle[r] * sums[1].sum()
        w = matrix[r]
        for c in range(n):
            z[0, c] += first * w[c]
        for c in range(n):
            z[1, c] += second * w[c]
