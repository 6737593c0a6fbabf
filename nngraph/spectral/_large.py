"""Large matrices: block Lanczos on W^T W without forming it, from a random start."""

from __future__ import annotations

import numpy as np

from ._bounds import FAILURE, ROUNDING, stretch
from ._found import Found
from ._matrix import Matrix

_BASIS_ENTRIES = 1 << 26  # 512 MB
_LEAST_COLUMNS, _MOST_COLUMNS = 96, 1200
_TOLERANCE = 2e-8  # of an eigenvalue, that is 1e-8 of a singular value
_DROPPED = 1e-11  # smaller directions, relative to the largest product, are rounding errors


class _Normal:
    """``W^T W`` or ``W W^T``, on the shorter side of a sparse and the columns of a dense matrix."""

    def __init__(self, matrix: Matrix) -> None:
        n_rows, n_columns = matrix.shape
        self.matrix = matrix
        self._on_rows = matrix.sparse and n_rows < n_columns
        self.n = n_rows if self._on_rows else n_columns
        if matrix.sparse:
            self._parts = matrix.parts()
            self._between = np.empty((n_columns if self._on_rows else n_rows, 2))
        scales = (matrix.rows, matrix.columns)
        self._own, inner = scales if self._on_rows else scales[::-1]
        self._inner = None if inner is None else inner[:, None] ** 2

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The product with x, shape (n, width)."""
        out = np.empty_like(x)
        for first in range(0, x.shape[1], 2):
            pair = np.zeros((self.n, 2))
            width = min(2, x.shape[1] - first)
            pair[:, :width] = x[:, first : first + width]
            if self._own is not None:
                pair *= self._own[:, None]
            image = self._sparse(pair) if self.matrix.sparse else self._dense(pair)
            if self._own is not None:
                image *= self._own[:, None]
            out[:, first : first + width] = image[:, :width]
        return out

    def _sparse(self, pair: np.ndarray) -> np.ndarray:
        from .._kernels.products import times, transpose_times

        there, back = (transpose_times, times) if self._on_rows else (times, transpose_times)
        there(*self._parts, pair, self._between)
        if self._inner is not None:
            self._between *= self._inner
        image = np.empty_like(pair)
        back(*self._parts, self._between, image)
        return image

    def _dense(self, pair: np.ndarray) -> np.ndarray:
        from .._kernels.products import dense_normal

        matrix = self.matrix
        middle = np.ones(matrix.shape[0]) if self._inner is None else self._inner[:, 0]
        if matrix.unit:
            middle = middle / float(matrix.weights[0, 0]) ** 2
        image = np.empty((2, self.n))
        dense_normal(matrix.weights, middle, np.ascontiguousarray(pair.T), image)
        return image.T


def block_values(matrix: Matrix, k: int, rng) -> Found:
    """The k largest by block Lanczos with full reorthogonalisation.

    Repeated values are found up to the width of the block, which is k or k + 1.
    """
    normal = _Normal(matrix)
    n = normal.n
    width = min(n, max(2, k + k % 2))
    columns = min(n, max(_LEAST_COLUMNS, 8 * width, min(_MOST_COLUMNS, _BASIS_ENTRIES // n)))
    basis = np.empty((n, columns + width), order="F")
    projected = np.zeros((columns + width, columns + width))
    block = np.linalg.qr(rng.standard_normal((n, width)))[0]
    used, products, peak, previous, check = 0, 0, 0.0, None, 12 * width
    while True:
        new = slice(used, used + block.shape[1])
        basis[:, new] = block
        used = new.stop
        image = normal(block)
        products += 1
        peak = max(peak, float(np.linalg.norm(image, axis=0).max()))
        for _ in range(2):
            inner = basis[:, :used].T @ image
            projected[:used, new] += inner
            image -= basis[:, :used] @ inner
        block, coupling = _orthonormal(image, basis[:, :used], peak)
        exhausted = block.shape[1] == 0
        full = used + block.shape[1] > columns
        if not exhausted:
            projected[used : used + block.shape[1], new] = coupling
        if used < check and not exhausted and not full:
            continue
        check = used + max(2 * width, used // 12)
        values, turn = _eigen(projected[:used, :used])
        residuals = np.zeros(k)
        if not exhausted:
            residuals = np.linalg.norm(coupling @ turn[new, :k], axis=0)
        converged = exhausted or _settled(values, residuals, previous, k)
        if converged or full:
            break
        previous = values[:k]
    vectors = basis[:, :used] @ turn[:, :k]
    factors = np.ones(k)
    if not exhausted:
        chances = ((i, width, products - 1, n, FAILURE / k) for i in range(1, k + 1))
        factors = np.array([stretch(*chance) for chance in chances])
    return _intervals(normal, vectors, factors, converged)


def _orthonormal(image, basis, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis of the columns and their coordinates in it; rounding errors dropped."""
    q, r = np.linalg.qr(image)
    left, size, _ = np.linalg.svd(r)
    kept = size > _DROPPED * peak
    block = q @ left[:, kept]
    if np.any(size[kept] < 1e-4 * peak):  # what cancelled so far is no longer orthogonal
        block -= basis @ (basis.T @ block)
        block = np.linalg.qr(block)[0] if block.size else block
    return block, block.T @ image


def _eigen(projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues from the largest down, and vectors; the lower triangle is what was measured."""
    values, turn = np.linalg.eigh((projected + projected.T) / 2)
    return values[::-1], turn[:, ::-1]


def _settled(values, residuals, previous, k: int) -> bool:
    """Whether the k values are within the tolerance, by residuals and by how they still grow."""
    if previous is None or len(values) <= k:
        return False
    gap = max(values[k - 1] - values[k], np.finfo(float).tiny)
    errors = np.minimum(residuals, residuals**2 / gap)
    growth = np.abs(values[:k] - previous)
    allowed = _TOLERANCE * values[:k] + 1e-14 * values[0]
    # Residuals overestimate; growth alone may pause before a larger value is found.
    return bool(np.all((errors <= allowed) | ((growth <= allowed) & (errors <= 100 * allowed))))


def _intervals(normal: _Normal, vectors, factors, converged: bool) -> Found:
    """Values of the final vectors, with rigorous lower and probable upper ends."""
    vectors = np.linalg.qr(vectors)[0]
    image = normal(vectors)
    values, turn = _eigen(vectors.T @ image)
    residuals = np.linalg.norm(image @ turn - vectors @ (turn * values), axis=0)
    total = normal.matrix.frobenius()
    slack = 4 * ROUNDING * (sum(normal.matrix.shape) + normal.n) * total
    upper = np.maximum(values, 0) * factors + slack
    upper = np.minimum(upper, total * (1 + 1e-12) / np.arange(1, len(values) + 1))
    upper = np.maximum(upper, values + _DROPPED * values[0])
    return Found.from_squares(
        "block-lanczos", values, np.maximum(values - slack, 0), upper, residuals + slack,
        failure=FAILURE, converged=converged,
    )
