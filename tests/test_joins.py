"""Joins against the pattern of the network's Jacobian, and against what they should be by hand."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from wirings import SMALL, Wiring, channels_last, concatenated, mlp, pooled, residual, tied

import nngraph as ng
from nngraph._errors import GraphError


def dense(network, view="kernel", input_shape=None):
    joins = ng.network_joins(network, view, input_shape)
    return {(j.source, j.target): j.matrix.toarray().astype(int) for j in joins}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [mlp, pooled, residual, concatenated, channels_last])
def test_paths_through_the_unit_graph_are_the_jacobian(make, seed):
    network = make(np.random.default_rng(seed))
    shape = network.input_shape
    n = int(np.prod(shape))
    graph = ng.to_graph(network, "unit")
    reached = reference.reach(graph, graph.joins)
    # No weight is negative, so nothing cancels and ReLU passes all: the network is linear.
    values = ng.activations(network, np.eye(n).reshape(n, *shape))
    for k, layer in enumerate(network):
        np.testing.assert_array_equal(reached[k], values[layer.name].reshape(n, -1).T > 0)
    out = values[network.wiring[-1].name]
    np.testing.assert_array_equal(reached[len(network)], out.reshape(n, -1).T > 0)


@pytest.mark.parametrize("make", SMALL)
@pytest.mark.parametrize("view", ["kernel", "channel", "unit"])
def test_joins_fit_the_graphs_they_join(make, view):
    network = make(np.random.default_rng(0))
    graph = ng.to_graph(network, view)
    sizes_in = [*(layer.n_in for layer in graph)]
    sizes_out = {-1: None} | {k: layer.n_out for k, layer in enumerate(graph)}
    order = [(join.target, join.source) for join in graph.joins]
    assert order == sorted(set(order))
    assert {join.target for join in graph.joins} == set(range(len(graph) + 1))
    for join in graph.joins:
        assert join.matrix.dtype == bool
        assert join.matrix.has_canonical_format
        assert join.matrix.data.all()
        if join.target < len(graph):
            assert join.matrix.shape[0] == sizes_in[join.target]
        if join.source >= 0:
            assert join.matrix.shape[1] == sizes_out[join.source]
        sizes_out.setdefault(join.source, join.matrix.shape[1])


@pytest.mark.parametrize("make", [mlp, pooled, residual, concatenated])
def test_channels_are_joined_where_any_of_their_positions_are(make):
    network = make(np.random.default_rng(0))
    shapes = ng.output_shapes(network)
    before = {node.layer: shapes[node.inputs[0]] for node in network.wiring if node.layer}
    unit, channel = dense(network, "unit"), dense(network, "channel")

    def merged(matrix, source, target):
        """Any over the positions of a channel, on both sides of a join."""
        out = shapes[network.wiring[-1].name]
        read = out if target == len(network) else before[network.names[target]]
        given = network.input_shape if source == -1 else shapes[network.names[source]]
        sides = [(shape[0], int(np.prod(shape[1:]))) for shape in (read, given)]
        return matrix.reshape(*sides[0], *sides[1]).any(axis=(1, 3))

    assert set(unit) == set(channel)
    for (source, target), matrix in unit.items():
        expected = merged(matrix, source, target)
        np.testing.assert_array_equal(channel[source, target], expected)


def test_kernel_joins_repeat_a_channel_over_its_taps():
    network = residual(np.random.default_rng(0))
    kernel, channel = dense(network, "kernel"), dense(network, "channel")
    for (source, target), matrix in channel.items():
        taps = int(np.prod(network.layers[target].kernel)) if target < len(network) else 1
        np.testing.assert_array_equal(kernel[source, target], np.repeat(matrix, taps, axis=0))


def test_an_option_a_shortcut_feeds_the_middle_channels():
    found = dense(residual(np.random.default_rng(0)), "channel")
    # stem, conv1, conv2, fc: the padded stem and conv2 are added before fc
    np.testing.assert_array_equal(found[2, 3], np.eye(4))
    np.testing.assert_array_equal(found[0, 3], np.eye(4)[:, 1:3])
    np.testing.assert_array_equal(found[3, 4], np.eye(3))
    assert set(found) == {(-1, 0), (0, 1), (1, 2), (2, 3), (0, 3), (3, 4)}


def test_a_flatten_gives_each_position_its_channel():
    found = dense(pooled(np.random.default_rng(0)))
    np.testing.assert_array_equal(found[1, 2], np.repeat(np.eye(4), 6, axis=0))
    last = dense(channels_last(np.random.default_rng(0)))
    np.testing.assert_array_equal(last[0, 1], np.tile(np.eye(3), (8, 1)))


def test_concatenated_values_keep_their_order():
    found = dense(concatenated(np.random.default_rng(0)), "channel")
    # c reads a + b[:2], the input, and b
    a, b, given = np.zeros((8, 2)), np.zeros((8, 3)), np.zeros((8, 3))
    a[0, 0] = a[1, 1] = b[0, 0] = b[1, 1] = 1
    given[2:5], b[5:8] = np.eye(3), np.eye(3)
    np.testing.assert_array_equal(found[0, 2], a)
    np.testing.assert_array_equal(found[1, 2], b)
    np.testing.assert_array_equal(found[-1, 2], given)


def test_a_layer_in_two_nodes_is_joined_at_both():
    found = dense(tied(np.random.default_rng(0)), "channel")
    np.testing.assert_array_equal(found[-1, 0], np.eye(3))
    np.testing.assert_array_equal(found[0, 0], np.eye(3))
    np.testing.assert_array_equal(found[0, 1], np.eye(3))


def test_pooling_joins_each_window_in_the_unit_view():
    w = Wiring((1, 5))
    w.op("max_pool", kernel=3, stride=2, padding=1)
    w.op("flatten")
    w.layer("fc", np.ones((2, 3)))
    expected = [[1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 1, 1]]
    np.testing.assert_array_equal(dense(w.network(), "unit")[-1, 0], expected)
    np.testing.assert_array_equal(dense(w.network())[-1, 0], expected)


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling_joins_all_positions(keepdims):
    w = Wiring((2, 2, 2))
    w.layer("conv", np.ones((3, 2, 1, 1)))
    w.op("global_avg_pool", keepdims=keepdims)
    w.op("flatten")
    w.layer("fc", np.ones((1, 3)))
    np.testing.assert_array_equal(dense(w.network(), "unit")[0, 1], np.repeat(np.eye(3), 4, axis=1))
    np.testing.assert_array_equal(dense(w.network())[0, 1], np.eye(3))


def test_a_pad_with_a_value_and_a_slice_of_space():
    w = Wiring((2, 4))
    w.layer("one", np.ones((2, 2, 1)))
    w.op("pad", pads=((0, 1), (2, 0)), value=1.0)
    w.op("slice", axis=2, start=1, step=2)
    w.layer("two", np.ones((1, 3, 1)))
    expected = np.zeros((9, 8))  # places -1, 1, 3 of each channel
    for c in range(2):
        expected[3 * c + 1, 4 * c + 1] = expected[3 * c + 2, 4 * c + 3] = 1
    np.testing.assert_array_equal(dense(w.network(), "unit")[0, 1], expected)
    np.testing.assert_array_equal(dense(w.network())[0, 1], np.eye(3)[:, :2])


def test_a_joined_space_is_a_union_of_channels():
    w = Wiring((1, 4))
    a = w.layer("a", np.ones((2, 1, 1)), "input")
    b = w.layer("b", np.ones((2, 1, 1)), "input")
    w.op("concat", a, b, axis=2)
    w.layer("c", np.ones((1, 2, 1)))
    found = dense(w.network())
    np.testing.assert_array_equal(found[0, 2], np.eye(2))
    np.testing.assert_array_equal(found[1, 2], np.eye(2))
    assert dense(w.network(), "unit")[1, 2].sum() == 8


def test_a_place_as_a_channel_is_fed_by_every_feature_there():
    w = Wiring((3, 4))
    w.layer("mix", np.ones((2, 4)))
    w.layer("conv", np.ones((1, 3, 1)))
    np.testing.assert_array_equal(dense(w.network())[0, 1], np.ones((3, 2)))
    expected = np.kron(np.eye(3), np.eye(2))
    np.testing.assert_array_equal(dense(w.network(), "unit")[0, 1], expected)


def test_depthwise_layers_stay_block_diagonal():
    w = Wiring((2, 3))
    w.layer("deep", np.ones((2, 1, 3)), groups=2, padding=1)
    w.layer("mix", np.ones((1, 2, 1)))
    graph = ng.to_graph(w.network())
    reached = reference.reach(graph, graph.joins)
    np.testing.assert_array_equal(reached[0], np.eye(2))


# --- shapes that nobody states --------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, pooled, residual, concatenated, channels_last])
@pytest.mark.parametrize("view", ["kernel", "channel"])
def test_the_input_shape_is_not_needed_where_layers_tell_it(make, view):
    network = make(np.random.default_rng(0))
    first = ng.Node("input", "input")
    bare = ng.Network(network.layers, (first, *network.wiring[1:]))
    expected = dense(network, view)
    found = dense(bare, view)
    assert set(found) == set(expected)
    for key, matrix in expected.items():
        np.testing.assert_array_equal(found[key], matrix)
    for key, matrix in dense(bare, view, network.input_shape).items():
        np.testing.assert_array_equal(found[key], matrix)


def test_a_flat_input_that_is_reshaped():
    w = Wiring()
    w.op("reshape", shape=(2, 3))
    w.layer("conv", np.ones((1, 2, 3)))
    np.testing.assert_array_equal(
        dense(w.network(), "channel")[-1, 0], np.repeat(np.eye(2), 3, axis=1)
    )


def test_the_input_shape_is_asked_for_where_it_must_be():
    w = Wiring()
    w.op("slice", axis=1, stop=2)
    w.layer("fc", np.ones((1, 2)))
    with pytest.raises(ng.ChainError, match=r"the network's input.*pass input_shape="):
        dense(w.network())
    with pytest.raises(ng.ChainError, match="pass input_shape="):
        dense(w.network(), "unit")
    assert dense(w.network(), "unit", (5,))[-1, 0].shape == (2, 5)
    network = tied(np.random.default_rng(0))
    bare = ng.Network(network.layers, (ng.Node("input", "input"), *network.wiring[1:]))
    with pytest.raises(ng.ChainError, match=r"'transpose4'.*behind layer 'mix'.*input_shape="):
        dense(bare)  # that an example has two axes is nowhere in the layers
    w = Wiring()
    w.layer("conv", np.ones((2, 1, 3)))
    w.op("reshape", shape=(-1, 4))
    w.layer("fc", np.ones((1, 4)))
    with pytest.raises(ng.ChainError, match=r"'reshape2'.*behind layer 'conv'.*input_shape="):
        dense(w.network())
    assert dense(w.network(), input_shape=(1, 10))[0, 1].shape == (4, 2)


def test_a_flatten_with_space_on_both_sides_needs_the_shape():
    w = Wiring()
    w.layer("conv", np.ones((2, 1, 1, 1)))
    w.op("transpose", axes=(0, 2, 1, 3))
    w.op("flatten")
    w.layer("fc", np.ones((1, 12)))
    with pytest.raises(ng.ChainError, match="input_shape="):
        dense(w.network())
    known = dense(w.network(), input_shape=(1, 2, 3))[0, 1]
    np.testing.assert_array_equal(known, np.tile(np.repeat(np.eye(2), 3, axis=0), (2, 1)))


def test_values_flattened_while_their_shape_is_unknown():
    w = Wiring()
    w.layer("conv", np.ones((2, 1, 1)))
    flat = w.op("flatten")
    w.op("relu")
    w.op("add", flat, w.op("flatten"))
    w.layer("fc", np.ones((2, 6)))
    network = w.network()
    np.testing.assert_array_equal(dense(network)[0, 1], np.repeat(np.eye(2), 3, axis=0))
    for op, others in (("concat", (flat, flat)), ("add", (flat, "fc")), ("reshape", (flat,))):
        options = {"shape": (2, -1)} if op == "reshape" else {}
        nodes = (*network.wiring, ng.Node("last", op, others, options=options))
        with pytest.raises(ng.ChainError, match=r"node 'last' .*layer 'conv'.*input_shape="):
            dense(ng.Network(network.layers, nodes))


def test_values_with_different_numbers_of_axes():
    w = Wiring()
    a = w.layer("a", np.ones((2, 1, 1)))
    w.op("add", a, w.op("global_avg_pool"))
    with pytest.raises(ng.ChainError, match="examples of 2 and 1 axes do not fit"):
        dense(w.network())


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [None, (3,)])
def test_layers_that_do_not_fit_are_both_named(shape):
    w = Wiring(shape)
    w.layer("one", np.ones((4, 3)))
    w.op("relu")
    w.layer("two", np.ones((2, 5)))
    with pytest.raises(ng.ChainError, match=r"'two' reads 5.*'one'"):
        dense(w.network())


def test_adding_again_and_again_does_not_multiply_the_work():
    w = Wiring()
    last = w.layer("a", np.ones((4, 3)))
    for _ in range(40):
        last = w.op("add", last, w.op("relu", last))
    w.layer("b", np.ones((2, 4)))
    np.testing.assert_array_equal(dense(w.network())[0, 1], np.eye(4))


def test_pools_in_a_row_reach_what_one_wide_pool_reaches():
    def pooled_by(*kernels):
        w = Wiring((2, 9))
        w.layer("a", np.ones((2, 2, 1)))
        for k in kernels:
            w.op("max_pool", kernel=k, stride=1, padding=k // 2)
        w.layer("b", np.ones((1, 2, 1)))
        return dense(w.network(), "unit")[0, 1]

    np.testing.assert_array_equal(pooled_by(3, 3, 3), pooled_by(7))


def test_flattened_channels_that_do_not_divide_are_named():
    w = Wiring()
    w.layer("conv", np.ones((4, 1, 3)))
    w.op("flatten")
    w.layer("fc", np.ones((2, 10)))
    with pytest.raises(
        ng.ChainError, match="'fc' reads 10 inputs, but layer 'conv' gives a multiple of 4"
    ):
        dense(w.network())


def test_convolutions_behind_too_few_axes_are_named():
    w = Wiring()
    w.layer("conv", np.ones((4, 1, 3)))
    w.op("flatten")
    w.layer("next", np.ones((2, 4, 1)))
    with pytest.raises(ng.ChainError, match=r"'next' reads 1 spatial.*'conv' gives 1 axes in all"):
        dense(w.network())


def test_sums_of_different_widths_are_named():
    w = Wiring()
    a = w.layer("a", np.ones((4, 3)), "input")
    b = w.layer("b", np.ones((5, 3)), "input")
    w.op("add", a, b)
    with pytest.raises(
        ng.ChainError, match=r"\(add\) behind layer 'a' and layer 'b': they give 4 and 5 outputs"
    ):
        dense(w.network())


def test_what_paths_cannot_go_through_is_named():
    w = Wiring((3,))
    w.op("unsupported", name="attention", type="MultiHeadAttention")
    with pytest.raises(ng.UnsupportedOpError, match="MultiHeadAttention"):
        dense(w.network())
    w = Wiring()
    w.layer("fc", np.ones((3, 3)))
    w.op("unsupported", name="attention", type="MultiHeadAttention")
    with pytest.raises(ng.UnsupportedOpError, match="MultiHeadAttention"):
        dense(w.network())
    w = Wiring()
    w.layer("lstm", np.ones((4, 3)), kind="recurrent")
    with pytest.raises(ng.UnsupportedOpError, match="'lstm' is of kind 'recurrent'"):
        dense(w.network())
    with pytest.raises(ng.ChainError, match="holds weights only"):
        dense(ng.Network(w.layers))


def test_embeddings_are_joined_to_the_rows_of_their_tables():
    for shape in (None, (5,)):
        w = Wiring(shape)
        tokens = w.layer("tokens", np.ones((3, 10)), "input", kind="embedding")
        others = w.layer("others", np.ones((3, 6)), "input", kind="embedding")
        w.op("add", tokens, others)
        w.layer("fc", np.ones((2, 3)))
        found = dense(w.network())
        np.testing.assert_array_equal(found[-1, 0], np.eye(10))
        np.testing.assert_array_equal(found[-1, 1], np.eye(6, 10))
        np.testing.assert_array_equal(found[0, 2], np.eye(3))
        np.testing.assert_array_equal(found[1, 2], np.eye(3))
    with pytest.raises(GraphError, match="embedding"):
        dense(w.network(), "unit")
