"""Pictures of results: values per edge, and accuracy after pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .._errors import GraphError
from ..tables import Table
from ._style import (
    COLOURS,
    GREY,
    MARKERS,
    axes_or_new,
    bin_edges,
    colour_of,
    finish,
    legend,
    percent_ticks,
)


def curvature_histogram(values, *, ax=None):
    """A histogram of curvatures, or of any signed value per edge, with zero marked.

    Parameters
    ----------
    values : EdgeValues, array_like, or mapping of str to these
        A mapping gives one outline per name, each as a share of its own edges. Infinite and NaN
        values are left out and counted in the legend.
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GraphError
        Values that are no numbers.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> ng.plotting.curvature_histogram([-1, 0, 1], ax=Figure().subplots()).get_xlabel()
    'curvature'
    """
    named = dict(values) if isinstance(values, Mapping) else {"": values}
    series = {str(name): _numbers(v) for name, v in named.items()}
    finite = {name: v[np.isfinite(v)] for name, v in series.items()}
    ax = axes_or_new(ax, (6.0, 3.6))
    edges = bin_edges(np.concatenate([*finite.values(), np.zeros(0)]), through=0.0)
    for k, (name, kept) in enumerate(finite.items()):
        left_out = series[name].size - kept.size
        label = name + (f" ({left_out:,} not finite)" if left_out else "")
        if len(finite) == 1:
            _, _, bars = ax.hist(kept, edges, color=COLOURS[0], label=label.strip() or None)
            for bar in bars:
                if bar.get_x() + bar.get_width() / 2 < 0:
                    bar.set_facecolor(COLOURS[1])
        else:
            share = np.full(kept.size, 1 / max(kept.size, 1))
            ax.hist(
                kept, edges, weights=share, histtype="step", color=colour_of(k, len(finite)),
                linewidth=1.5, label=label,
            )  # fmt: skip
    ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
    finish(ax, "curvature", "edges" if len(finite) == 1 else "share of edges")
    return legend(ax) if ax.get_legend_handles_labels()[0] else ax


def accuracy_curve(results, *, ax=None):
    """Accuracy against the share of parameters kept, one line per pruning method.

    Parameters
    ----------
    results : Table, data frame, or sequence of mappings
        With the columns method, density and accuracy, both from 0 to 1. A method that comes
        several times at one density (several seeds) is drawn as mean and range. A density of 1 is
        drawn as a level line: the network before pruning. Rows without an accuracy are left out,
        and those of density 0, for which a logarithmic axis has no place.
    ax : matplotlib.axes.Axes, optional
        Default: the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    GraphError
        A column is missing, a density or an accuracy is no number from 0 to 1, or nothing is left
        to draw.

    Examples
    --------
    >>> import nngraph as ng
    >>> from matplotlib.figure import Figure
    >>> results = [{"method": "magnitude", "density": d, "accuracy": d ** 0.1} for d in (0.1, 0.5)]
    >>> ng.plotting.accuracy_curve(results, ax=Figure().subplots()).get_xscale()
    'log'
    """
    ax = axes_or_new(ax, (6.4, 4.0))
    rows = _records(results, ("method", "density", "accuracy"))
    rows = [row for row in rows if row["accuracy"] is not None]
    rows = [row for row in rows if row["accuracy"] == row["accuracy"]]  # no NaN
    for name, value in ((name, row[name]) for row in rows for name in ("density", "accuracy")):
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise GraphError(f"{name} must be a number from 0 to 1, got {value!r}")
    rows = [row for row in rows if row["density"] > 0]
    if not rows:
        raise GraphError("there are no results to draw: none has an accuracy at a density > 0")
    dense = [row["accuracy"] for row in rows if row["density"] >= 1]
    rows = [row for row in rows if row["density"] < 1]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for k, method in enumerate(methods):
        found: dict[float, list[float]] = {}
        for row in rows:
            if row["method"] == method:
                found.setdefault(float(row["density"]), []).append(100 * float(row["accuracy"]))
        density = np.array(sorted(found))
        mean = np.array([np.mean(found[d]) for d in density])
        low, high = (np.array([f(found[d]) for d in density]) for f in (min, max))
        colour = colour_of(k, len(methods))
        ax.plot(
            100 * density, mean, color=colour, marker=MARKERS[k % len(MARKERS)], markersize=5,
            linewidth=1.5, label=str(method),
        )  # fmt: skip
        if (high > low).any():
            ax.fill_between(100 * density, low, high, color=colour, alpha=0.2, linewidth=0)
    if dense:
        level = 100 * float(np.mean(dense))
        ax.axhline(level, color=GREY, linestyle="--", linewidth=1.2, label="before pruning")
    ax.set_xscale("log")
    percent_ticks(ax, sorted({100 * float(row["density"]) for row in rows}))
    ax.set_ylim(bottom=0)
    finish(ax, "parameters kept (%)", "accuracy (%)")
    return legend(ax, "method")


def _numbers(values) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise GraphError(f"values per edge must be numbers: {error}") from None


def _records(results, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows of a table, a data frame or a sequence of mappings, all with these columns."""
    if hasattr(results, "to_dict") and not isinstance(results, Table):
        rows = results.to_dict("records")
    else:
        rows = list(results)
    if not rows:
        raise GraphError("there are no results to draw")
    for row in rows:
        missing = [name for name in names if name not in row]
        if missing:
            raise GraphError(f"the results have no column {missing[0]!r}; there are {list(row)}")
    return rows
