"""singular_values: the largest ones, with intervals that hold the true ones."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from .._canonical import FrozenArrays
from .._errors import ConvergenceError, GraphError
from ..graph import as_layer_graph
from ..parallel import single_blas_thread
from ._bounds import ROUNDING
from ._found import Found
from ._gram import all_values, leading_values
from ._large import block_values
from ._matrix import Matrix

ALL_SIDE = 320  # up to this side LAPACK computes every eigenvalue of the Gram matrix
GRAM_SIDE = 1536  # up to this side the Gram matrix is formed, so that the index can be proved
_MANY = 20  # more than one value in this many: all are computed
_SEED = 20230  # of the start vectors where the caller gives none


@dataclass(frozen=True, eq=False)
class SingularValues(FrozenArrays):
    """The k largest singular values of a layer; behaves as the array of the values.

    Parameters
    ----------
    values : ndarray, shape (k,)
        From the largest down, with repetitions, float64.
    intervals : ndarray, shape (k, 2)
        ``intervals[i, 0] <= sigma_{i+1} <= intervals[i, 1]``. Lower ends are always proved, up to
        the worst case of rounding; upper ends where `index_certified`, and otherwise hold but for
        `failure_probability`.
    residuals : ndarray, shape (k,)
        Some singular value lies that near to ``values[i]``; always proved, and silent about which.
    index_certified : bool
        Whether it is proved that no larger singular value was missed.
    failure_probability : float
        Probability, over the random start, that some upper end is too low; 0 where certified.
    method : str
        ``"closed form"``, ``"gram"`` (all eigenvalues of the Gram matrix), ``"svd"`` (the same
        where small values would drown), ``"gram-lanczos"`` (Lanczos and a Cholesky proof), or
        ``"block-lanczos"``.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> found = ng.singular_values(ng.LayerGraph(np.ones((3, 12))))
    >>> np.asarray(found), found.method
    (array([6., 0.]), 'closed form')
    """

    values: np.ndarray
    intervals: np.ndarray
    residuals: np.ndarray
    index_certified: bool
    failure_probability: float
    method: str

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=bool(copy) or None)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)


def singular_values(graph, k: int = 2, *, rng=None) -> SingularValues:
    """The k largest singular values of a layer's weights, as they are, signs included.

    Parameters
    ----------
    graph : LayerGraph or array
        Take ``nngraph.magnitude(graph)`` first where absolute values are meant.
    k : int, optional
        How many; where the matrix has fewer, ``min(n_out, n_in)``, all of them come.
    rng : seed or numpy.random.Generator, optional
        Of the start vectors. Default: a fixed seed, so that equal graphs give equal bits.

    Returns
    -------
    SingularValues
        Values with intervals, from the largest down; zeros for a layer without edges.

    Raises
    ------
    GraphError
        `k` is no positive integer.
    ConvergenceError
        A large layer whose leading singular values lie so close that the Krylov space outgrew its
        limit; ``best`` holds what was found, with intervals that are right.

    Notes
    -----
    Vertices without edges are left out. With s the smaller side of the rest and E the edges:

    * s = 1, or a complete layer of one repeated weight: closed form.
    * s <= 320: Gram matrix and LAPACK. Time O(sum of squared degrees + s^3).
    * s <= 1536: Gram matrix, Lanczos, and one Cholesky factorisation that proves by Weyl's
      inequality and a Schur complement that nothing larger was missed; all eigenvalues where the
      proof fails, as for repeated values.
    * Larger: block Lanczos on W^T W with products in float64, which reads W twice per step (a dense
      one once) and keeps at most 512 MB of basis. No residual proves which singular value was
      found; the upper ends follow from the Gaussian start by a block form of [1]_ and fail with
      probability at most 1e-6. They are a percent or so above the values, whose errors are about
      1e-8 whenever the random start did not miss them. A value that repeats up to k times is found
      as often.

    References
    ----------
    .. [1] J. Kuczynski, H. Wozniakowski, "Estimating the largest eigenvalue by the power and
       Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992).

    Examples
    --------
    >>> import nngraph as ng
    >>> plane = ng.ensembles.projective_plane(3)
    >>> found = ng.singular_values(plane, k=3)
    >>> found.values.round(6), found.index_certified
    (array([4.      , 1.732051, 1.732051]), True)
    """
    graph = as_layer_graph(graph)
    return solve(Matrix.of(graph), _count(k, graph.shape), rng=rng)


def _count(k, shape) -> int:
    try:
        k = operator.index(k)
    except TypeError:
        k = 0
    if k < 1:
        raise GraphError("k, the number of singular values, must be a positive integer")
    return min(k, *shape)


def solve(matrix: Matrix, k: int, *, rng=None, method: str | None = None) -> SingularValues:
    """The k largest of a matrix, by the method that fits its size, or by the one named."""
    most = min(matrix.shape)
    if not matrix.n_edges:
        return _result(Found("closed form", *np.zeros((3, 0))), 1.0, k)
    wanted = min(k, most)
    found = _closed_form(matrix, wanted) if method in (None, "closed form") else None
    if found is None:
        rng = np.random.default_rng(_SEED if rng is None else rng)
        with single_blas_thread():
            found = _by_size(matrix, wanted, rng, method)
    result = _result(found, matrix.scale, k)
    if not found.converged:
        raise ConvergenceError(
            f"the {k} leading singular values of a matrix of shape {matrix.shape} lie too close "
            "together for block Lanczos; ask for fewer, or take .best, whose intervals are right "
            "but wide",
            result,
        )
    return result


def _by_size(matrix: Matrix, k: int, rng, method: str | None) -> Found:
    most = min(matrix.shape)
    if method is None:
        few = k * _MANY <= most
        method = "gram" if most <= ALL_SIDE or not few else "gram-lanczos"
        if method == "gram-lanczos" and most > GRAM_SIDE:
            method = "block-lanczos"
    if method == "gram":
        return all_values(matrix, k)
    return {"gram-lanczos": leading_values, "block-lanczos": block_values}[method](matrix, k, rng)


def _closed_form(matrix: Matrix, k: int) -> Found | None:
    n_rows, n_columns = matrix.shape
    if matrix.unit and matrix.complete and matrix.rows is None:
        first = sqrt(n_rows * n_columns)
    elif min(n_rows, n_columns) == 1 and matrix.rows is None:
        first = sqrt(matrix.frobenius())
    else:
        return None
    values = np.zeros(k)
    values[0] = first
    error = np.where(values > 0, (matrix.n_edges + 2) * ROUNDING * first, 0.0)
    if matrix.unit:
        error = np.minimum(error, 4 * ROUNDING * first)
    return Found("closed form", values, np.maximum(values - error, 0), values + error)


def _result(found: Found, scale: float, k: int) -> SingularValues:
    """Scaled back, and with zeros for what the left out vertices give."""
    def padded(values, outward: float) -> np.ndarray:
        scaled = values * scale
        if scale != 1 and outward:  # the next number too, for those too small to have all digits
            scaled *= 1 + outward * 2 * ROUNDING
            moved = np.nextafter(scaled, outward * np.inf)
            scaled = np.where(scaled > 0, moved, scaled)
        return np.concatenate([scaled, np.zeros(k - len(values))])

    lower, upper = padded(found.lower, -1), padded(found.upper, 1)
    values = np.clip(padded(found.values, 0), lower, upper)
    residuals = (
        upper - lower if found.residuals is None else padded(found.residuals, 1)
    )
    return SingularValues(
        values, np.column_stack([lower, upper]), residuals,
        found.failure == 0, found.failure, found.method,
    )
