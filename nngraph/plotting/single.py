"""Pictures of one layer, and panels of them for a whole network."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from ..tables import require
from ._style import COLOURS, axes_or_new, bin_edges, finish, layers_of, one_layer, whole_ticks


def degree_histogram(graph, *, ax=None):
    """How many inputs and outputs of a layer have how many edges.

    Parameters
    ----------
    graph : LayerGraph
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GraphError
        A whole network: see :func:`panels`.

    Notes
    -----
    One bar per degree, or per range of degrees where there are more than 40.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> graph = ng.LayerGraph([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    >>> ng.plotting.degree_histogram(graph, ax=Figure().subplots()).get_xlabel()
    'degree'
    """
    from ..matrices import degrees

    graph = one_layer(graph, "degree_histogram")
    ax = axes_or_new(ax, (4.8, 3.4))
    inputs, outputs = degrees(graph)
    low = min(inputs.min(), outputs.min())
    high = max(inputs.max(), outputs.max())
    width = max(1, ceil((high - low + 1) / 40))
    edges = np.arange(low, high + width + 1, width) - 0.5
    for values, side, colour in ((inputs, "inputs", 0), (outputs, "outputs", 1)):
        ax.hist(
            values, edges, color=COLOURS[colour], alpha=0.6, label=f"{len(values)} {side}",
            edgecolor=COLOURS[colour], linewidth=0.8, histtype="stepfilled",
        )  # fmt: skip
    # Bars of one degree, as in a complete layer, would fill the picture.
    margin = max(1.5, 0.04 * (high - low))
    ax.set_xlim(low - margin, high + margin)
    whole_ticks(ax)
    finish(ax, "degree", "vertices", graph.name)
    ax.legend(frameon=False, fontsize="small")
    return ax


def weight_histogram(graph, *, ax=None):
    """The weights of a layer's edges, beside a normal distribution of the same mean and variance.

    Parameters
    ----------
    graph : LayerGraph
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GraphError
        A whole network: see :func:`panels`.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> graph = ng.to_graph(ng.datasets.digits_mlp().network)["fc1"]
    >>> ng.plotting.weight_histogram(graph, ax=Figure().subplots()).get_title()
    'fc1'
    """
    graph = one_layer(graph, "weight_histogram")
    ax = axes_or_new(ax, (4.8, 3.4))
    data = graph.data
    edges = bin_edges(data)
    counts, _ = np.histogram(data, edges)
    ax.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.75, label=f"{data.size:,} edges")
    spread = data.std(dtype=np.float64) if data.size else 0.0
    if spread > 0:
        x = np.linspace(edges[0], edges[-1], 200)
        height = data.size * (edges[1] - edges[0]) / (spread * np.sqrt(2 * np.pi))
        curve = height * np.exp(-0.5 * ((x - data.mean(dtype=np.float64)) / spread) ** 2)
        ax.plot(x, curve, color=COLOURS[1], linewidth=1.4, label="normal")
    if counts.max(initial=0) > 0:
        ax.set_yscale("log")
        ax.set_ylim(0.6, 8 * counts.max())
    ax.locator_params(axis="x", nbins=5)
    finish(ax, "weight", "edges", graph.name)
    ax.legend(frameon=False, fontsize="small", loc="upper right")
    return ax


def matrix(graph, *, ax=None):
    """The weights of a layer as a picture, outputs down, inputs to the right; blank where no edge.

    Parameters
    ----------
    graph : LayerGraph
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GraphError
        A whole network: see :func:`panels`.

    Notes
    -----
    Colours reach from minus to plus the largest absolute weight, so that zero is always white.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> graph = ng.LayerGraph([[1.0, 0.0], [-2.0, 3.0]])
    >>> ng.plotting.matrix(graph, ax=Figure().subplots()).get_ylabel()
    'output'
    """
    graph = one_layer(graph, "matrix")
    ax = axes_or_new(ax, (5.2, 4.0))
    top = float(np.abs(graph.data).max(initial=0)) or 1.0
    picture = np.ma.masked_array(graph.toarray(), ~graph.pattern())
    long = max(graph.shape) > 3 * min(graph.shape)
    image = ax.imshow(
        picture, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto" if long else "equal",
        interpolation="nearest" if max(graph.shape) <= 512 else "antialiased",
    )  # fmt: skip
    ax.set_facecolor("0.93")
    ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    whole_ticks(ax)
    finish(ax, "input", "output", graph.name)
    ax.grid(False)
    return ax


def panels(plot: Callable[..., Any], network, *, view: str = "kernel", figure=None) -> np.ndarray:
    """One picture per layer of a network, side by side.

    Parameters
    ----------
    plot : callable
        ``plot(graph, ax=ax)``, such as :func:`degree_histogram`.
    network : Network, NetworkGraph or LayerGraph
    view : {"kernel", "channel", "unit"}, optional
        How a layer becomes a graph; ignored for graphs.
    figure : matplotlib.figure.Figure, optional
        An empty one, which gets a size that fits. Default: a new one.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        One per layer, in order.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> network = ng.datasets.digits_mlp().network
    >>> axes = ng.plotting.panels(ng.plotting.weight_histogram, network, figure=Figure())
    >>> len(axes)
    3
    """
    layers = list(layers_of(network, view))
    if figure is None:
        figure = require("matplotlib.pyplot", "plot").figure(layout="constrained")
    columns = min(len(layers), 4)
    rows = ceil(len(layers) / columns)
    figure.set_size_inches(3.2 * columns, 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (_, graph) in zip(axes, layers, strict=False):
        plot(graph, ax=ax)
    for ax in axes[len(layers) :]:
        ax.remove()
    return axes[: len(layers)]
