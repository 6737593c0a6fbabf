"""analyze: every metric of every layer of a network, as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import sqrt
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ._canonical import Complete
from ._errors import GraphError, did_you_mean
from .graph import LayerGraph, NetworkGraph, as_layer_graph, magnitude
from .network import Layer, Network
from .parallel import Run, ordered_map
from .tables import Table
from .views import LayerView, layer_graph, to_graph

_BLOCK = 1 << 18  # weights summed at once
_OPTIONS = ("view", "norm", "input_shape", "max_edges")
_PLAIN = [f.name for f in fields(Layer) if f.name not in ("weight", "mask", "_")]


def _size(graph: LayerGraph) -> dict[str, Any]:
    return {
        "inputs": graph.n_in, "outputs": graph.n_out,
        "edges": graph.n_edges, "density": graph.density,
    }


def _degree(graph: LayerGraph) -> dict[str, Any]:
    from .matrices import degrees

    inputs, outputs = degrees(graph)
    return {
        "fan_in": graph.n_edges / graph.n_out, "fan_out": graph.n_edges / graph.n_in,
        "isolated_inputs": int(np.count_nonzero(inputs == 0)),
        "isolated_outputs": int(np.count_nonzero(outputs == 0)),
    }


def _weight(graph: LayerGraph) -> dict[str, Any]:
    data = graph.data
    if not data.size:
        reason = "no edges"
        return {"mean_abs": np.nan, "norm": np.nan, "reasons": {"mean_abs": reason, "norm": reason}}
    # Over the largest weight, so that no square overflows, and block by block: a large layer
    # stays in its file.
    largest = max(-float(data.min()), float(data.max())) or 1.0
    total = squares = 0.0
    for start in range(0, data.size, _BLOCK):
        block = np.abs(data[start : start + _BLOCK], dtype=np.float64) / largest
        total += float(block.sum())
        squares += float(block @ block)
    return {"mean_abs": largest * (total / data.size), "norm": largest * sqrt(squares)}


def _components(graph: LayerGraph) -> dict[str, Any]:
    from .connectivity import components

    return {"components": components(graph).count}


def _spectrum(graph: LayerGraph) -> dict[str, Any]:
    from .spectral import spectrum_metrics

    return spectrum_metrics(magnitude(graph))


# name of a group of metrics: what it computes from one layer's graph.
METRICS: Mapping[str, Callable[[LayerGraph], dict[str, Any]]] = {
    "size": _size,
    "degree": _degree,
    "weight": _weight,
    "components": _components,
    "spectrum": _spectrum,
}
NETWORK_METRICS = ("paths",)  # these need the wiring


def analyze(
    network: Network | NetworkGraph | LayerGraph,
    *,
    view: str = "kernel",
    metrics: Sequence[str] | None = None,
    executor=None,
    progress: Callable[[int, int], Any] | None = None,
) -> Table:
    """Measure every layer of a network.

    Parameters
    ----------
    network : Network, NetworkGraph or LayerGraph
        Layers are read one at a time.
    view : {"kernel", "channel", "unit"}, optional
        How a layer becomes a graph; ignored for graphs.
    metrics : sequence of str, optional
        Groups of columns: ``"size"``, ``"degree"``, ``"weight"``, ``"components"``, ``"spectrum"``
        and, where the network is wired, ``"paths"``. Default: all that the network allows.
    executor : object with ``submit``, optional
        Where the layers are measured; the bits do not depend on it.
    progress : callable, optional
        ``progress(done, total)`` after each layer.

    Returns
    -------
    Table
        One row per layer. Spectra are those of the weights' absolute values; the Ramanujan columns
        are those of the pattern, so that the gap is not the bound less ``sigma_2``. A metric that
        is undefined is NaN, with the reason in the notes below the table; notes also tell the view
        and what of the source is covered.

    Raises
    ------
    GraphError
        An unknown metric; ``"paths"`` for a network without wiring.
    WeightError
        A layer with NaN or infinite weights.

    Notes
    -----
    Cost: that of :func:`singular_values` per layer; memory for one layer at a time and worker, as
    long as the layers stay in their file.

    Examples
    --------
    >>> import nngraph as ng
    >>> demo = ng.datasets.digits_mlp()
    >>> table = ng.analyze(demo.network, metrics=["size", "components"])
    >>> table["components"]
    (1, 1, 1)
    """
    groups = _chosen(metrics, network)
    per_layer = [name for name in groups if name in METRICS]
    if isinstance(network, Network):
        graph = to_graph(network, view)
    else:
        single = not isinstance(network, NetworkGraph)
        graph = NetworkGraph([as_layer_graph(network)], joins=()) if single else network
    tasks = [
        (name, per_layer, *_parts(layer))
        for name, layer in zip(graph.names, graph.layers, strict=True)
    ]
    rows = ordered_map(_row, tasks, Run(executor, progress))
    notes = _notes(network, graph, rows)
    if "paths" in groups:
        try:
            found = _paths(graph)
        except GraphError as error:
            if metrics is not None:
                raise
            notes.append(f"path metrics left out: {error}")
        else:
            rows = [{**row, **extra} for row, extra in zip(rows, found, strict=True)]
    return Table.from_records(rows, notes=notes)


def _chosen(metrics: Sequence[str] | None, network) -> list[str]:
    """The groups asked for, or all that the network allows."""
    known = [*METRICS, *NETWORK_METRICS]
    if metrics is None:
        wired = isinstance(network, Network) and network.wiring is not None
        return known if wired else list(METRICS)
    if isinstance(metrics, str):
        metrics = [metrics]
    for name in metrics:
        if name not in known:
            raise GraphError(f"no group of metrics is named {name!r}{did_you_mean(name, known)}")
    return list(metrics)


def _paths(graph: NetworkGraph) -> list[dict[str, Any]]:
    from .connectivity import dead_units, effective_edges, reachability

    found = reachability(graph)
    edges, dead = effective_edges(found), dead_units(found).table()
    return [
        {"effective_edges": count, "dead_outputs": units}
        for count, units in zip(edges["effective_edges"], dead["dead"], strict=True)
    ]


def _parts(source) -> tuple:
    """A layer taken apart, so that large arrays travel by themselves and handles stay handles."""
    if isinstance(source, LayerView):
        layer, options = source.layer, {field: getattr(source, field) for field in _OPTIONS}
        plain = {field: getattr(layer, field) for field in _PLAIN}
        return "layer", layer.weight, layer.mask, plain, options
    graph = source() if callable(source) else source
    if not graph.is_sparse:
        return "complete", graph.weights
    w = graph.weights
    return "sparse", w.data, w.indices, w.indptr, graph.shape


def _put_together(name: str, kind: str, weights, *rest) -> LayerGraph:
    """The graph of a layer from its parts."""
    if kind == "layer":
        mask, plain, options = rest
        return layer_graph(Layer(weight=weights, mask=mask, **plain), **options)
    if kind == "complete":
        return LayerGraph(Complete(weights), name)
    indices, indptr, shape = rest
    return LayerGraph(csr_array((weights, indices, indptr), shape=shape), name)


def _row(name: str, groups: list[str], *parts) -> dict[str, Any]:
    """One layer's row of the table; runs in a worker."""
    graph = _put_together(name, *parts)
    row: dict[str, Any] = {"layer": name}
    reasons: dict[str, str] = {}
    for group in groups:
        found = METRICS[group](graph)
        reasons.update(found.pop("reasons", {}))
        row.update(found)
    return {**row, "reasons": reasons}


def _notes(network, graph: NetworkGraph, rows: list[dict]) -> list[str]:
    """The view, what of the source is covered, and why something is undefined."""
    notes = [f"view: {graph.view}"] if graph.view else []
    if isinstance(network, Network):
        notes += str(network.coverage).splitlines()[:1]
        if network.wiring is None:
            notes.append("no wiring: path metrics left out; name a chain to have them")
    for row in rows:
        by_reason: dict[str, list[str]] = {}
        for metric, reason in row.pop("reasons").items():
            by_reason.setdefault(reason, []).append(metric)
        notes += [f"{row['layer']}: {', '.join(m)} undefined: {r}" for r, m in by_reason.items()]
    return notes
