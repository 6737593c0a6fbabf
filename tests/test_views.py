"""Views of layers as graphs, against the layer's own Jacobian, and folding back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from wirings import SMALL, Wiring, convolutions, pooled, residual

import nngraph as ng
from nngraph import _unit

RNG = np.random.default_rng(11)


def weights_of(layer):
    mask = True if layer.mask is None else layer.mask
    return np.where(mask, layer.array(), 0)


# --- kernel view ----------------------------------------------------------------------------------


def block_diagonal(weights, groups):
    """Outputs by inputs, from weights of shape (n_out, per group), by loops."""
    n_out, width = weights.shape
    out = np.zeros((n_out, groups * width))
    for o in range(n_out):
        at = o // (n_out // groups) * width
        out[o, at : at + width] = weights[o]
    return out


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_kernel_view_has_one_edge_per_parameter(case):
    layer, _ = case
    graph = ng.layer_graph(layer)
    expected = block_diagonal(weights_of(layer).reshape(layer.n_out, -1), layer.groups)
    np.testing.assert_array_equal(graph.toarray(), expected)
    exists = np.ones(layer.size, bool) if layer.mask is None else layer.mask.ravel()
    assert graph.n_edges == exists.sum()
    parameters = np.flatnonzero(exists)
    if graph.parameters is None:
        assert exists.all()
    else:
        np.testing.assert_array_equal(graph.parameters, parameters)
    np.testing.assert_array_equal(graph.data, layer.array().ravel()[parameters])
    assert (graph.view, graph.name) == ("kernel", "conv")


def test_a_complete_layer_is_not_copied(tmp_path):
    weight = RNG.standard_normal((3, 2, 2)).astype(np.float32)
    weight.flags.writeable = False
    graph = ng.layer_graph(ng.Layer("conv", weight))
    assert np.shares_memory(graph.weights, weight)
    assert graph.weights.dtype == np.float32
    assert graph.parameters is None
    path = tmp_path / "w.bin"
    path.write_bytes(weight.tobytes())
    handle = ng.StoredArray.at(path, weight.shape, "<f4")
    graph = ng.layer_graph(ng.Layer("conv", handle))
    base = graph.weights
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_exact_zeros_are_edges_only_where_a_mask_says_so():
    weight = np.array([[0.0, 1.0], [2.0, 0.0]])
    bare = ng.layer_graph(ng.Layer("fc", weight))
    assert bare.n_edges == 2
    np.testing.assert_array_equal(bare.parameters, [1, 2])
    full = ng.layer_graph(ng.Layer("fc", weight, mask=np.ones((2, 2), bool)))
    assert full.n_edges == 4
    assert not full.is_sparse
    some = ng.layer_graph(ng.Layer("fc", weight, mask=np.array([[True, True], [False, True]])))
    np.testing.assert_array_equal(some.data, [0, 1, 0])
    np.testing.assert_array_equal(some.parameters, [0, 1, 3])
    none = ng.layer_graph(ng.Layer("fc", weight, mask=np.zeros((2, 2), bool)))
    assert none.n_edges == 0
    for view in ("channel", "unit"):
        masked = ng.Layer("fc", weight, mask=np.ones((2, 2), bool))
        assert ng.layer_graph(masked, view).n_edges == 4


# --- channel view ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.sampled_from(["l2", "l1", "max", "sum"]))
def test_channel_view_measures_each_kernel(case, norm):
    layer, _ = case
    measure = {
        "l2": np.linalg.norm, "l1": lambda k: np.abs(k).sum(), "max": lambda k: np.abs(k).max(),
        "sum": np.sum,
    }[norm]  # fmt: skip
    kernels = weights_of(layer).reshape(layer.n_out, layer.shape[1], -1)
    expected = np.array([[measure(kernel) for kernel in row] for row in kernels])
    exists = (kernels != 0).any(axis=2)  # the weights of the strategy are never 0
    graph = ng.layer_graph(layer, "channel", norm=norm)
    assert graph.shape == (layer.n_out, layer.n_in)
    np.testing.assert_allclose(graph.toarray(), block_diagonal(expected, layer.groups))
    np.testing.assert_array_equal(graph.pattern(), block_diagonal(exists, layer.groups) > 0)
    scores = ng.fold(graph.data, layer, graph)
    assert scores.shape == layer.shape
    repeated = np.broadcast_to(expected[..., None], kernels.shape).reshape(layer.shape)
    np.testing.assert_allclose(scores, np.where(weights_of(layer) != 0, repeated, np.nan))


def test_taps_that_cancel_are_still_an_edge():
    layer = ng.Layer("conv", np.array([[[1.0, -1.0], [0.0, 0.0]]], np.float32))
    graph = ng.layer_graph(layer, "channel", norm="sum")
    np.testing.assert_array_equal(graph.edges(), [[0], [0]])
    np.testing.assert_array_equal(graph.data, [0])
    assert graph.data.dtype == np.float32


# --- unit view ------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(convolutions())
def test_unit_view_is_the_jacobian_with_its_parameters(case):
    layer, shape = case
    graph = ng.layer_graph(layer, "unit", input_shape=shape)
    expected = reference.jacobian(lambda x: reference.convolution(layer, x), shape)
    # Weights are distinct and no input meets an output under two taps, so sums cannot hide.
    np.testing.assert_array_equal(graph.toarray(), expected)
    assert graph.n_edges == np.count_nonzero(expected)
    np.testing.assert_array_equal(layer.array().ravel()[graph.parameters], graph.data)
    csr = graph.tocsr()
    assert csr.has_canonical_format
    uses = ng.fold(np.ones(graph.n_edges), layer, graph, how="sum")
    counts = np.bincount(graph.parameters, minlength=layer.size).reshape(layer.shape)
    np.testing.assert_array_equal(np.nan_to_num(uses), counts)
    np.testing.assert_array_equal(np.isnan(uses), counts == 0)


@settings(max_examples=40, deadline=None)
@given(convolutions(dims=(1, 2, 3)))
def test_unit_view_times_the_input_is_the_layer(case):
    layer, shape = case
    network = ng.Network([layer], [ng.Node("x", "input", options={"shape": shape}),
                                   ng.Node("conv", "layer", "x", "conv")])  # fmt: skip
    x = RNG.standard_normal(shape)
    graph = ng.to_graph(network, "unit")[0]
    np.testing.assert_allclose(
        graph.weights @ x.ravel(), ng.forward(network, x[None])[0].ravel(), rtol=1e-12, atol=1e-9
    )


def test_unit_view_in_blocks_is_the_same(monkeypatch):
    layer = ng.Layer("c", RNG.standard_normal((5, 2, 3)), padding=1)
    whole = ng.layer_graph(layer, "unit", input_shape=(2, 6))
    monkeypatch.setattr(_unit, "_BLOCK_EDGES", 70)
    parts = ng.layer_graph(layer, "unit", input_shape=(2, 6))
    for a, b in [(whole.tocsr().indices, parts.tocsr().indices), (whole.data, parts.data),
                 (whole.parameters, parts.parameters)]:  # fmt: skip
        np.testing.assert_array_equal(a, b)


def test_unit_view_of_linear_layers():
    weight = np.where(RNG.random((3, 4)) < 0.5, RNG.standard_normal((3, 4)), 0)
    layer = ng.Layer("fc", weight)
    single = ng.layer_graph(layer, "unit")
    np.testing.assert_array_equal(single.toarray(), weight)
    graph = ng.layer_graph(layer, "unit", input_shape=(2, 5, 4))
    expected = reference.jacobian(lambda x: x @ weight.T, (2, 5, 4))
    np.testing.assert_array_equal(graph.toarray(), expected)
    np.testing.assert_array_equal(weight.ravel()[graph.parameters], graph.data)
    assert np.nanmax(ng.fold(np.ones(graph.n_edges), layer, graph, how="sum")) == 10


def test_unit_view_says_what_it_needs():
    layer = ng.Layer("conv", np.ones((2, 3, 3, 3)))
    with pytest.raises(ng.GraphError, match=r"input_shape=\(3, height, width\)"):
        ng.layer_graph(layer, "unit")
    with pytest.raises(ng.GraphError, match="20,736 edges, more than 20,735; take the kernel view"):
        ng.layer_graph(layer, "unit", input_shape=(3, 18, 26), max_edges=20_735)
    with pytest.raises(ng.GraphError, match="120 edges, more than 100"):
        ng.layer_graph(ng.Layer("f", np.ones((3, 4))), "unit", input_shape=(10, 4), max_edges=100)
    with pytest.raises(ng.ChainError, match="'conv' reads examples of 3 channels"):
        ng.layer_graph(layer, "unit", input_shape=(4, 8, 8))
    with pytest.raises(ng.ChainError, match="a window of 3 does not fit"):
        ng.layer_graph(layer, "unit", input_shape=(3, 2, 8))
    table = ng.Layer("table", np.ones((2, 9)), kind="embedding")
    with pytest.raises(ng.UnsupportedOpError, match="'embedding', which has no unit view"):
        ng.layer_graph(table, "unit")


# --- names, laziness ------------------------------------------------------------------------------


def test_unknown_names_are_corrected():
    layer = ng.Layer("fc", np.ones((2, 3)))
    with pytest.raises(ng.GraphError, match="no view 'kernels'; did you mean 'kernel'"):
        ng.layer_graph(layer, "kernels")
    with pytest.raises(ng.GraphError, match="no norm 'l3'"):
        ng.to_graph(ng.Network([layer]), "channel", norm="l3")


@pytest.mark.parametrize("make", SMALL)
@pytest.mark.parametrize("view", ["kernel", "channel", "unit"])
def test_a_network_becomes_a_lazy_picklable_graph(make, view):
    network = make(np.random.default_rng(0))
    graph = ng.to_graph(network, view)
    assert (graph.names, graph.view, len(graph)) == (network.names, view, len(network))
    assert all(callable(layer) for layer in graph.layers)
    again = pickle.loads(pickle.dumps(graph))  # noqa: S301
    for a, b, layer in zip(graph, again, network, strict=True):
        assert a.name == layer.name
        np.testing.assert_array_equal(a.toarray(), b.toarray())
    assert len(graph.joins) == len(again.joins) > 0
    assert ng.magnitude(graph).joins is graph.joins
    assert "joins by its wiring" in repr(graph)


def test_layers_are_built_only_when_asked_for():
    bag = ng.from_tensors({"a": np.ones((2, 3, 3)), "b": np.full((2, 3), np.nan)})
    graph = ng.to_graph(bag)
    assert graph.joins == ()
    assert graph["a"].n_in == 9
    with pytest.raises(ng.WeightError, match="NaN"):
        graph["b"]
    with pytest.raises(ng.ChainError, match="load the network with a chain"):
        graph.require_joins("a path metric")
    with pytest.raises(ng.GraphError, match="needs the shape of its input"):
        ng.to_graph(bag, "unit")[0]
    assert ng.to_graph(ng.from_tensors({"fc": np.ones((2, 3))}), "unit")[0].shape == (2, 3)


def test_unknown_ops_only_matter_where_they_must():
    w = Wiring((3,))
    w.layer("fc", np.ones((2, 3)))
    w.op("unsupported", type="Attention")
    graph = ng.to_graph(w.network())
    assert graph[0].n_edges == 6
    assert "fc" in repr(graph[0])
    with pytest.raises(ng.UnsupportedOpError, match="Attention"):
        graph.require_joins("path counts")


def test_the_unit_view_takes_the_shapes_of_the_wiring():
    network = pooled(np.random.default_rng(0))
    shapes = [graph.shape for graph in ng.to_graph(network, "unit")]
    assert shapes == [(126, 84), (24, 24), (5, 24)]
    larger = ng.to_graph(residual(np.random.default_rng(0)), "unit", input_shape=(2, 8, 8))
    assert larger[0].shape == (128, 128)
    with pytest.raises(ng.GraphError, match="more than 10;"):
        ng.to_graph(network, "unit", max_edges=10)[0]


def test_a_layer_at_two_sizes_has_no_unit_view():
    w = Wiring((1, 8))
    w.layer("c", np.ones((1, 1, 3)))
    w.layer("c", None, node="again")
    with pytest.raises(ng.ChainError, match=r"'c' is used on .* shapes \(1, 8\) and \(1, 6\)"):
        ng.to_graph(w.network(), "unit")


# --- fold -----------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(convolutions(), st.sampled_from(["mean", "sum", "min"]))
def test_fold_equals_a_loop_over_edges(case, how):
    layer, shape = case
    graph = ng.layer_graph(layer, "unit", input_shape=shape)
    values = RNG.standard_normal(graph.n_edges)
    shared = {}
    for parameter, value in zip(graph.parameters, values, strict=True):
        shared.setdefault(int(parameter), []).append(value)
    expected = np.full(layer.size, np.nan)
    for parameter, group in shared.items():
        expected[parameter] = {"mean": np.mean, "sum": np.sum, "min": np.min}[how](group)
    found = ng.fold(ng.EdgeValues(values, graph), layer, graph, how=how)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.reshape(layer.shape), rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(convolutions())
def test_fold_of_the_kernel_view_is_the_identity(case):
    layer, _ = case
    graph = ng.layer_graph(layer)
    for how in ("mean", "sum", "min"):
        found = ng.fold(graph.data, layer, graph, how=how)
        exists = np.ones(layer.shape, bool) if layer.mask is None else layer.mask
        np.testing.assert_array_equal(found, np.where(exists, layer.array(), np.nan))


def test_fold_keeps_infinity_and_refuses_strangers():
    layer = ng.Layer("c", np.ones((1, 1, 2)))
    graph = ng.layer_graph(layer, "unit", input_shape=(1, 3))
    np.testing.assert_array_equal(
        ng.fold([np.inf, 1, 2, 3], layer, graph, how="min").ravel(), [2, 1]
    )
    np.testing.assert_array_equal(ng.fold([np.inf, 1, 2, 3], layer, graph).ravel(), [np.inf, 2])
    with pytest.raises(ng.GraphError, match="cannot fold by 'median'"):
        ng.fold(np.ones(4), layer, graph, how="median")
    with pytest.raises(ng.GraphError, match=r"one value per edge, 4, got shape \(3,\)"):
        ng.fold(np.ones(3), layer, graph)
    other = ng.LayerGraph(np.ones((2, 3)))
    with pytest.raises(ng.GraphError, match="is no view of layer 'c'"):
        ng.fold(np.ones(6), layer, other)
    with pytest.raises(ng.GraphError, match="is no view of layer 'c'"):
        ng.fold(np.ones(2), layer, ng.LayerGraph(np.ones((1, 2)), parameters=[0, 2]))
