"""One-shot pruning by spectral sparsification: edges drawn by their leverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._errors import MaskError, did_you_mean
from ..graph import magnitude
from ..network import Layer, Network
from ..parallel import single_blas_thread
from ..resistance import leverage_scores
from ..resistance.sampling import BACKBONES, SAMPLERS, rate, spanning_forest
from ..views import fold, layer_graph
from .apportionment import apportion
from .budgets import Budget
from .entry import respect_masks
from .masks import Masks
from .registry import register
from .selection import Plan


@register
@dataclass(frozen=True)
class Spectral:
    """Keep a random sparsifier of each layer: edges drawn in proportion to their leverage.

    The leverage of a parameter is ``|w|`` times the effective resistance between the ends of its
    edge, in the kernel view of its layer; see :func:`nngraph.leverage_scores`.

    Parameters
    ----------
    sampler : {"systematic", "topk"}
        ``"systematic"``: exactly as many as asked for, each with probability
        ``min(1, c * leverage)``. ``"topk"``: the highest leverages, nothing random but ties.
    backbone : {"forest", None}
        ``"forest"``: the spanning forest of highest leverage is kept first, so that each layer has
        as many components as before; where a layer's count is too small for that, the part of its
        forest with the highest leverage is kept. None: no backbone.
    scope : {"layer"}
        Resistances are those within each layer alone.

    Raises
    ------
    MaskError
        An unknown option.

    Notes
    -----
    With the budget ``"global"`` one rate c holds for all layers. Leverages of a layer sum to its
    vertices less its components, so this shares parameters out as Erdos-Renyi does, up to layers
    that are full; the scale of a layer's weights does not matter. If fewer parameters may be kept
    than all forests together have edges, layers keep the same part of their forests. With another
    allocation each layer has its own rate. With rows, columns or an N:M pattern the highest
    leverages within the pattern are kept, without sampling or backbone. Parameters of weight 0 have
    leverage 0 and are kept last. At the same seed, the mask of a lower density need not lie inside
    that of a higher one.

    Laenen, One-shot neural network pruning via spectral graph sparsification, PMLR 221, 2023, in a
    variant that has an exact count and stays connected; Spielman & Srivastava, SIAM J. Comput. 40,
    2011. Cost: for each layer that of :func:`nngraph.effective_resistance`, and a few passes.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("fc", np.ones((20, 30)))])
    >>> masks = ng.prune(net, ng.Spectral(), density=0.1, rng=0)
    >>> masks.kept, ng.components(ng.layer_graph(net.with_masks(masks).layers[0])).count
    (60, 1)
    """

    sampler: str = "systematic"
    backbone: str | None = "forest"
    scope: str = "layer"

    name: ClassVar[str] = "spectral"
    needs: ClassVar[str] = "nothing"
    summary: ClassVar[str] = "random by leverage |w| R, on a spanning forest per layer"
    paper: ClassVar[str | None] = "laenen2023"

    def __post_init__(self) -> None:
        known = {"sampler": tuple(SAMPLERS), "backbone": (*BACKBONES, None), "scope": ("layer",)}
        for key, values in known.items():
            if getattr(self, key) not in values:
                given = getattr(self, key)
                hint = did_you_mean(given, map(str, values))
                raise MaskError(f"Spectral knows no {key} {given!r}{hint}")

    def masks(self, network: Network, budget: Budget, *, density, data, rng) -> Masks:
        """The masks; see :class:`nngraph.pruning.PruningMethod`."""
        streams = np.random.default_rng(rng).spawn(len(network) + 1)
        with single_blas_thread():
            if budget.pattern is not None:
                scores = {layer.name: _scores(layer) for layer in network}
                scores = respect_masks(network, scores)
                return Masks.from_scores(scores, density=density, budget=budget, rng=streams[-1])
            layers = [
                _Edges(layer, self.backbone, stream)
                for layer, stream in zip(network, streams, strict=False)
            ]
        shares = budget.shares({layer.name: layer.shape for layer in network})
        plan = Plan(layers, list(network.names), density, budget)
        counts = _one_rate(layers, plan) if shares is None else plan.counts(shares)
        masks = (
            edges.choose(int(count), self.sampler)
            for edges, count in zip(layers, counts, strict=True)
        )
        return Masks(dict(zip(network.names, masks, strict=True)))


def _scores(layer: Layer) -> np.ndarray:
    graph = magnitude(layer_graph(layer))
    return np.nan_to_num(fold(leverage_scores(graph), layer, graph))


def _one_rate(layers: list[_Edges], plan: Plan) -> np.ndarray:
    """Counts per layer under one rate for all, on top of the forests."""
    total = plan.total(None)
    forests = [len(edges.forest) for edges in layers]
    least = np.maximum(forests, plan.minima)
    if total <= least.sum():
        return apportion(total, forests, least, plan.minima)
    c = rate([edges.rest for edges in layers], total - sum(forests))
    if np.isfinite(c):
        drawn = [np.minimum(c * edges.rest, 1).sum() for edges in layers]
    else:
        # All that have a leverage are kept, and as large a part of the others in each layer.
        positive = [np.count_nonzero(edges.rest) for edges in layers]
        left = total - sum(forests) - sum(positive)
        weightless = np.array(plan.capacities) - forests - positive
        drawn = positive + weightless * (left / max(weightless.sum(), 1))
    shares = [float(forest + expected) for forest, expected in zip(forests, drawn, strict=True)]
    return apportion(total, shares, plan.capacities, least)


class _Edges:
    """The parameters of one layer and their leverages, as `Plan` and the samplers need them.

    ``rest`` holds the leverages of the edges that are not in the forest.
    """

    def __init__(self, layer: Layer, backbone: str | None, stream: np.random.Generator) -> None:
        graph = magnitude(layer_graph(layer))
        leverage = leverage_scores(graph)
        self.shape, self.size, self._stream = layer.shape, layer.size, stream
        self._allowed = np.ones(layer.size, bool) if layer.mask is None else layer.mask.reshape(-1)
        self.capacity = int(np.count_nonzero(self._allowed))
        forest = np.zeros(0, dtype=np.int64)
        if backbone is not None:
            size = graph.n_in + graph.n_out - leverage.report["components"]
            forest = spanning_forest(graph, leverage.values, size, stream)
        positive = leverage.values > 0
        positive[forest] = False
        rest = np.flatnonzero(positive)
        self.rest = leverage.values[rest]
        parameters = np.arange(layer.size) if graph.parameters is None else graph.parameters
        self.forest, self._rest = parameters[forest], parameters[rest]

    def at_least(self, minimum: int) -> int:
        """A minimum of single parameters is itself."""
        return minimum

    def choose(self, count: int, sampler: str) -> np.ndarray:
        """The mask of `count` parameters: forest first, then those drawn, then those without."""
        kept = np.zeros(self.size, dtype=bool)
        kept[self.forest[:count]] = True
        count -= len(self.forest)
        if count >= len(self._rest):
            kept[self._rest] = True
            others = np.flatnonzero(self._allowed & ~kept)
            kept[self._stream.choice(others, count - len(self._rest), replace=False)] = True
        elif count > 0:
            kept[self._rest[SAMPLERS[sampler](self.rest, count, self._stream)]] = True
        kept = kept.reshape(self.shape)
        kept.flags.writeable = False
        return kept
