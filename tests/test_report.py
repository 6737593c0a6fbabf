"""analyze: a network as a table, the same on every executor, with its reasons and coverage."""

from __future__ import annotations

import multiprocessing
import tracemalloc
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
    assert first == second, f"{first}\n{second}"


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
    layers = [ng.Layer("none", np.zeros((3, 4))), ng.Layer("one", np.ones((1, 4)))]
    table = ng.analyze(ng.Network(layers))
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
    with pytest.raises(ng.WeightError, match=r"layer 'fc'.*1 NaN"):
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


def test_norms_neither_overflow_nor_vanish():
    for weight, dtype in ((1e30, "f4"), (1e-30, "f4"), (1e300, "f8"), (1e-300, "f8")):
        table = ng.analyze(ng.LayerGraph(np.full((3, 3), weight, dtype)), metrics=["weight"])
        assert table["mean_abs"][0] == pytest.approx(weight, rel=1e-6)
        assert table["norm"][0] == pytest.approx(3 * weight, rel=1e-6)
    table = ng.analyze(ng.from_mask(np.zeros((2, 2)), np.ones((2, 2), bool)), metrics=["weight"])
    assert (table["mean_abs"][0], table["norm"][0]) == (0, 0)


def test_a_mapped_layer_is_not_copied(tmp_path):
    weights = np.random.default_rng(0).uniform(0.1, 1, (1000, 2000)).astype("f4")
    np.save(tmp_path / "w.npy", weights)
    network = ng.load(tmp_path / "w.npy")
    tracemalloc.start()
    table = ng.analyze(network, metrics=["size", "degree", "weight", "components"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * weights.nbytes  # a few blocks, and a byte per entry
    assert table["norm"][0] == pytest.approx(np.linalg.norm(weights.astype(float)), rel=1e-12)


def test_arrays_are_measured_and_other_things_refused():
    assert ng.analyze(np.ones((2, 3)), metrics=["size"])["edges"] == (6,)
    with pytest.raises(TypeError, match="a LayerGraph is needed, got NoneType"):
        ng.analyze(None)


def test_rows_carry_the_names_of_the_network_graph():
    network = ng.NetworkGraph([np.ones((2, 3)), np.ones((4, 2))])
    assert ng.analyze(network, metrics=["size"])["layer"] == network.names == ("layer 0", "layer 1")


def test_a_network_graph_of_a_file_stays_in_the_file(tmp_path):
    for k in range(6):
        np.save(tmp_path / f"w{k}.npy", np.eye(700, dtype="f4") + np.float32(k > 5))
    graph = ng.to_graph(ng.load(tmp_path))
    peaks = []
    for layers in (graph.layers[:1], graph.layers):
        tracemalloc.start()
        ng.analyze(ng.NetworkGraph(layers, joins=()), metrics=["size"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
