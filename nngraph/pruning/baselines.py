"""The baselines: magnitude, and random masks with several allocations over layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..network import Network
from .budgets import Budget
from .entry import respect_masks
from .masks import Masks
from .registry import register


@register
@dataclass(frozen=True)
class Magnitude:
    """Keep the weights of the largest absolute value, over all layers together by default.

    Notes
    -----
    Cost: one pass over the weights.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("fc", np.array([[0.5, -3.0], [1.0, 2.0]]))])
    >>> ng.prune(net, ng.Magnitude(), density=0.5)["fc"]
    array([[False,  True],
           [False,  True]])
    """

    name: ClassVar[str] = "magnitude"
    needs: ClassVar[str] = "nothing"
    summary: ClassVar[str] = "largest |w|"
    paper: ClassVar[str | None] = "han2015"

    def scores(self, network: Network, data) -> dict[str, np.ndarray]:
        """``|w|`` of every parameter, in the precision of the weights."""
        return {layer.name: np.abs(layer.array()) for layer in network}


@register
@dataclass(frozen=True)
class Random:
    """A random subset of exactly the size asked for, all subsets being equally likely.

    With a budget per layer, a random subset within each layer; with whole rows or columns, a random
    choice of these.

    Notes
    -----
    Each parameter (row, column) draws a number, and the highest are kept, so that at the same seed
    the mask of a lower density lies inside that of a higher one. Cost: one draw per parameter.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("fc", np.ones((20, 50)))])
    >>> ng.prune(net, ng.Random(), density=0.1, rng=0).kept
    100
    """

    name: ClassVar[str] = "random"
    needs: ClassVar[str] = "nothing"
    summary: ClassVar[str] = "uniformly random, over all layers together"
    allocation: ClassVar[str | None] = None

    def masks(self, network: Network, budget: Budget, *, density, data, rng) -> Masks:
        """The masks; see :class:`nngraph.pruning.PruningMethod`."""
        generator = np.random.default_rng(rng)
        streams = generator.spawn(len(network))
        scores = {
            layer.name: _draw(stream, layer.shape, budget.pattern)
            for layer, stream in zip(network, streams, strict=True)
        }
        # 24 random bits per parameter do repeat: ties are broken at random too.
        return Masks.from_scores(
            respect_masks(network, scores), density=density, budget=budget, rng=generator
        )


@register
@dataclass(frozen=True)
class Uniform(Random):
    """A random subset of each layer, at the same density in each.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("a", np.ones((4, 5))), ng.Layer("b", np.ones((10, 8)))])
    >>> ng.prune(net, ng.Uniform(), density=0.1, rng=0).table()["kept"]
    (2, 8, 10)
    """

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "random, the same density in each layer"
    allocation: ClassVar[str | None] = "uniform"


@register
@dataclass(frozen=True)
class ErdosRenyi(Random):
    """A random subset of each layer, at density in proportion to ``(n_out + n_in)/(n_out n_in)``.

    So every unit has about the same number of edges, whatever the width of its layer (Mocanu et
    al., Nature Comm. 9, 2018). Counts are exact, where the paper draws each edge on its own.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("a", np.ones((4, 6))), ng.Layer("b", np.ones((40, 60)))])
    >>> ng.prune(net, ng.ErdosRenyi(), density=100 / 2424, rng=0).table()["kept"]
    (9, 91, 100)
    """

    name: ClassVar[str] = "erdos_renyi"
    summary: ClassVar[str] = "random, density as (n_out + n_in) / (n_out n_in)"
    allocation: ClassVar[str | None] = "erdos_renyi"
    paper: ClassVar[str | None] = "mocanu2018"


@register
@dataclass(frozen=True)
class ERK(Random):
    """Erdos-Renyi-Kernel: density in proportion to a layer's sum of dimensions over their product.

    Kernel dimensions count too (Evci et al., ICML 2020). Layers that would be more than full are
    full, and the rest is shared out over the others. Counts are exact, where implementations draw
    each edge on its own.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([
    ...     ng.Layer("conv", np.ones((8, 4, 3, 3))), ng.Layer("fc", np.ones((10, 8)))
    ... ])
    >>> ng.prune(net, ng.ERK(), density=72 / 368, rng=0).table()["kept"]
    (36, 36, 72)
    """

    name: ClassVar[str] = "erk"
    summary: ClassVar[str] = "random, density as sum over product of dimensions, kernel included"
    allocation: ClassVar[str | None] = "erk"
    paper: ClassVar[str | None] = "evci2020"


def _draw(stream: np.random.Generator, shape: tuple[int, ...], pattern: str | None) -> np.ndarray:
    """One random number per parameter, or one for each whole row or column."""
    if pattern == "rows":
        shared = (shape[0], *(1 for _ in shape[1:]))
    elif pattern == "columns":
        shared = (1, shape[1], *(1 for _ in shape[2:]))
    else:
        return stream.random(shape, dtype=np.float32)
    return np.broadcast_to(stream.random(shared, dtype=np.float32), shape)
