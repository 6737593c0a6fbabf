"""What all pictures share: axes, colours, legends, ticks, bins, and the layers that they draw.

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart;
where there are more series than colours, shades of cividis run from the first to the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from .._errors import GraphError
from ..graph import LayerGraph, NetworkGraph
from ..network import Network
from ..tables import require

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "0.35"
_LEGEND_ROWS = 24


def axes_or_new(ax, size: tuple[float, float]):
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "plot").subplots(figsize=size, layout="constrained")[1]


def finish(ax, xlabel: str, ylabel: str, title: str = "") -> None:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(title, fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)


def legend(ax, title: str | None = None):
    """A legend right of the axes, where it hides nothing."""
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False, title=title,
        fontsize="small", ncols=ceil(len(handles) / _LEGEND_ROWS) or 1, alignment="left",
    )  # fmt: skip
    return ax


def colour_of(k: int, count: int):
    if count <= len(COLOURS):
        return COLOURS[k]
    return require("matplotlib", "plot").colormaps["cividis"](0.95 * k / (count - 1))


def whole_ticks(ax) -> None:
    """Ticks at whole numbers only."""
    locator = require("matplotlib.ticker", "plot").MaxNLocator
    ax.xaxis.set_major_locator(locator(nbins=6, integer=True))
    ax.yaxis.set_major_locator(locator(nbins=6, integer=True))


def percent_ticks(ax, densities: Sequence[float]) -> None:
    """Ticks at the densities themselves, where these are few."""
    if 0 < len(densities) <= 8:
        ax.set_xticks(densities, [f"{d:.3g}" for d in densities])
        ax.set_xticks([], minor=True)


def bin_edges(data: np.ndarray, through: float | None = None) -> np.ndarray:
    """At most 60 bins of equal width over the data; with `through`, one of the edges is that."""
    if not data.size:
        return np.linspace(-1, 1, 3)
    low, high = float(data.min()), float(data.max())
    if through is not None:
        low, high = min(low, through), max(high, through)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    count = int(np.clip(2 * np.sqrt(data.size), 10, 60))
    if through is None:
        return np.linspace(low, high, count + 1)
    width = (high - low) / count
    return through + width * np.arange(
        np.floor((low - through) / width), np.ceil((high - through) / width) + 1
    )


def layers_of(network, view: str) -> Iterator[tuple[str, LayerGraph]]:
    """Name and graph of each layer."""
    if isinstance(network, LayerGraph):
        yield network.name or "layer", network
        return
    if isinstance(network, Network):
        from ..views import to_graph

        network = to_graph(network, view)
    if not isinstance(network, NetworkGraph):
        raise GraphError(
            f"a Network, a NetworkGraph or a LayerGraph is needed, got {type(network).__name__}"
        )
    yield from zip(network.names, network, strict=True)


def one_layer(graph, name: str) -> LayerGraph:
    if isinstance(graph, LayerGraph):
        return graph
    raise GraphError(
        f"{name} draws one LayerGraph, got {type(graph).__name__}; take one layer of "
        f"nngraph.to_graph(network), or all: nngraph.plotting.panels(plotting.{name}, network)"
    )
