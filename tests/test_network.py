"""Layer, Layout, Node, Network and Coverage: what adapters emit, and what they must not."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wirings import Wiring, mlp

import nngraph as ng
from nngraph._options import OPS, REQUIRED, pad_pairs, spatial

RNG = np.random.default_rng(3)


# --- Layer ----------------------------------------------------------------------------------------


def test_defaults_of_a_layer():
    layer = ng.Layer("fc", np.ones((3, 4)))
    assert (layer.kind, layer.path, layer.source_dtype) == ("linear", "fc", "float64")
    assert (layer.n_out, layer.n_in, layer.size) == (3, 4, 12)
    assert (layer.stride, layer.padding, layer.kernel) == ((), (), ())
    conv = ng.Layer(
        "c", np.ones((6, 2, 3, 5), np.float32), groups=3, stride=2, padding=(1, (0, 2))
    )
    assert (conv.kind, conv.n_out, conv.n_in, conv.kernel) == ("conv", 6, 6, (3, 5))
    assert (conv.stride, conv.padding, conv.dilation) == ((2, 2), ((1, 1), (0, 2)), (1, 1))
    assert conv.output_padding == (0, 0)
    with pytest.raises(FrozenInstanceError):
        conv.stride = 1


@pytest.mark.parametrize("source", ["f2", "f4", "f8", ">f4"])
def test_weights_are_read_only_and_of_32_or_64_bits(source):
    weight = RNG.standard_normal((3, 4)).astype(source)
    layer = ng.Layer("fc", weight)
    array = layer.array()
    assert array.dtype == np.dtype("f4" if np.dtype(source).itemsize < 8 else "f8")
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, weight)
    weight[0, 0] = 7  # the caller's array stays the caller's
    assert array[0, 0] != 7


@pytest.mark.parametrize(("weight", "message"), [
    (np.ones(3), r"shape \(3,\); a layer needs at least two axes"),
    (np.ones((3, 0)), "no axis of size zero"),
    (np.ones((2, 2), int), "holds int64 numbers"),
    (np.ones((2, 2), bool), "holds bool numbers"),
    (np.ones((2, 2), complex), "holds complex128 numbers"),
    (np.ones((2, 2), object), "holds object numbers"),
    ("weights", "holds <U7 numbers"),
])  # fmt: skip
def test_what_is_no_weight_is_refused_by_name(weight, message):
    with pytest.raises(ng.WeightError, match=f"layer 'bad'.*{message}"):
        ng.Layer("bad", weight)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_when_read(value):
    layer = ng.Layer("bad", np.array([[1.0, value], [value, 2.0]]))
    with pytest.raises(ng.WeightError, match="layer 'bad' holds 2 NaN or infinite"):
        layer.array()


def test_finite_weights_whose_sum_overflows_are_fine():
    assert ng.Layer("big", np.full((2, 2), 1e308)).array().max() == 1e308


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"kind": "attention"}, ng.WeightError, "kind 'attention' is none of"),
    ({"groups": 3}, ng.WeightError, "3 groups do not divide 4 outputs"),
    ({"groups": 0}, ng.WeightError, "0 groups"),
    ({"stride": 0}, ng.ChainError, "'bad': stride must be 2 positive integers, got 0"),
    ({"stride": (1, 2, 3)}, ng.ChainError, "stride must be 2 positive integers"),
    ({"stride": 1.5}, ng.ChainError, "stride must be 2 positive integers, got 1.5"),
    ({"dilation": (1, "2")}, ng.ChainError, "dilation must be 2 positive integers"),
    ({"padding": -1}, ng.ChainError, "padding must be 2 counts"),
    ({"padding": "same"}, ng.ChainError, "padding must be 2 counts"),
    ({"padding": ((1, 2, 3), 0)}, ng.ChainError, "padding must be 2 counts"),
    ({"output_padding": (1, 2, 3)}, ng.ChainError, "'bad': "),
    ({"output_padding": -1}, ng.ChainError, "'bad': "),
    ({"mask": np.ones((4, 2, 3, 3))}, ng.MaskError, "'bad' must be bool"),
    ({"mask": np.ones((4, 2, 3), bool)}, ng.MaskError, r"of shape \(4, 2, 3, 3\)"),
    ({"layout": ng.Layout.permuted((2, 4, 3, 3), (1, 0, 2, 3)), "weight": np.ones((2, 4, 3, 3))},
     ng.WeightError, r"a canonical shape \(4, 2, 3, 3\), but the weight has \(2, 4, 3, 3\)"),
])  # fmt: skip
def test_what_does_not_fit_a_layer_is_refused_by_name(options, error, message):
    options = {"weight": np.ones((4, 2, 3, 3))} | options
    with pytest.raises(error, match=message):
        ng.Layer("bad", **options)


def test_masks_are_frozen_copies():
    mask = np.ones((2, 3), bool)
    layer = ng.Layer("fc", np.ones((2, 3)), mask=mask)
    mask[0, 0] = False
    assert layer.mask.all()
    assert not layer.mask.flags.writeable
    assert layer.with_mask(None).mask is None
    assert layer.with_mask(mask).mask.sum() == 5


def test_a_lazy_layer_is_small_reads_its_layout_and_never_caches(tmp_path):
    weight = RNG.standard_normal((4, 3)).astype(np.float32)  # inputs x outputs, as in Keras
    path = tmp_path / "w.bin"
    path.write_bytes(weight.tobytes())
    handle = ng.StoredArray.at(path, weight.shape, "<f4")
    layer = ng.Layer("fc", handle, layout=ng.Layout.permuted((4, 3), (1, 0)))
    assert (layer.shape, layer.size, layer.source_dtype) == ((3, 4), 12, "<f4")
    assert len(pickle.dumps(layer)) < 2000
    again = pickle.loads(pickle.dumps(layer))  # noqa: S301
    np.testing.assert_array_equal(again.array(), weight.T)
    with pytest.raises(ng.WeightError, match=r"a stored shape \(3, 4\), but the weight has \(4"):
        ng.Layer("fc", handle, layout=ng.Layout.permuted((3, 4), (1, 0)))
    path.write_bytes((2 * weight).tobytes() + b"more")
    with pytest.raises(ng.FileChangedError):
        layer.array()


def test_spatial_and_padding_forms():
    assert spatial(2, 3, "stride") == (2, 2, 2)
    assert spatial([np.int64(1), 2], 2, "stride") == (1, 2)
    assert spatial(np.array([1, 2]), 2, "stride") == (1, 2)
    assert pad_pairs(1, 2) == ((1, 1), (1, 1))
    assert pad_pairs([1, (0, 2)], 2) == ((1, 1), (0, 2))
    assert pad_pairs(np.array([[1, 2]]), 1) == ((1, 2),)
    assert pad_pairs(0, 0) == ()


# --- Layout ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_permutations_go_both_ways(shape, random):
    axes = list(range(len(shape)))
    random.shuffle(axes)
    layout = ng.Layout.permuted(shape, axes)
    array = np.arange(np.prod(shape)).reshape(shape)
    canonical = layout.to_canonical(array)
    assert canonical.shape == layout.shape
    np.testing.assert_array_equal(canonical, array.transpose(axes))
    np.testing.assert_array_equal(layout.to_source(canonical), array)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_transposed_convolutions_go_both_ways(groups, per_in, per_out, taps):
    array = np.arange(groups * per_in * per_out * taps).reshape(groups * per_in, per_out, taps)
    layout = ng.Layout.transposed_conv(array.shape, groups)
    canonical = layout.to_canonical(array)
    assert canonical.shape == layout.shape == (groups * per_out, per_in, taps)
    for g in range(groups):
        for o in range(per_out):
            for c in range(per_in):
                expected = array[g * per_in + c, o]
                np.testing.assert_array_equal(canonical[g * per_out + o, c], expected)
    np.testing.assert_array_equal(layout.to_source(canonical), array)


def test_other_layouts():
    same = ng.Layout.identity((2, 3))
    array = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(same.to_canonical(array), array)
    behind = ng.Layout.permuted((4, 3), (1, 0)).after_reshape((2, 2, 3))
    stored = np.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(behind.to_canonical(stored), stored.reshape(4, 3).T)
    np.testing.assert_array_equal(behind.to_source(behind.to_canonical(stored)), stored)
    with pytest.raises(ng.WeightError, match="2 groups do not divide 3 inputs"):
        ng.Layout.transposed_conv((3, 2, 2), 2)


# --- Node and Network -----------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "options", "message"), [
    (("n", "swish", ("x",)), {}, "unknown op 'swish'; known: input"),
    (("n", "relu", ("x",)), {"options": {"slope": 1}}, r"takes no option \['slope'\]"),
    (("n", "layer", ("x",)), {}, "op 'layer' with layer=None"),
    (("n", "relu", ("x",)), {"layer": "fc"}, "op 'relu' with layer='fc'"),
    (("n", "relu", ("x", "y")), {}, "op 'relu' reads one node"),
    (("n", "max_pool", ("x",)), {}, "op 'max_pool' needs the option 'kernel'"),
    (("n", "bias", ("x",)), {"options": {"bias": None}}, "needs the option 'bias'"),
])  # fmt: skip
def test_nodes_that_mean_nothing_are_refused(arguments, options, message):
    with pytest.raises(ng.ChainError, match=f"node 'n': .*{message}"):
        ng.Node(*arguments, **options)


def test_a_single_input_may_be_a_plain_name():
    assert ng.Node("n", "relu", "input").inputs == ("input",)
    assert set(REQUIRED) <= set(OPS)
    assert all(key in OPS[op] for op, keys in REQUIRED.items() for key in keys)


@pytest.mark.parametrize(("nodes", "message"), [
    ([], "must begin with a node of op 'input'"),
    ([ng.Node("r", "relu", "input")], "must begin with a node of op 'input'"),
    ([ng.Node("x", "input"), ng.Node("r", "relu", "y")], r"'r' reads \['y'\], which no earlier"),
    ([ng.Node("x", "input"), ng.Node("r", "relu")], r"'r' \(relu\) reads nothing"),
    ([ng.Node("x", "input"), ng.Node("x", "relu", "x")], r"unique; repeated: \['x'\]"),
    ([ng.Node("x", "input"), ng.Node("l", "layer", "x", "fd")], "'l': there is no layer 'fd'"),
])  # fmt: skip
def test_wirings_that_mean_nothing_are_refused(nodes, message):
    with pytest.raises(ng.ChainError, match=message):
        ng.Network([ng.Layer("fc", np.ones((2, 3)))], nodes)


def test_a_network_holds_its_layers_by_name():
    network = mlp(np.random.default_rng(0))
    assert network.names == ("fc0", "fc1", "fc2")
    assert network["fc1"] is network.layers[1]
    assert [layer.name for layer in network] == list(network.names)
    assert len(network) == 3
    assert network.input_shape == (6,)
    assert repr(network) == "<Network: 3 layers, 62 parameters, 7 wired nodes>"
    with pytest.raises(KeyError, match="no layer is named 'fc9'"):
        network["fc9"]
    with pytest.raises(ng.ChainError, match=r"layer names must be unique; repeated: \['fc0'\]"):
        ng.Network([network["fc0"], network["fc0"]])
    again = pickle.loads(pickle.dumps(network))  # noqa: S301
    np.testing.assert_array_equal(again["fc2"].array(), network["fc2"].array())


def test_masks_replace_those_of_the_layers_they_name():
    network = mlp(np.random.default_rng(0))
    mask = np.zeros((4, 5), bool)
    masked = network.with_masks({"fc1": mask})
    np.testing.assert_array_equal(masked["fc1"].mask, mask)
    assert masked["fc0"] is network["fc0"]
    assert network["fc1"].mask is None
    assert network.with_masks(None) is network
    with pytest.raises(ng.MaskError, match=r"no layer is named \['fd1'\]; this network has"):
        network.with_masks({"fd1": mask})
    with pytest.raises(ng.MaskError, match=r"'fc1' must be bool of shape \(4, 5\)"):
        network.with_masks({"fc1": mask.T})


def test_a_bag_says_how_to_wire_it():
    bag = ng.Network([ng.Layer("fc", np.ones((2, 3)))], source="model.npz")
    assert "a bag of weights" in repr(bag)
    assert bag.input_shape is None
    with pytest.raises(ng.ChainError, match=r"paths needs .* model.npz holds weights only; name"):
        bag.require_wiring("paths")
    assert Wiring().op("relu") == "relu1"


# --- Coverage -------------------------------------------------------------------------------------


def test_coverage_counts_a_tied_parameter_once():
    coverage = ng.Coverage(
        (("a.weight", 12), ("b.weight", 6), ("a.weight", 12)), (("a.bias", 2, "1 axis"),)
    )
    assert (coverage.covered, coverage.total, coverage.fraction) == (18, 20, 0.9)
    assert "18 of 20 parameters (90.0%)" in str(coverage)
    assert "skipped a.bias (2): 1 axis" in str(coverage)
    assert ng.Coverage().fraction == 0
    network = mlp(np.random.default_rng(0))
    assert network.coverage.covered == network.coverage.total == 62
    assert replace(network, coverage=coverage).coverage is coverage


def test_hidden_entries_and_odd_groups_are_refused():
    hidden = np.ma.masked_array(np.ones((2, 2)), np.eye(2, dtype=bool))
    with pytest.raises(ng.WeightError, match=r"layer 'a' is a masked array.*mask=~a\.mask"):
        ng.Layer("a", hidden)
    with pytest.raises(ng.MaskError, match="the mask of layer 'a' is a masked array"):
        ng.Layer("a", np.ones((2, 2)), mask=hidden.astype(bool))
    for groups in ("2", 2.0, 0, -1, None):
        with pytest.raises(ng.WeightError, match="groups do not divide"):
            ng.Layer("a", np.ones((2, 2)), groups=groups)


def test_a_mask_cannot_be_changed_through_what_it_views():
    base = np.ones((2, 2), bool)
    view = base[:]
    view.flags.writeable = False
    layer = ng.Layer("a", np.ones((2, 2)), mask=view)
    base[:] = False
    assert layer.mask.all()


@pytest.mark.parametrize(
    ("op", "options", "message"),
    [
        ("slice", {"axis": [1]}, "'axis' must be an integer"),
        ("slice", {"axis": 1, "step": 0}, "'step' must be an integer other than 0"),
        ("transpose", {"axes": 0}, "'axes' must be integers"),
        ("pad", {"pads": [1, [2]]}, "'pads' must be pairs of integers"),
        ("reshape", {"shape": "ab"}, "'shape' must be integers"),
        ("batch_norm", {"eps": "small"}, "'eps' must be a number"),
        ("slice", {"axis": None}, "needs the option 'axis'"),
    ],
)
def test_options_of_the_wrong_kind_are_named(op, options, message):
    with pytest.raises(ng.ChainError, match=message):
        ng.Node("x", op, ("input",), options=options)
    assert ng.Node("x", "softmax", ("input",), options={"axis": None}).options == {}
