"""Numbers that follow from one or two singular values: gaps, bounds, stable rank."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from .._errors import GraphError, did_you_mean
from ..graph import LayerGraph, as_layer_graph, require_nonnegative
from ._bounds import ROUNDING
from ._matrix import Matrix, live_vertices
from .metric import Metric
from .singular import SingularValues, solve

EMPTY = "no edges"
SINGLE = "one vertex on a side, so that there is no second singular value"
ZERO = "all weights are zero"


def eigengap(graph) -> Metric:
    """sigma_1 - sigma_2 of the weights as they are.

    Parameters
    ----------
    graph : LayerGraph or array
        Take ``nngraph.magnitude(graph)`` first: of signed weights the gap is bulk-edge noise.

    Returns
    -------
    Metric
        In units of the weights. NaN without edges, or with edges at one vertex of a side only.

    Notes
    -----
    Cost: that of :func:`singular_values` for k = 2.

    Examples
    --------
    >>> import nngraph as ng
    >>> round(ng.eigengap(ng.ensembles.projective_plane(2)), 6)  # 3 - sqrt(2)
    1.585786
    """
    graph = as_layer_graph(graph)
    reason = _undefined(graph)
    return Metric.undefined(reason) if reason else _gap(solve(Matrix.of(graph), 2))


def normalized_lambda2(graph) -> Metric:
    """Second eigenvalue of the normalised Laplacian, as 1 - sigma_2 of D^-1/2 W D^-1/2.

    Parameters
    ----------
    graph : LayerGraph or array
        Non-negative weights.

    Returns
    -------
    Metric
        From 0 (several components) to 1 (complete, rank one). NaN without edges, with edges at one
        vertex of a side only, or where all weights are 0.

    Raises
    ------
    NegativeWeightError
        A negative weight; take ``nngraph.magnitude(graph)`` first.

    Notes
    -----
    Vertices whose weights sum to 0 are left out. Cost: that of :func:`singular_values`.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> ng.normalized_lambda2(ng.LayerGraph(np.eye(2))) == 0
    True
    """
    graph = as_layer_graph(graph)
    require_nonnegative(graph, "the normalised Laplacian")
    return _lambda2(graph, Matrix.of(graph))


def ramanujan_bound(graph) -> Metric:
    """sqrt(d_in - 1) + sqrt(d_out - 1) for the average degrees of the pattern.

    Parameters
    ----------
    graph : LayerGraph or array
        Every stored entry is an edge; weights do not matter.

    Returns
    -------
    Metric
        Exact up to rounding. NaN without edges.

    Notes
    -----
    Averages are over vertices that have an edge. For biregular graphs this bounds the second
    singular value of Ramanujan graphs [1]_; for others it is a heuristic, and below the spectral
    radius of the universal cover. Cost: one pass over the edges.

    References
    ----------
    .. [1] K. Feng, W. Li, "Spectra of hypergraphs and applications", J. Number Theory 60 (1996).

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> float(ng.ramanujan_bound(ng.LayerGraph(np.ones((5, 10)))))  # sqrt(9) + sqrt(4)
    5.0
    """
    return _bound(as_layer_graph(graph))


def ramanujan_gap(graph, *, bound: str | Callable[[LayerGraph], float] = "average") -> Metric:
    """The bound minus the second singular value of the pattern; positive: a good expander.

    Parameters
    ----------
    graph : LayerGraph or array
        Every stored entry is an edge; weights do not matter.
    bound : {"average"} or callable, optional
        :func:`ramanujan_bound`, or any function of the graph that gives a number.

    Returns
    -------
    Metric
        NaN without edges, or with edges at one vertex of a side only.

    Raises
    ------
    GraphError
        An unknown bound.

    Notes
    -----
    sigma_2 of the pattern is the largest non-trivial eigenvalue of the bipartite graph [1]_. Of
    sparse random masks the gap under ``"average"`` is negative because degrees vary, not because
    they expand badly. Cost: that of :func:`singular_values`.

    References
    ----------
    .. [1] A. Lubotzky, R. Phillips, P. Sarnak, "Ramanujan graphs", Combinatorica 8 (1988).

    Examples
    --------
    >>> import nngraph as ng
    >>> round(ng.ramanujan_gap(ng.ensembles.projective_plane(5)), 6)  # sqrt(5)
    2.236068
    """
    graph = as_layer_graph(graph)
    if not callable(bound) and bound != "average":
        raise GraphError(
            f"no bound is called {bound!r}{did_you_mean(bound, ['average'])}; pass 'average' or a "
            "function of the graph"
        )
    reason = _undefined(graph)
    if reason:
        return Metric.undefined(reason)
    limit = _bound(graph) if bound == "average" else Metric(bound(graph))
    return _ramanujan(limit, solve(Matrix.pattern(graph), 2))


def stable_rank(graph) -> Metric:
    """Squared Frobenius norm over squared spectral norm: a rank that ignores small values.

    Parameters
    ----------
    graph : LayerGraph or array

    Returns
    -------
    Metric
        From 1 to the rank. NaN without edges, or where all weights are 0.

    Notes
    -----
    Signed weights count as they are. Cost: that of :func:`singular_values` for k = 1.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> float(ng.stable_rank(ng.LayerGraph(np.eye(4))))
    4.0
    """
    graph = as_layer_graph(graph)
    matrix = Matrix.of(graph)
    return _rank(matrix, solve(matrix, 1) if graph.n_edges else None)


def spectrum_metrics(graph) -> dict[str, Any]:
    """Every spectral metric of a layer at once; what several need is computed once.

    Parameters
    ----------
    graph : LayerGraph or array
        Non-negative weights, as of ``nngraph.magnitude(graph)``.

    Returns
    -------
    dict
        ``sigma_1``, ``sigma_2``, ``eigengap``, ``stable_rank``, ``ramanujan_bound``,
        ``ramanujan_gap`` and ``lambda_2`` as floats, NaN where undefined; ``certified``, whether
        every interval is proved; ``reasons``, why a metric is NaN, by name.

    Raises
    ------
    NegativeWeightError
        A negative weight.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> from nngraph.spectral import spectrum_metrics
    >>> found = spectrum_metrics(ng.LayerGraph(np.ones((4, 9))))
    >>> found["sigma_1"], found["lambda_2"], found["reasons"]
    (6.0, 1.0, {})
    """
    graph = as_layer_graph(graph)
    require_nonnegative(graph, "the normalised Laplacian")
    matrix = Matrix.of(graph)
    reason = _undefined(graph)
    found = solve(matrix, 2) if graph.n_edges else None
    pair = None if reason else found
    same = matrix.unit and matrix.scale == 1
    pattern = None if reason else found if same else solve(Matrix.pattern(graph), 2)
    limit = _bound(graph)
    metrics = {
        "sigma_1": _value(found, 0) if found else Metric.undefined(EMPTY),
        "sigma_2": _value(pair, 1) if pair else Metric.undefined(reason),
        "eigengap": _gap(pair) if pair else Metric.undefined(reason),
        "stable_rank": _rank(matrix, found),
        "ramanujan_bound": limit,
        "ramanujan_gap": _ramanujan(limit, pattern) if pattern else Metric.undefined(reason),
        "lambda_2": _lambda2(graph, matrix),
    }
    return {
        **{name: float(metric) for name, metric in metrics.items()},
        "certified": all(metric.certified for metric in metrics.values()),
        "reasons": {name: metric.reason for name, metric in metrics.items() if metric.reason},
    }


def _undefined(graph: LayerGraph) -> str:
    """Why there is no second singular value; empty where there is one."""
    if not graph.n_edges:
        return EMPTY
    return SINGLE if min(live_vertices(graph)) < 2 else ""


def _value(found: SingularValues, index: int) -> Metric:
    return Metric(found[index], "", found.intervals[index], found.index_certified)


def _gap(found: SingularValues) -> Metric:
    (low, high), (low2, high2) = found.intervals
    interval = max(low - high2, 0.0), high - low2
    return Metric(found[0] - found[1], "", interval, found.index_certified)


def _rank(matrix: Matrix, found: SingularValues | None) -> Metric:
    if found is None:
        return Metric.undefined(EMPTY)
    if found[0] == 0:
        return Metric.undefined(ZERO)
    total = matrix.frobenius()
    low, high = found.intervals[0] / matrix.scale
    error = (matrix.n_edges + 2) * ROUNDING
    interval = total / high**2 * (1 - error), total / low**2 * (1 + error)
    value = total / (found[0] / matrix.scale) ** 2
    return Metric(value, "", interval, found.index_certified)


def _bound(graph: LayerGraph) -> Metric:
    if not graph.n_edges:
        return Metric.undefined(EMPTY)
    outputs, inputs = live_vertices(graph)
    value = sqrt(graph.n_edges / outputs - 1) + sqrt(graph.n_edges / inputs - 1)
    return Metric(value)


def _ramanujan(limit: Metric, found: SingularValues) -> Metric:
    low, high = found.intervals[1]
    interval = limit.interval[0] - high, limit.interval[1] - low
    return Metric(limit - found[1], "", interval, found.index_certified)


def _lambda2(graph: LayerGraph, matrix: Matrix) -> Metric:
    reason = _undefined(graph)
    if not reason and not np.any(graph.data):
        reason = ZERO
    if reason:
        return Metric.undefined(reason)
    normalized = matrix.normalized()
    sides = () if normalized.rows is None else (normalized.rows, normalized.columns)
    if any(np.count_nonzero(side) < 2 for side in sides):
        return Metric.undefined(SINGLE)
    found = solve(normalized, 2)
    low, high = found.intervals[1]
    interval = max(1 - high, 0.0), min(max(1 - low, 0.0), 1.0)
    value = min(max(1 - found[1], interval[0]), interval[1])
    return Metric(value, "", interval, found.index_certified)
