r"""How far from a computed eigenvalue the true one can be.

All bounds are about a symmetric positive semidefinite A (a Gram matrix) and its eigenvalues
lambda_1 >= lambda_2 >= ..., the squares of singular values.

**Lower ends.** Ritz values of any subspace satisfy theta_i <= lambda_i (Cauchy).

**Upper ends by Cholesky.** Let X hold m orthonormal vectors with Ritz values Theta and residual
norm e = ||A X - X Theta||. If tau I - (A - X Theta X^T) is positive definite, then
lambda_{m+1} < tau (Weyl), and the compression of A to the complement of X is below tau too. The
Schur complement then bounds the number of eigenvalues above any mu > tau by the number of
theta_i + e^2 / (mu - tau) above mu, so that lambda_i is at most the larger eigenvalue of
[[theta_i, e], [e, tau]] for i <= m. A factorisation that runs to its end in floating point proves
positive definiteness up to gamma_{n+1} || |L| |L^T| || (Higham 2002, Theorem 10.3; Rump 2006).

**Upper ends by a random start.** Let the block Krylov space be spanned by Omega, A Omega, ...,
A^q Omega for a Gaussian Omega of b columns, and let t < lambda_i. Write Omega_1 (i x b) and Omega_2
for the parts of Omega along the i leading eigenvectors and the others, and M = Omega_2 Omega_1^+.
The columns of p(A) Omega Omega_1^+ lie in the space for each polynomial p of degree q, and their
Rayleigh quotients are all at least t if
(lambda - t) p(lambda)^2 >= ||M||^2 max_{[0, t]} (t - x) p(x)^2 for lambda >= lambda_i. With the
Chebyshev polynomial of the second kind, p(x) = U_2q(sqrt(x / t)), the maximum is t and the left
side t sinh((2q + 1) psi)^2, cosh(psi)^2 = lambda / t. So theta_i < lambda_i / cosh(psi)^2 only if
||M|| > sinh((2q + 1) psi). ||M|| is the norm of a Gaussian (n - i) x i matrix, which exceeds
sqrt(n - i) + sqrt(i) + u with probability at most exp(-u^2 / 2), over the least singular value of
an i x b Gaussian matrix. That is at most xi only if some row lies within sqrt(i) xi of the span of
the others, which has probability at most i P(chi^2_{b-i+1} <= i xi^2). For b = i = 1 this is the
bound of Kuczynski and Wozniakowski (1992) up to constants.
"""

from __future__ import annotations

from math import asinh, cosh, hypot, log, sqrt

import numpy as np

ROUNDING = np.finfo(np.float64).eps / 2
FAILURE = 1e-6  # allowed to the random start, over all values asked for


def coupled(theta: float, coupling: float, tau: float) -> float:
    """The larger eigenvalue of ``[[theta, coupling], [coupling, tau]]``."""
    gap = abs(theta - tau)
    if coupling == 0:
        return max(theta, tau)
    return max(theta, tau) + 2 * coupling * (coupling / (gap + hypot(gap, 2 * coupling)))


def below(gram, vectors, values, tau: float) -> float | None:
    """A proved bound of ``A - X Theta X^T``, just above `tau`; None where `tau` is not one.

    Parameters
    ----------
    gram : ndarray, shape (n, n), column-major
        The lower triangle of A; zeros above. In float32 the factorisation is too, and the bound
        accounts for it.
    vectors, values : ndarrays, shapes (n, m) and (m,)
        X and Theta.
    tau : float
    """
    from scipy.linalg import blas, lapack

    dtype = gram.dtype.type
    single = dtype == np.float32
    syrk, potrf = (blas.ssyrk, lapack.spotrf) if single else (blas.dsyrk, lapack.dpotrf)
    n, m = vectors.shape
    shifted = np.multiply(gram, dtype(-1 / tau))  # of order one, whatever the weights
    size = 1 + (float(np.trace(gram)) + float(values.sum())) / tau
    if m:
        root = np.asfortranarray(vectors * np.sqrt(values / tau), dtype=dtype)
        shifted = syrk(1.0, root, beta=1.0, c=shifted, lower=1, overwrite_c=1)
    diagonal = np.einsum("ii->i", shifted)
    diagonal += 1
    factor, failed = potrf(shifted, lower=1, clean=0, overwrite_a=1)
    if failed:
        return None
    absolute = np.abs(factor, out=factor)
    ones = np.ones(n, dtype)
    norms = float((ones @ absolute).max()) * float((absolute @ ones).max())
    # Twice the textbook constants, for the reciprocals that fast triangular solvers use.
    return tau * (1 + np.finfo(dtype).eps * ((n + 10) * norms + (m + 7) * size))


def stretch(index: int, block: int, degree: int, n: int, failure: float) -> float:
    """Factor by which lambda_index exceeds its Ritz value with probability at most `failure`.

    Parameters
    ----------
    index : int
        1 for the largest.
    block : int
        Columns of the random start, at least `index`.
    degree : int
        q above: number of products with A.
    n : int
        Order of A.
    failure : float
    """
    from scipy.special import gammaincinv

    tail = sqrt(max(n - index, 0)) + sqrt(index) + sqrt(2 * log(2 / failure))
    freedom = block - index + 1
    least = sqrt(2 * gammaincinv(freedom / 2, failure / (2 * index)) / index)
    return cosh(asinh(tail / least) / (2 * degree + 1)) ** 2
