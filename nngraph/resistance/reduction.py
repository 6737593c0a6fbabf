"""Effective resistances between all pairs of vertices of one connected conductance network.

Two ways lead there. Cholesky of the grounded, Jacobi-scaled Laplacian is fast, and its scaled
inverse says how much rounding is amplified. Elimination never subtracts two conductances
(Grassmann, Taksar & Heyman, Oper. Res. 33, 1985) and is accurate whatever the conductances are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Measured over many kinds of networks, the relative error is 3 to 30 times the rounding unit times
# the amplification: up to here it stays below 2e-13, beyond it elimination takes over.
AMPLIFICATION_LIMIT = 50.0
BLOCK = 32  # vertices eliminated together
PANEL = 64  # columns worked on together
SMALLEST = 1e-300  # stands for a total conductance that underflowed: its reciprocal is finite


class Reduced(NamedTuple):
    """All-pairs resistances, log of the weighted number of spanning trees, and how they came."""

    resistances: np.ndarray
    log_trees: float
    method: str
    amplification: float


def network_resistances(make: Callable[[], np.ndarray], eliminate: bool = False) -> Reduced:
    """Effective resistances between all pairs of vertices of a connected network.

    Parameters
    ----------
    make : callable
        Gives the conductances, shape (q, q): non-negative below the diagonal, 0 above it, anything
        on it; a new array in Fortran order, which is overwritten. It is called again where Cholesky
        is not accurate enough.
    eliminate : bool, optional
        Do not try Cholesky first.

    Returns
    -------
    Reduced
        The resistances as a symmetric array.

    Notes
    -----
    The amplification is the largest diagonal entry of the inverse of the scaled Laplacian: the
    resistance from a vertex to the ground times its total conductance. Near 2 for well-connected
    networks, 1/eps for two clusters joined by eps.

    Cost: q^3 flops by Cholesky, q^3 by elimination in blocks with q steps of Python.
    """
    found = np.inf if eliminate else _by_cholesky(make())
    if isinstance(found, Reduced):
        return found
    return _by_elimination(make())._replace(amplification=found)


def _by_cholesky(array: np.ndarray) -> Reduced | float:
    """The resistances, or the amplification that forbids it; overwrites `array`."""
    from scipy.linalg.lapack import dpotrf, dpotri

    q = len(array)
    np.fill_diagonal(array, 0)
    degrees = np.maximum(array.sum(axis=0) + array.sum(axis=1), SMALLEST)
    ground = int(degrees.argmax())
    scale = 1 / np.sqrt(degrees)
    # Below in panels of columns that stay in the cache, each from the diagonal on.
    panels = [slice(start, start + PANEL) for start in range(0, q, PANEL)]
    for columns in panels:
        panel = array[columns.start :, columns]
        panel *= -scale[columns.start :, None]
        panel *= scale[columns]
    # The ground stays as a vertex without neighbours, so that nothing has to be moved.
    array[ground] = array[:, ground] = 0
    np.fill_diagonal(array, 1)
    array, failed = dpotrf(array, lower=1, clean=0, overwrite_a=1)
    if failed:
        return np.inf
    degrees[ground] = 1
    log_trees = float(np.log(degrees).sum() + 2 * np.log(array.diagonal()).sum())
    array, failed = dpotri(array, lower=1, overwrite_c=1)
    amplification = np.inf if failed else float(array.diagonal().max())
    if not amplification <= AMPLIFICATION_LIMIT:
        return amplification
    array[ground] = array[:, ground] = 0
    to_ground = array.diagonal() / degrees
    for columns in panels:
        panel = array[columns.start :, columns]
        panel *= scale[columns.start :, None]
        panel *= -2 * scale[columns]
        panel += to_ground[columns.start :, None]
        panel += to_ground[columns]
        head = np.tril(panel[:PANEL], -1)
        panel[:PANEL] = head + head.T
        array[columns, columns.start :] = panel.T
    return Reduced(array, log_trees, "exact", amplification)


def _by_elimination(lower: np.ndarray) -> Reduced:
    """Star-mesh elimination of all vertices, and their return one by one.

    When vertex k goes, its star of conductances x to the vertices before it becomes a mesh, with
    total D = sum(x) and weights pi = x / D. When it returns to vertices whose resistances r are
    known, which no elimination changed,

        r[k, j] = 1/D + (pi r)[j] - pi r pi / 2.

    The only subtraction is harmless: pi_l r[l, j] <= 1/D + pi_l r[k, j], because r[k, l] <= 1/x_l,
    so no term is much larger than the result.
    """
    q = len(lower)
    hitting = np.tril(lower, -1)
    hitting += hitting.T  # row k becomes pi of vertex k
    totals = np.ones(q)
    starts = range(0, q, BLOCK)
    for start in reversed(starts):
        end = min(start + BLOCK, q)
        rows = hitting[start:end, :end]
        later = hitting[end:]
        rows += (later[:, start:end] * totals[end:, None]).T @ later[:, :end]
        for k in range(end - 1, max(start, 1) - 1, -1):
            above, row = rows[: k - start], rows[k - start, :k]
            totals[k] = max(row.sum(), SMALLEST)
            row /= totals[k]
            above[:, :k] += above[:, k, None] * row

    r = np.zeros((q, q))
    for start in starts:
        end = min(start + BLOCK, q)
        before = hitting[start:end, :start] @ r[:start, :start]
        for k in range(max(start, 1), end):
            pi, block = hitting[k, :k], r[start:k]
            value = pi[start:] @ block[:, :k]
            value[:start] += before[k - start]
            value[start:] += block[:, :start] @ pi[:start]
            value += 1 / totals[k] - pi @ value / 2
            r[k, :k] = value
            block[:, k] = value[start:]
        r[:start, start:end] = r[start:end, :start].T
    # Symmetric: the transpose is the same in Fortran order, which BLAS takes without a copy.
    return Reduced(r.T, float(np.log(totals).sum()), "gth", np.inf)
