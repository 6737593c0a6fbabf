"""Singular values of layers against the bound for random weights."""

from __future__ import annotations

import numpy as np

from ..graph import LayerGraph
from ._style import GREY, axes_or_new, colour_of, finish, layers_of, legend

_SVD_SIDE = 1024  # a layer whose smaller side is at most this gets all singular values
_LEADING = 10  # a larger one so many of the first


def spectrum(network, *, view: str = "kernel", ax=None):
    """Singular values of each layer, over the bound for random weights on as many edges.

    Parameters
    ----------
    network : Network, NetworkGraph or LayerGraph
        The weights are taken as they are, signs included. Pass ``nngraph.magnitude(graph)`` for
        ``|w|``, whose largest singular value is the trivial one of Perron and Frobenius.
    view : {"kernel", "channel", "unit"}, optional
        How a layer becomes a graph; ignored for graphs.
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.

    See Also
    --------
    nngraph.singular_values : certified values.

    Notes
    -----
    A layer's singular values are divided by ``rms * (sqrt(d_in - 1) + sqrt(d_out - 1))``, where
    rms is the root mean square of the weights of its edges and the d are the average degrees of its
    inputs and outputs (isolated ones left out). For weights of 1 that is the Ramanujan bound with
    average degrees (Feng and Li 1996), exact for biregular graphs; for independent weights of mean
    zero it is, up to the -1, the edge of the bulk (Marchenko and Pastur 1967). So what lies above 1
    is structure that chance does not give. The horizontal axis is the rank over the number of
    singular values, so that layers of all sizes compare.

    Cost: a singular value decomposition per layer; of a layer whose smaller side exceeds 1024 only
    the first 10 are computed, and the legend says so. Layers without a bound (no edges, weights
    that are all 0, every degree 1) are only named in the legend.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> ax = ng.plotting.spectrum(ng.datasets.digits_mlp().network, ax=Figure().subplots())
    >>> ax.get_ylabel()
    'singular value / random bound'
    """
    from ..parallel import single_blas_thread

    ax = axes_or_new(ax, (7.2, 4.2))
    with single_blas_thread():
        found = [(name, *_relative_spectrum(graph)) for name, graph in layers_of(network, view)]
    highest = 1.0
    for k, (name, values, count) in enumerate(found):
        if values is None:
            ax.plot([], [], linestyle="none", label=f"{name}: no bound")
            continue
        rank = (np.arange(len(values)) + 0.5) / count
        label = name if len(values) == count else f"{name} (first {len(values)} of {count})"
        ax.plot(
            rank, values, color=colour_of(k, len(found)), label=label, linewidth=1.4,
            marker="o" if len(values) <= 100 else None, markersize=3.2,
        )  # fmt: skip
        highest = max(highest, float(values[0]))
    ax.axhline(1, color=GREY, linestyle="--", linewidth=1.2, label="random bound")
    ax.set_xlim(0, 1)
    if highest > 12:
        ax.set_yscale("log")
        ax.set_ylim(0.02, 1.3 * highest)
    else:
        ax.set_ylim(0, 1.06 * highest)
    finish(ax, "rank / number of singular values", "singular value / random bound")
    return legend(ax, "layer")


def _relative_spectrum(graph: LayerGraph) -> tuple[np.ndarray | None, int]:
    """Singular values over the bound (None: there is no bound), and how many there are in all."""
    from ..spectral import ramanujan_bound, singular_values

    count = min(graph.shape)
    data = graph.data
    rms = float(np.linalg.norm(data)) / np.sqrt(data.size) if data.size else 0.0
    bound = rms * float(ramanujan_bound(graph)) if rms else 0.0
    if not bound > 0:
        return None, count
    if count <= _SVD_SIDE:
        values = np.linalg.svd(graph.toarray().astype(np.float64), compute_uv=False)
    else:
        values = np.asarray(singular_values(graph, k=_LEADING))
    return values / bound, count
