"""What a solver found, before it becomes a public result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Found:
    """Leading singular values of a matrix without its scale, from the largest down.

    Parameters
    ----------
    method : str
    values, lower, upper : ndarray, shape (k,)
        ``lower <= truth <= upper``.
    residuals : ndarray, shape (k,), optional
        Some singular value lies that near to each value; None: as the intervals say.
    failure : float, optional
        Probability that an upper end is wrong.
    converged : bool, optional
    """

    method: str
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    residuals: np.ndarray | None = None
    failure: float = 0.0
    converged: bool = True

    @classmethod
    def from_squares(cls, method, values, lower, upper, residuals=None, **rest) -> Found:
        """From eigenvalues of a Gram matrix; a residual r there is r / sigma here."""
        sigma, lower, upper = (np.sqrt(np.maximum(x, 0)) for x in (values, lower, upper))
        if residuals is not None:
            residuals = residuals / np.maximum(sigma, np.finfo(np.float64).tiny)
        return cls(method, sigma, lower, upper, residuals, **rest)
