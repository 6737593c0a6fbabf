"""Small and middle sizes: the Gram matrix on the smaller side, and its leading eigenvalues."""

from __future__ import annotations

from math import sqrt

import numpy as np

from ._bounds import ROUNDING, below, coupled
from ._found import Found
from ._matrix import Matrix

_DENSE_ENTRIES = 1 << 17  # matrices up to this size are made dense: no kernel need be loaded
_DENSE_SHARE = 0.3  # and denser ones: BLAS beats the sparse kernel
_SVD_ENTRIES = 1 << 22
_RESOLVED = 1e-6  # a Gram matrix holds eigenvalues down to about this times the largest one well
_NARROW = 1e-7  # relative width of lambda's interval that ends the search
_MOST_STEPS = 300
_COARSE = 64 * np.finfo(np.float32).eps


def gram_matrix(matrix: Matrix) -> tuple[np.ndarray, float]:
    """The Gram matrix on the smaller side and a bound of its rounding error in spectral norm.

    The result is column-major and holds the lower triangle only. Sparse patterns give exact counts
    in a small unsigned type.
    """
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.transpose() if wide else matrix
    error = tall.shape[0] * ROUNDING * matrix.frobenius()
    n = tall.shape[1]
    entries = tall.shape[0] * n
    if tall.sparse and entries > _DENSE_ENTRIES and tall.n_edges < _DENSE_SHARE * entries:
        from .._kernels.gram import gram

        counts = tall.unit and tall.rows is None
        small = counts and tall.shape[0] < 1 << 16
        out = np.zeros((n, n), dtype=np.uint16 if small else np.float64)
        gram(*tall.scaled_parts(), out)
        return out.T, 0.0 if counts else 3 * error
    out = np.zeros((n, n))
    for block in tall.blocks():
        out += block.T @ block
    return np.triu(out).T, 3 * error


def all_values(matrix: Matrix, k: int) -> Found:
    """The k largest from all eigenvalues of the Gram matrix, or by SVD where they lie far apart.

    Notes
    -----
    LAPACK's backward error is a modest multiple of the rounding unit times the norm; ten times the
    order is taken for it.
    """
    gram, error = gram_matrix(matrix)
    values = np.linalg.eigvalsh(gram.astype(np.float64), UPLO="L")[::-1]
    entries = matrix.shape[0] * matrix.shape[1]
    if values[k - 1] < _RESOLVED * values[0] and entries <= _SVD_ENTRIES:
        sigma = np.linalg.svd(matrix.dense(), compute_uv=False)
        error = 10 * max(matrix.shape) * ROUNDING * sigma[0]
        sigma = sigma[:k]
        return Found("svd", sigma, np.maximum(sigma - error, 0), sigma + error)
    error += 10 * len(values) * ROUNDING * values[0]
    values = values[:k]
    return Found.from_squares("gram", values, values - error, values + error)


def leading_values(matrix: Matrix, k: int, rng) -> Found:
    """The k largest by Lanczos on the Gram matrix, proved by one Cholesky factorisation.

    Where values repeat or lie too close, and the proof fails, all eigenvalues are computed.
    """
    gram, error = gram_matrix(matrix)
    live = np.flatnonzero(np.diagonal(gram))
    if len(live) < len(gram):
        gram = np.asfortranarray(gram[np.ix_(live, live)])
    if k < len(live):
        full, single = _both_precisions(gram)
        start = rng.standard_normal(len(live))
        # Single precision finds the vectors, mostly; the values are those of double precision.
        for copy in (single, full):
            found = _lanczos(copy, start, k)
            proved = None if found is None else _prove(full, single, error, *found)
            if proved is not None:
                return proved
    return all_values(matrix, k)


def _both_precisions(gram) -> tuple[np.ndarray, np.ndarray]:
    """The matrix in float64 and in float32, column-major."""
    # In one allocation: a C library gives memory beyond twice its largest block back to the system,
    # and fresh pages at each call would cost as much as the factorisation does.
    n = len(gram)
    block = np.empty((2, n * n))
    copies = block[0], block[1].view(np.float32)[: n * n]
    full, single = (copy.reshape(n, n).T for copy in copies)
    full[...] = gram
    single[...] = gram
    return full, single


def _lanczos(gram, start, k: int):
    """k leading Ritz vectors, and the ratio of the next value to the first; None: no success."""
    from scipy.linalg import eigh_tridiagonal
    from scipy.linalg.blas import dsymv, ssymv

    dtype = gram.dtype
    symv = ssymv if dtype == np.float32 else dsymv
    n = len(gram)
    most = min(n, _MOST_STEPS)
    basis = np.empty((most + 1, n), dtype)
    basis[0] = start / sqrt(start @ start)
    diagonal, beside = [], []
    check = min(most, 28 + 4 * k)
    for step in range(1, most + 1):
        so_far = basis[:step]
        new = symv(1.0, gram, basis[step - 1], lower=1)
        own = 0.0
        # By recurrence from the last two; then from all, of which rounding left a little.
        for earlier in (basis[max(step - 2, 0) : step], so_far):
            inner = earlier @ new
            new -= inner @ earlier
            own += float(inner[-1])
        diagonal.append(own)
        beside.append(sqrt(float(new @ new)))
        # No direction is left: the space is invariant up to rounding.
        ended = beside[-1] <= 20 * np.finfo(dtype).eps * max(diagonal)
        if not ended:
            basis[step] = new / beside[-1]
        if step < check and not ended:
            continue
        check = min(most, step + step // 8)
        values, vectors = eigh_tridiagonal(
            diagonal, beside[:-1], select="i", select_range=(max(0, step - k - 1), step - 1)
        )
        values, vectors = values[::-1], vectors[:, ::-1]
        residuals = beside[-1] * np.abs(vectors[-1, :k])
        if step >= k and (ended or _enough(values, residuals, k, dtype)):
            follows = values[k] / values[0] if len(values) > k else 0.0
            return vectors[:, :k].T @ so_far.astype(np.float64), follows
        if ended:
            return None
    return None


def _enough(values, residuals, k: int, dtype) -> bool:
    """Whether residuals are so small that the proof will give narrow intervals."""
    if residuals.max() <= 4 * np.finfo(dtype).eps * values[0]:
        return True
    gap = values[k - 1] - values[k] if len(values) > k else 0.0
    return 4 * float(residuals @ residuals) <= _NARROW * gap * values[k - 1]


def _prove(gram, single, error: float, vectors, follows: float) -> Found | None:
    """Intervals of the leading eigenvalues by residuals and Cholesky; None where too wide.

    `single` is the Gram matrix rounded to float32.
    """
    from scipy.linalg.blas import dsymv

    vectors = np.linalg.qr(vectors.T)[0]
    n, k = vectors.shape
    image = np.column_stack([dsymv(1.0, gram, vector, lower=1) for vector in vectors.T])
    small = vectors.T @ image
    values, turn = np.linalg.eigh((small + small.T) / 2)
    values, turn = values[::-1], turn[:, ::-1]
    if values[-1] <= 0:
        return None
    vectors = vectors @ turn
    residuals = np.linalg.norm(image @ turn - vectors * values, axis=0)
    slack = error + 4 * n * ROUNDING * float(np.trace(gram))
    coupling = float(np.linalg.norm(residuals))
    between = (values[-1] + follows * values[0]) / 2
    above = values[-1] + coupling + 4 * slack
    tries = [(k - 1, above, gram)]
    if values[-1] > between > 0 and coupling**2 < _NARROW * (values[-1] - between) * values[-1]:
        tries.insert(0, (k, between, gram))
        # The bound in single precision is wider than this; it takes half the time where it does.
        if values[-1] - between > _COARSE * n * between:
            tries.insert(0, (k, between, single))
    for deflated, tau, matrix in tries:
        top = below(matrix, vectors[:, :deflated], values[:deflated], tau)
        if top is None:
            continue
        upper = [coupled(value, coupling, top) for value in values[:deflated]]
        upper = np.array(upper + [top] * (k - deflated)) + slack
        lower = np.maximum(values - slack, 0)
        if np.all(upper - lower <= np.maximum(2 * _NARROW * values, 20 * slack)):
            return Found.from_squares("gram-lanczos", values, lower, upper, residuals)
    return None
