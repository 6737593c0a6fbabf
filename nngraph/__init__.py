"""nngraph: numerical graph theory of neural networks.

A network becomes a sequence of weighted bipartite graphs; metrics of these graphs become edge
scores; scores become pruning masks that go back into the framework the weights came from.

Conventions, stated once:

* ``weights`` has shape ``(n_out, n_in)``, so that a layer computes ``weights @ x``.
* A stored entry is an edge, also with weight 0; an absent entry is no edge; a dense input's zeros
  are no edges unless a mask says otherwise.
* Edge values are in row-major (CSR) order; vertex values are inputs first, then outputs.
* Signed weights stay signed; a metric that needs conductances raises until the caller takes
  ``magnitude(graph)`` or ``squared(graph)``.
* Infinity is an answer; a summary that is undefined is NaN with a reason beside it.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name: the module that holds it. Names load on first use, so that `import nngraph` is cheap.
_MODULES = {
    "_errors": (
        "ChainError ConvergenceError DisconnectedError FileChangedError FormatError GraphError "
        "MaskError MissingExtraError MissingFileError NegativeWeightError "
        "UnsupportedOpError WeightError"
    ),
    "bags": "from_tensors",
    "chains": "wire",
    "citations": "cite",
    "connectivity": (
        "components dead_units effective_edges effective_sparsity isolated layer_collapse "
        "reachability"
    ),
    "formats": "Format known_formats load save",
    "spectral": (
        "Metric SingularValues eigengap normalized_lambda2 ramanujan_bound ramanujan_gap "
        "singular_values stable_rank"
    ),
    "stored": "StoredArray",
    "network": "Coverage Layer Layout Network Node",
    "edge_values": "EdgeValues",
    "graph": "Join LayerGraph NetworkGraph from_mask magnitude squared",
    "pruning": (
        "Budget ERK ErdosRenyi Magnitude Masks Random Spectral Uniform methods prune register"
    ),
    "interchange": "from_networkx to_networkx",
    "matrices": "adjacency degrees glue incidence laplacian strengths",
    "paths": "path_counts path_weights",
    "report": "analyze",
    "resistance": (
        "effective_resistance kirchhoff_index leverage_scores resistance_matrix "
        "spanning_tree_count spectral_sparsify"
    ),
    "tables": "Table",
    "joins": "network_joins",
    "views": "fold layer_graph to_graph",
    "evaluation": "accuracy activations forward output_shapes stream_activations",
}
_SUBMODULES = ("datasets", "ensembles", "parallel", "plotting", "testing")
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted([*_HOME, *_SUBMODULES])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nngraph")
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'nngraph' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
