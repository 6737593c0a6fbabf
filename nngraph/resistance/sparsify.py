"""Sparsifiers: subgraphs drawn by leverage that keep a layer's Laplacian, nearly."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array

from .._errors import GraphError, did_you_mean
from ..graph import LayerGraph
from .exact import leverage_scores
from .sampling import BACKBONES, SAMPLERS, rate, spanning_forest


def spectral_sparsify(
    graph,
    *,
    density: float | None = None,
    n_edges: int | None = None,
    sampler: str = "systematic",
    backbone: str | None = None,
    reweight: bool = False,
    rng=None,
) -> LayerGraph:
    """A subgraph of exactly so many edges, drawn in proportion to their leverage.

    Parameters
    ----------
    graph : LayerGraph, or array or sparse array of shape (n_out, n_in)
        Non-negative weights.
    density : float, optional
        Edges of the result over ``n_out * n_in``, as in ``LayerGraph.density``.
    n_edges : int, optional
        Number of edges of the result; give either this or `density`.
    sampler : {"systematic", "topk"}
        ``"systematic"``: each edge with probability ``min(1, c * leverage)``, c as the count
        demands. ``"topk"``: the highest leverages.
    backbone : {None, "forest"}
        ``"forest"``: the spanning forest of highest leverage belongs to the result, so that it has
        the components of `graph`, and the sampler draws from the other edges.
    reweight : bool
        Divide each weight by the probability with which its edge was kept, so that the expected
        Laplacian is that of `graph`; needs ``sampler="systematic"``.
    rng : seed or numpy.random.Generator, optional

    Returns
    -------
    LayerGraph
        Over the same vertices; edges of weight 0 are never in it.

    Raises
    ------
    GraphError
        A count that is not given once, that is more than there are edges of positive weight, or
        less than the backbone needs; an unknown option.
    NegativeWeightError, WeightError
        As :func:`nngraph.effective_resistance`.

    Notes
    -----
    Spielman & Srivastava, SIAM J. Comput. 40, 2011, with an exact count in place of independent
    draws. Cost: that of :func:`nngraph.effective_resistance`, and a few passes over the edges.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> H = ng.spectral_sparsify(np.ones((20, 30)), density=0.1, backbone="forest", rng=0)
    >>> H.n_edges, ng.components(H).count
    (60, 1)
    """
    for what, given, known in (
        ("sampler", sampler, tuple(SAMPLERS)), ("backbone", backbone, (None, *BACKBONES))
    ):  # fmt: skip
        if given not in known:
            raise GraphError(f"there is no {what} {given!r}{did_you_mean(given, map(str, known))}")
    if reweight and sampler != "systematic":
        raise GraphError(
            f"reweight=True needs inclusion probabilities, which sampler={sampler!r} has not; "
            "take sampler='systematic'"
        )
    leverage = leverage_scores(graph)
    graph, values = leverage.graph, leverage.values
    count = _count(graph, density, n_edges)
    generator = np.random.default_rng(rng)
    forest = np.zeros(0, dtype=np.int64)
    if backbone is not None:
        size = graph.n_in + graph.n_out - leverage.report["components"]
        if count < size:
            raise GraphError(
                f"backbone={backbone!r} needs {size} edges and only {count} are asked for; ask for "
                "more, or pass backbone=None"
            )
        forest = spanning_forest(graph, values, size, generator)
    scores = values.copy()
    scores[forest] = 0
    drawn, available = count - len(forest), np.count_nonzero(scores)
    if drawn > available:
        raise GraphError(
            f"{count} edges are asked for and {graph!r} has {available + len(forest)} of positive "
            "weight; ask for fewer"
        )
    if drawn == available:
        chosen = np.flatnonzero(scores)
    else:
        chosen = SAMPLERS[sampler](scores, drawn, generator)
    kept = np.sort(np.concatenate([forest, chosen]))
    weights = graph.data[kept].astype(np.float64) if reweight else graph.data[kept]
    if reweight and drawn < available:
        probabilities = np.minimum(rate([scores], drawn) * scores, 1)
        probabilities[forest] = 1
        weights /= probabilities[kept]
    return _subgraph(graph, kept, weights)


def _count(graph: LayerGraph, density, n_edges) -> int:
    if (density is None) == (n_edges is None):
        raise GraphError("give either density or n_edges, and not both")
    if n_edges is not None:
        if isinstance(n_edges, bool) or not isinstance(n_edges, Integral) or n_edges < 0:
            raise GraphError(f"n_edges must be a number of edges, got {n_edges!r}")
        return int(n_edges)
    if isinstance(density, bool) or not isinstance(density, Real) or not 0 <= density <= 1:
        raise GraphError(f"density must be a number from 0 to 1, got {density!r}")
    return round(density * graph.n_out * graph.n_in)


def _subgraph(graph: LayerGraph, kept: np.ndarray, weights: np.ndarray) -> LayerGraph:
    """The graph of some edges, given by their sorted positions, with new weights."""
    pattern = graph.tocsr()
    indptr = np.searchsorted(kept, pattern.indptr)
    matrix = csr_array((weights, pattern.indices[kept], indptr), shape=graph.shape)
    parameters = kept if graph.parameters is None else graph.parameters[kept]
    return LayerGraph(matrix, graph.name, parameters=parameters, view=graph.view)
