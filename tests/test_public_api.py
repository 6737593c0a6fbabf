"""The table of laws: every public function stands here, or these tests fail.

For each function: the docstring is complete, its input is left as it was, 64-bit indices and 32-bit
weights give the same answer, its result pickles, and a relabelling law says what becomes of the
answer when the vertices are permuted.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import nngraph as ng

N_OUT, N_IN = 5, 7


@dataclass(frozen=True)
class Law:
    """How to call a function of one layer graph, and what a relabelling does to its answer.

    `relabel` is ``"same"`` (a number or a set of numbers), ``"edges"`` (one per edge), ``"sides"``
    (arrays of inputs and outputs), ``"matrix"`` (over all vertices), or None with a `reason`.
    """

    call: Callable[[ng.LayerGraph], Any]
    relabel: str | None
    reason: str = ""


GRAPH_LAWS = {
    "adjacency": Law(ng.adjacency, "matrix"),
    "components": Law(lambda g: ng.components(g).count, "same"),
    "degrees": Law(ng.degrees, "sides"),
    "effective_resistance": Law(ng.effective_resistance, "edges"),
    "eigengap": Law(lambda g: float(ng.eigengap(g)), "same"),
    "incidence": Law(ng.incidence, None, "columns are edges: test_matrices"),
    "isolated": Law(lambda g: [len(side) for side in ng.isolated(g)], "same"),
    "kirchhoff_index": Law(ng.kirchhoff_index, "same"),
    "laplacian": Law(ng.laplacian, "matrix"),
    "leverage_scores": Law(ng.leverage_scores, "edges"),
    "magnitude": Law(lambda g: ng.EdgeValues(ng.magnitude(g).data, g), "edges"),
    "normalized_lambda2": Law(lambda g: float(ng.normalized_lambda2(g)), "same"),
    "ramanujan_bound": Law(lambda g: float(ng.ramanujan_bound(g)), "same"),
    "ramanujan_gap": Law(lambda g: float(ng.ramanujan_gap(g)), "same"),
    "resistance_matrix": Law(ng.resistance_matrix, "matrix"),
    "singular_values": Law(lambda g: ng.singular_values(g, k=3), "same"),
    "spanning_tree_count": Law(ng.spanning_tree_count, "same"),
    "squared": Law(lambda g: ng.EdgeValues(ng.squared(g).data, g), "edges"),
    "stable_rank": Law(lambda g: float(ng.stable_rank(g)), "same"),
    "strengths": Law(ng.strengths, "sides"),
    "to_networkx": Law(ng.to_networkx, None, "a NetworkX graph: test_interchange"),
}

# Public functions whose input is no layer graph; the laws that fit them are tested by name there.
ELSEWHERE = {
    "accuracy": "test_evaluation",
    "activations": "test_evaluation",
    "analyze": "test_report",
    "cite": "test_citations",
    "dead_units": "test_connectivity",
    "effective_edges": "test_connectivity",
    "effective_sparsity": "test_connectivity",
    "fold": "test_views",
    "forward": "test_evaluation",
    "from_mask": "test_graph",
    "from_networkx": "test_interchange",
    "from_tensors": "test_bags",
    "glue": "test_matrices",
    "known_formats": "test_formats",
    "layer_collapse": "test_connectivity",
    "layer_graph": "test_views",
    "load": "test_formats",
    "methods": "test_pruning_methods",
    "network_joins": "test_joins",
    "output_shapes": "test_evaluation",
    "path_counts": "test_paths",
    "path_weights": "test_paths",
    "prune": "test_pruning_methods",
    "reachability": "test_connectivity",
    "register": "test_pruning_methods",
    "save": "test_formats",
    "spectral_sparsify": "test_sparsify",
    "stream_activations": "test_evaluation",
    "to_graph": "test_views",
    "wire": "test_chains",
}

PUBLIC = {name: getattr(ng, name) for name in ng.__all__}
FUNCTIONS = sorted(name for name, value in PUBLIC.items() if inspect.isfunction(value))
CLASSES = sorted(name for name, value in PUBLIC.items() if inspect.isclass(value))


def test_every_public_function_stands_in_the_table():
    assert sorted([*GRAPH_LAWS, *ELSEWHERE]) == FUNCTIONS


@pytest.mark.parametrize("module", sorted(set(ELSEWHERE.values())))
def test_the_tests_named_elsewhere_exist(module):
    from pathlib import Path

    text = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    for name in (name for name, where in ELSEWHERE.items() if where == module):
        assert name in text, f"{module} never calls {name}"


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_docstrings_are_complete(name):
    from numpydoc.docscrape import ClassDoc, FunctionDoc

    value = PUBLIC[name]
    if inspect.isclass(value) and issubclass(value, Exception):
        assert value.__doc__
        return
    doc = ClassDoc(value) if inspect.isclass(value) else FunctionDoc(value)
    assert doc["Summary"], "no summary"
    described = [part.strip() for p in doc["Parameters"] for part in p.name.split(",")]
    described = [part.lstrip("*") for part in described]
    parameters = [
        p for p in inspect.signature(value).parameters if p not in ("self", "_")
    ]
    if inspect.isfunction(value):
        assert described == parameters
        returns = inspect.signature(value).return_annotation
        assert doc["Returns"] or doc["Yields"] or returns in (None, "None")
        assert doc["Examples"], "no executed example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_graph_first_and_few_positional(name):
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    # masks= of accuracy may be given by position: the signature that the user stories fix.
    assert len(positional) <= (4 if name == "accuracy" else 3)
    assert "rng" not in [p.name for p in positional]
    assert "executor" not in [p.name for p in positional]


@pytest.fixture
def graph():
    """Weights that float32 holds exactly; a hole, an isolated input, two components."""
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 9, size=(N_OUT, N_IN)) / 8
    weights[:2, 4:] = 0
    weights[2:, :4] = 0
    weights[:, 3] = 0
    weights[0, 1] = 0
    return ng.LayerGraph(weights, "law")


def plain(answer) -> np.ndarray:
    """An answer as a dense array of float64."""
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    if isinstance(answer, tuple):
        answer = np.concatenate([np.ravel(part) for part in answer])
    return np.asarray(answer, dtype=np.float64)


CALLS = {name: law for name, law in GRAPH_LAWS.items() if name != "to_networkx"}


@pytest.mark.parametrize("name", GRAPH_LAWS)
def test_inputs_are_left_as_they_were(name, graph):
    csr = graph.tocsr()
    arrays = csr.data, csr.indices, csr.indptr
    before = [array.copy() for array in arrays]
    GRAPH_LAWS[name].call(graph)
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["int64 indices", "float32 weights", "no copy of a csr"])
def test_types_do_not_change_the_answer(name, kind, graph):
    csr = graph.tocsr()
    index = np.int64 if kind == "int64 indices" else np.int32
    weight = np.float32 if kind == "float32 weights" else np.float64
    parts = (csr.data.astype(weight), csr.indices.astype(index), csr.indptr.astype(index))
    other = ng.LayerGraph(csr_array(parts, shape=csr.shape), "law")
    call = GRAPH_LAWS[name].call
    np.testing.assert_allclose(plain(call(other)), plain(call(graph)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", GRAPH_LAWS)
def test_results_pickle(name, graph):
    answer = GRAPH_LAWS[name].call(graph)
    again = pickle.loads(pickle.dumps(answer))  # noqa: S301
    assert type(again) is type(answer)
    if name in CALLS:
        np.testing.assert_array_equal(plain(again), plain(answer))


@pytest.mark.parametrize("name", [n for n, law in GRAPH_LAWS.items() if law.relabel])
def test_relabelling(name, graph):
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(N_OUT), rng.permutation(N_IN)
    permuted = ng.LayerGraph(graph.toarray()[rows][:, columns], "law")
    law = GRAPH_LAWS[name]
    answer, other = law.call(graph), law.call(permuted)
    if law.relabel == "edges":
        answer = answer.tocsr().toarray()[rows][:, columns]
        other = other.tocsr().toarray()
    elif law.relabel == "sides":
        answer = [np.asarray(answer[0])[columns], np.asarray(answer[1])[rows]]
        answer, other = np.concatenate(answer), np.concatenate(list(other))
    elif law.relabel == "matrix":
        order = np.concatenate([columns, N_IN + rows])
        answer = plain(answer)[np.ix_(order, order)]
    np.testing.assert_allclose(plain(other), plain(answer), rtol=1e-9, atol=1e-12)


def test_a_law_that_is_broken_is_noticed(graph):
    """The relabelling test fails for a function that depends on the labels."""
    broken = Law(lambda g: float(g.toarray()[0, 0]), "same")
    GRAPH_LAWS["broken"] = broken
    try:
        with pytest.raises(AssertionError):
            test_relabelling("broken", graph)
    finally:
        del GRAPH_LAWS["broken"]
