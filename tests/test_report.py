"""analyze: the table of a network, the same on every executor, with its reasons and its coverage."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import nngraph as ng
from nngraph.report import METRICS


@pytest.fixture(scope="module")
def demo():
    return ng.datasets.digits_convnet()


@pytest.fixture(scope="module")
def pruned(demo):
    masks = ng.prune(demo.network, "erk", density=0.02, rng=0)
    return demo.network.with_masks(masks)


def same(first: ng.Table, second: ng.Table) -> None:
    """Equal bits in every cell, NaN equal to NaN."""
    assert list(first.columns) == list(second.columns)
    for name in first.columns:
        np.testing.assert_array_equal(np.array(first[name]), np.array(second[name]))
    assert first.notes == second.notes


def test_each_number_is_that_of_its_function(pruned):
    table = ng.analyze(pruned)
    network = ng.to_graph(pruned)
    for row, graph in zip(table, network, strict=True):
        absolute = ng.magnitude(graph)
        assert row["layer"] == graph.name
        assert (row["inputs"], row["outputs"]) == (graph.n_in, graph.n_out)
        assert row["edges"] == graph.n_edges
        assert row["fan_in"] == pytest.approx(ng.degrees(graph).outputs.mean())
        assert row["fan_out"] == pytest.approx(ng.degrees(graph).inputs.mean())
        assert row["isolated_inputs"] == len(ng.isolated(graph).inputs)
        assert row["isolated_outputs"] == len(ng.isolated(graph).outputs)
        assert row["norm"] == pytest.approx(np.linalg.norm(graph.toarray()))
        assert row["mean_abs"] == pytest.approx(np.abs(graph.data).mean())
        assert row["components"] == ng.components(graph).count
        sigma = np.linalg.svd(absolute.toarray().astype(float), compute_uv=False)
        assert row["sigma_1"] == pytest.approx(sigma[0], rel=1e-9)
        assert row["sigma_2"] == pytest.approx(sigma[1], rel=1e-9)
        assert row["ramanujan_gap"] == pytest.approx(float(ng.ramanujan_gap(graph)), abs=1e-9)
    effective = ng.effective_edges(network)
    assert table["effective_edges"] == effective["effective_edges"]


def test_an_undefined_metric_is_nan_with_its_reason_below():
    table = ng.analyze(ng.Network([ng.Layer("none", np.zeros((3, 4))), ng.Layer("one", np.ones((1, 4)))]))
    assert np.isnan(table["mean_abs"][0])
    assert any("none" in note and "no edges" in note for note in table.notes)
    assert np.isnan(table["ramanujan_gap"][0])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_give_the_same_bits(method, pruned):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        same(ng.analyze(pruned, executor=pool), ng.analyze(pruned))


def test_threads_give_the_same_bits_for_networks_and_for_graphs(pruned):
    graph = ng.to_graph(pruned)
    with ThreadPoolExecutor(2) as pool:
        same(ng.analyze(pruned, executor=pool), ng.analyze(pruned))
        same(ng.analyze(graph, executor=pool), ng.analyze(graph))


def test_loky_gives_the_same_bits(pruned):
    loky = pytest.importorskip("loky")
    pool = loky.get_reusable_executor(max_workers=2)
    same(ng.analyze(pruned, executor=pool), ng.analyze(pruned))
    pool.shutdown(wait=True)


def test_a_graph_is_measured_as_its_network(pruned):
    by_network, by_graph = ng.analyze(pruned), ng.analyze(ng.to_graph(pruned))
    for name in by_graph.columns:
        np.testing.assert_array_equal(np.array(by_graph[name]), np.array(by_network[name]))
    single = ng.analyze(ng.to_graph(pruned)["fc"])
    assert single["edges"] == by_network["edges"][-1:]


@pytest.mark.parametrize("view", ["kernel", "channel", "unit"])
def test_views_are_recorded(view, demo):
    table = ng.analyze(demo.network, view=view, metrics=["size", "components"])
    assert f"view: {view}" in table.notes
    assert table["edges"][0] == ng.to_graph(demo.network, view)[0].n_edges


def test_a_bag_of_weights_says_what_it_lacks(demo):
    bag = ng.Network(demo.network.layers)
    table = ng.analyze(bag, metrics=None)
    assert "effective_edges" not in table.columns
    assert any("no wiring" in note for note in table.notes)
    with pytest.raises(ng.ChainError, match="chain"):
        ng.analyze(bag, metrics=["paths"])


def test_progress_counts_layers(demo):
    seen = []
    ng.analyze(demo.network, metrics=["size"], progress=lambda *at: seen.append(at))
    assert seen == [(k + 1, len(demo.network)) for k in range(len(demo.network))]


def test_groups_are_chosen_in_the_order_asked(demo):
    for name in METRICS:
        table = ng.analyze(demo.network, metrics=[name])
        assert next(iter(table.columns)) == "layer"
        assert len(table.columns) > 1
    with pytest.raises(ng.GraphError, match="did you mean 'spectrum'"):
        ng.analyze(demo.network, metrics=["spectra"])


def test_bad_weights_are_named():
    weights = np.ones((3, 4))
    weights[1, 2] = np.nan
    with pytest.raises(ng.WeightError, match="layer 'fc'.*1 NaN"):
        ng.analyze(ng.Network([ng.Layer("fc", weights)]))


def test_an_op_without_joins_is_noted_and_named_when_asked_for():
    layers = [ng.Layer("a", np.ones((3, 4))), ng.Layer("b", np.ones((2, 3)))]
    nodes = [
        ng.Node("x", "input"), ng.Node("a", "layer", ("x",), layer="a"),
        ng.Node("odd", "unsupported", ("a",), options={"type": "Odd"}),
        ng.Node("b", "layer", ("odd",), layer="b"),
    ]
    network = ng.Network(layers, nodes)
    table = ng.analyze(network, metrics=None)
    assert any("path metrics left out" in note and "Odd" in note for note in table.notes)
    with pytest.raises(ng.UnsupportedOpError, match="Odd"):
        ng.analyze(network, metrics=["paths"])
