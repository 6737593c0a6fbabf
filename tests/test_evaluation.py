"""Evaluation in NumPy: against loops, against PyTorch, on real networks, and its errors."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from wirings import SMALL, Wiring, convolutions, mlp, mnist_mlp, resnet20

import nngraph as ng
from nngraph import _run, _windows

DATA = os.environ.get("NNGRAPH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NNGRAPH_DATA names no folder of networks")
X = np.random.default_rng(7)


def one_op(op, x, **options):
    w = Wiring()
    w.op(op, "input", name="op", **options)
    return ng.forward(w.network(), x)


def alone(layer):
    return ng.Network([layer], [ng.Node("x", "input"), ng.Node("y", "layer", "x", layer.name)])


# --- layers ---------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(convolutions())
def test_convolutions_equal_loops_over_every_place_and_tap(case):
    layer, shape = case
    x = X.standard_normal((2, *shape))
    found = ng.forward(alone(layer), x)
    expected = np.stack([reference.convolution(layer, example) for example in x])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(convolutions(dims=(1, 2, 3)))
def test_convolutions_equal_torch(case):
    torch = pytest.importorskip("torch")
    layer, shape = case
    dims, x = len(layer.kernel), X.standard_normal((2, *shape))
    weight = np.where(True if layer.mask is None else layer.mask, layer.weight, 0.0)
    options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    tx = torch.from_numpy(x)
    if layer.transposed:
        per_out, per_in = layer.n_out // layer.groups, layer.shape[1]
        source = weight.reshape(layer.groups, per_out, per_in, *layer.kernel).swapaxes(1, 2)
        source = torch.from_numpy(source.reshape(-1, per_out, *layer.kernel).copy())
        run = getattr(torch.nn.functional, f"conv_transpose{dims}d")
        full = run(tx, source, **options).numpy()
        ends = zip(layer.padding, layer.output_padding, full.shape[2:], strict=True)
        grown = np.pad(full, [(0, 0)] * 2 + [(0, extra) for extra in layer.output_padding])
        cut = tuple(slice(lo, n + extra - hi) for (lo, hi), extra, n in ends)
        expected = grown[(..., *cut)]
    else:
        pads = [n for pair in reversed(layer.padding) for n in pair]
        run = getattr(torch.nn.functional, f"conv{dims}d")
        padded = torch.nn.functional.pad(tx, pads)
        expected = run(padded, torch.from_numpy(weight), **options).numpy()
    np.testing.assert_allclose(ng.forward(alone(layer), x), expected, rtol=1e-10, atol=1e-8)


def test_transposed_with_torchs_own_padding_arguments():
    torch = pytest.importorskip("torch")
    module = torch.nn.ConvTranspose2d(
        4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2,
        dilation=(2, 1), bias=False,
    ).double()  # fmt: skip
    source = module.weight.detach().numpy()
    layout = ng.Layout.transposed_conv(source.shape, 2)
    layer = ng.Layer(
        "up", layout.to_canonical(source), stride=(2, 3), padding=(1, 0), output_padding=(1, 2),
        groups=2, dilation=(2, 1), transposed=True, layout=layout,
    )  # fmt: skip
    x = X.standard_normal((3, 4, 5, 4))
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ng.forward(alone(layer), x), expected, atol=1e-12)
    np.testing.assert_array_equal(layout.to_source(layer.weight), source)


def test_a_transposed_convolution_that_leaves_nothing():
    layer = ng.Layer("up", np.ones((1, 1, 2)), transposed=True, padding=2)
    with pytest.raises(ng.ChainError, match=r"'up' gives \(-1,\) places for \(2,\)"):
        ng.forward(alone(layer), np.ones((1, 1, 2)))


def test_blocks_of_examples_give_the_same_as_one(monkeypatch):
    w = Wiring((2, 5, 5))
    w.layer("c", X.standard_normal((3, 2, 3, 3)), padding=1)
    w.layer("t", X.standard_normal((2, 3, 2, 2)), transposed=True, stride=2)
    network, x = w.network(), X.standard_normal((7, 2, 5, 5))
    whole = ng.forward(network, x)
    monkeypatch.setattr(_windows, "_COLUMN_ENTRIES", 1)
    monkeypatch.setattr(_run, "_BATCH", 3)
    monkeypatch.setattr(_run, "_HELD_BYTES", 0)
    np.testing.assert_allclose(ng.forward(network, x), whole, rtol=1e-12)
    monkeypatch.setattr(_run, "_BATCH_BYTES", 1)
    values = ng.activations(network, x)
    np.testing.assert_allclose(values["t"], whole, rtol=1e-12)
    assert list(values) == ["input", "c", "t"]


def test_linear_layers_act_on_the_last_axis_and_in_groups():
    weight, x = X.standard_normal((6, 2)), X.standard_normal((5, 3, 4))
    w = Wiring()
    w.layer("fc", weight, groups=2)
    expected = np.concatenate([x[..., :2] @ weight[:3].T, x[..., 2:] @ weight[3:].T], axis=-1)
    np.testing.assert_allclose(ng.forward(w.network(), x), expected)


def test_embeddings_look_up_integers():
    table = X.standard_normal((3, 10)).astype(np.float32)
    w = Wiring((4,))
    w.layer("table", table, kind="embedding")
    tokens = np.array([[0, 9, 3, 3], [1, 2, 3, 4]])
    np.testing.assert_array_equal(ng.forward(w.network(), tokens), table.T[tokens])
    assert ng.output_shapes(w.network()) == {"input": (4,), "table": (4, 3)}
    with pytest.raises(ng.ChainError, match=r"'table' is an embedding.*float64"):
        ng.forward(w.network(), tokens.astype(float))
    with pytest.raises(ng.ChainError, match="0 to 9, and is given 0 to 10"):
        ng.forward(w.network(), tokens + np.array([[0, 1, 0, 0]]))


def test_masks_and_stored_weights_are_applied(tmp_path):
    weight = X.standard_normal((3, 4)).astype(np.float32)
    mask = X.random((3, 4)) < 0.5
    np.save(tmp_path / "w.npy", weight)
    offset = (tmp_path / "w.npy").stat().st_size - weight.nbytes
    handle = ng.StoredArray.at(tmp_path / "w.npy", (3, 4), "<f4", offset=offset)
    w = Wiring()
    w.layer("fc", handle, mask=mask)
    x = X.standard_normal((2, 4)).astype(np.float32)
    found = ng.forward(w.network(), x)
    np.testing.assert_allclose(found, x @ (weight * mask).T, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "weight", "result"),
    [("f4", "f4", "f4"), ("f8", "f4", "f8"), ("f4", "f8", "f8"), ("f2", "f2", "f4"),
     ("u1", "f4", "f4"), ("i8", "f4", "f4"), ("?", "f8", "f8")],
)  # fmt: skip
def test_precision(x, weight, result):
    w = Wiring()
    w.layer("fc", np.ones((2, 3), weight))
    w.op("bias", bias=np.ones(2), axis=-1)
    for op in ("relu", "gelu", "sigmoid", "tanh", "softmax"):
        w.op(op)
    w.op("batch_norm", mean=np.ones(2), var=np.ones(2), scale=np.ones(2), shift=np.ones(2))
    assert ng.forward(w.network(), np.ones((4, 3), x)).dtype == np.dtype(result)


# --- ops ------------------------------------------------------------------------------------------


def test_elementwise_ops_equal_torch():
    torch = pytest.importorskip("torch")
    x = 5 * X.standard_normal((3, 4, 6)).astype(np.float32)
    tx, f = torch.from_numpy(x), torch.nn.functional
    cases = [
        ("relu", {}, f.relu(tx)), ("tanh", {}, torch.tanh(tx)), ("sigmoid", {}, torch.sigmoid(tx)),
        ("gelu", {}, f.gelu(tx)), ("gelu", {"approximate": "none"}, f.gelu(tx)),
        ("gelu", {"approximate": "tanh"}, f.gelu(tx, approximate="tanh")),
        ("gelu", {"approximate": True}, f.gelu(tx, approximate="tanh")),
        ("softmax", {}, f.softmax(tx, -1)), ("softmax", {"axis": 1}, f.softmax(tx, 1)),
        ("identity", {}, tx), ("bias", {"bias": 2.0}, tx + 2),
        ("bias", {"bias": np.arange(4.0)}, tx + torch.arange(4.0)[:, None]),
        ("bias", {"bias": np.arange(6.0), "axis": -1}, tx + torch.arange(6.0)),
        ("bias", {"bias": np.arange(24.0).reshape(4, 6)}, tx + torch.arange(24.0).reshape(4, 6)),
        ("bias", {"bias": np.arange(4.0)[:, None]}, tx + torch.arange(4.0)[:, None]),
    ]  # fmt: skip
    for op, options, expected in cases:
        found = one_op(op, x, **options)
        np.testing.assert_allclose(found, expected.numpy(), 2e-6, 2e-6, err_msg=f"{op} {options}")


def test_extreme_values_neither_overflow_nor_warn():
    x = np.array([[-1e4, 0.0, 1e4]], np.float32)
    np.testing.assert_array_equal(one_op("softmax", x), [[0, 0, 1]])
    np.testing.assert_array_equal(one_op("sigmoid", x), [[0, 0.5, 1]])
    np.testing.assert_array_equal(one_op("gelu", x), [[0, 0, 1e4]])
    np.testing.assert_array_equal(one_op("gelu", x, approximate=True), [[0, 0, 1e4]])


@pytest.mark.parametrize("given_keys", [
    (), ("mean",), ("var",), ("scale",), ("shift",), ("mean", "var"),
    ("mean", "var", "scale", "shift"),
])  # fmt: skip
@pytest.mark.parametrize("axis", [1, -1])
def test_batch_norm_with_any_part_missing(given_keys, axis):
    x = X.standard_normal((2, 5, 5))
    numbers = {key: X.uniform(0.5, 2, 5) for key in given_keys}
    shape = (5, 1) if axis == 1 else (5,)
    part = lambda key, default: numbers.get(key, np.full(5, default)).reshape(shape)  # noqa: E731
    expected = x - part("mean", 0.0)
    if "var" in numbers:
        expected = expected / np.sqrt(part("var", 1.0) + 1e-3)
    expected = expected * part("scale", 1.0) + part("shift", 0.0)
    found = one_op("batch_norm", x, eps=1e-3, axis=axis, **numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_batch_norm_equals_torch():
    torch = pytest.importorskip("torch")
    x = X.standard_normal((3, 4, 5, 2)).astype(np.float32)
    norm = torch.nn.BatchNorm2d(4).eval()
    for tensor in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        tensor.uniform_(0.3, 2)
    options = {"mean": norm.running_mean, "var": norm.running_var, "scale": norm.weight.detach(),
               "shift": norm.bias.detach(), "eps": norm.eps}  # fmt: skip
    found = one_op("batch_norm", x, **{k: np.asarray(v) for k, v in options.items()})
    np.testing.assert_allclose(found, norm(torch.from_numpy(x)).detach().numpy(), atol=1e-5)


@st.composite
def poolings(draw):
    dims = draw(st.integers(1, 2))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    kernel = each(1, 3)
    padding = tuple(tuple(draw(st.integers(0, k - 1)) for _ in range(2)) for k in kernel)
    sizes = tuple(k + draw(st.integers(0, 4)) for k in kernel)
    return kernel, each(1, 3), padding, sizes


@settings(max_examples=60, deadline=None)
@given(poolings(), st.sampled_from(["max", "avg"]), st.booleans(), st.booleans())
def test_pooling_equals_loops(case, kind, ceil, count_padding):
    kernel, stride, padding, sizes = case
    x = X.standard_normal((1, 2, *sizes))
    counts = []
    for n, k, s, (lo, hi) in zip(sizes, kernel, stride, padding, strict=True):
        starts = range(-lo, n, s)  # none in the padding at the end
        counts.append(sum(a + k <= n + hi for a in starts))
        counts[-1] += ceil and counts[-1] < len(starts) and (n + lo + hi - k) % s > 0
    options = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil}
    options |= {} if kind == "max" else {"count_padding": count_padding}
    found = one_op(f"{kind}_pool", x, **options)
    expected = reference.pooling(
        x[0], kernel, stride, padding, counts, kind=kind, count_padding=count_padding
    )
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("n", "kernel", "stride", "padding"), [
    (7, 3, 2, 1), (8, 3, 2, 0), (5, 2, 3, 1), (6, 3, 3, 1), (9, 2, None, 0), (10, 4, 3, 2),
])  # fmt: skip
def test_pooling_equals_torch(n, kernel, stride, padding, ceil):
    torch = pytest.importorskip("torch")
    x = X.standard_normal((2, 3, n, n + 1)).astype(np.float32)
    f, tx = torch.nn.functional, torch.from_numpy(x)
    options = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil}
    expected = f.max_pool2d(tx, kernel, stride, padding, ceil_mode=ceil)
    np.testing.assert_array_equal(one_op("max_pool", x, **options), expected.numpy())
    for counted in (True, False):
        expected = f.avg_pool2d(tx, kernel, stride, padding, ceil, counted)
        found = one_op("avg_pool", x, count_padding=counted, **options)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_window_that_hangs_over_a_small_input_equals_torch():
    f = pytest.importorskip("torch").nn.functional
    x = X.standard_normal((1, 1, 2, 4)).astype(np.float32)
    options = {"kernel": 3, "stride": 3, "ceil": True}
    for kind, pool in (("max", f.max_pool2d), ("avg", f.avg_pool2d)):
        expected = pool(pytest.importorskip("torch").from_numpy(x), 3, 3, ceil_mode=True).numpy()
        np.testing.assert_allclose(one_op(f"{kind}_pool", x, **options), expected, rtol=1e-6)
    with pytest.raises(ng.ChainError, match="does not fit into 2 entries"):
        one_op("max_pool", x, kernel=3, stride=3)


def test_numbers_near_the_ends_of_their_range():
    x = np.array([[-1e30, 1e30]], np.float32)
    np.testing.assert_array_equal(one_op("gelu", x, approximate="tanh"), np.maximum(x, 0))
    with pytest.raises(ng.ChainError, match="variance and eps add up to -1"):
        one_op("batch_norm", x, var=np.array([-1.0, 1.0]), eps=0.0)


def test_dilated_max_pooling_equals_torch():
    torch = pytest.importorskip("torch")
    x = X.standard_normal((2, 3, 11)).astype(np.float32)
    expected = torch.nn.functional.max_pool1d(torch.from_numpy(x), 3, 2, 1, 2)
    found = one_op("max_pool", x, kernel=3, stride=2, padding=1, dilation=2)
    np.testing.assert_array_equal(found, expected.numpy())


def test_ops_that_move_numbers():
    x = X.standard_normal((2, 3, 4, 5))
    same = np.testing.assert_allclose
    same(one_op("flatten", x), x.reshape(2, -1))
    same(one_op("flatten", x, start=2), x.reshape(2, 3, 20))
    same(one_op("flatten", x, start=-1), x)
    same(one_op("reshape", x, shape=(4, -1)), x.reshape(2, 4, 15))
    same(one_op("reshape", x, shape=[60]), x.reshape(2, 60))
    same(one_op("transpose", x, axes=(0, 3, 1, 2)), x.transpose(0, 3, 1, 2))
    same(one_op("pad", x, pads=[(1, 0), (0, 2), (0, 0)], value=7),
         np.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)], constant_values=7))  # fmt: skip
    same(one_op("slice", x, axis=2, start=1, stop=None, step=2), x[:, :, 1::2])
    same(one_op("slice", x, axis=-1, stop=-1), x[..., :-1])
    same(one_op("global_avg_pool", x, keepdims=True), x.mean((2, 3), keepdims=True))
    same(one_op("global_avg_pool", x), x.mean((2, 3)))
    for op, expected in [("add", x + x + x), ("concat", np.concatenate([x, x, x], 1))]:
        w = Wiring()
        w.op(op, "input", "input", "input")
        same(ng.forward(w.network(), x), expected)
    w = Wiring()
    w.op("concat", "input", "input", axis=-1)
    same(ng.forward(w.network(), x), np.concatenate([x, x], -1))


@pytest.mark.parametrize(("op", "options", "message"), [
    ("softmax", {"axis": 0}, "axis 0 is not among those of an example, 1 to 3"),
    ("bias", {"bias": np.ones(5)}, r"\(5,\) values do not fit axis 1"),
    ("bias", {"bias": np.ones((2, 3, 1, 1))}, "does not fit examples"),
    ("batch_norm", {"mean": np.ones(2)}, r"\(2,\) values do not fit axis 1"),
    ("transpose", {"axes": (1, 0, 2, 3)}, "do not permute"),
    ("transpose", {"axes": (0, 2, 1)}, "do not permute"),
    ("reshape", {"shape": (7, -1)}, r"cannot take the shape \(7, -1\)"),
    ("reshape", {"shape": (-1, -1)}, "cannot take the shape"),
    ("reshape", {"shape": (3, 4)}, "cannot take the shape"),
    ("pad", {"pads": [(1, 1)]}, "3 pairs of counts, one per axis"),
    ("pad", {"pads": [(0, 0), (0, 0), (-1, 0)]}, "3 pairs of counts"),
    ("slice", {"axis": 1, "start": 3}, "leaves nothing"),
    ("max_pool", {"kernel": 9}, "a window of 9 does not fit into 4 entries"),
    ("max_pool", {"kernel": 2, "padding": 2}, "as wide as the window"),
    ("avg_pool", {"kernel": (2, 2, 2)}, "kernel must be 2 positive integers"),
])  # fmt: skip
def test_ops_that_do_not_fit_name_the_node(op, options, message):
    with pytest.raises(ng.ChainError, match=rf"node 'op' \({op}\): .*{message}"):
        one_op(op, np.ones((2, 3, 4, 5)), **options)


def test_pooling_needs_space():
    for op in ("max_pool", "global_avg_pool"):
        options = {"kernel": 2} if op == "max_pool" else {}
        with pytest.raises(ng.ChainError, match="spatial ax"):
            one_op(op, np.ones((2, 3)), **options)


def test_values_that_cannot_be_added_or_joined():
    w = Wiring((4, 3))
    cut = w.op("slice", axis=1, stop=2)
    w.op("add", "input", cut)
    with pytest.raises(ng.ChainError, match=r"shapes \(4, 3\), \(2, 3\) cannot be added"):
        ng.forward(w.network(), np.ones((1, 4, 3)))
    w.nodes[-1] = ng.Node("c", "concat", ("input", cut), options={"axis": 2})
    with pytest.raises(ng.ChainError, match="cannot be joined along axis 2"):
        ng.forward(w.network(), np.ones((1, 4, 3)))


# --- whole networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", SMALL)
def test_shapes_are_those_of_the_activations(make):
    network = make(np.random.default_rng(0))
    values = ng.activations(network, np.ones((2, *network.input_shape)))
    shapes = ng.output_shapes(network)
    assert shapes == {name: value.shape[1:] for name, value in values.items()}
    assert list(shapes) == [node.name for node in network.wiring]
    np.testing.assert_array_equal(
        ng.forward(network, np.ones((2, *network.input_shape))), values[network.wiring[-1].name]
    )


def test_shapes_read_no_weights(tmp_path):
    w = Wiring()
    w.layer("fc", ng.StoredArray("nowhere", (5, 4), "<f4"))
    assert ng.output_shapes(w.network(), (4,))["fc"] == (5,)
    with pytest.raises(ng.FileChangedError):
        ng.forward(w.network(), np.ones((1, 4)))


def test_named_nodes_only_and_streams():
    network = mlp(np.random.default_rng(1))
    x = X.standard_normal((10, 6))
    whole = ng.activations(network, x)
    some = ng.activations(network, x, nodes=["fc1", "input"])
    assert list(some) == ["input", "fc1"]
    parts = list(ng.stream_activations(network, (x[:4], x[4:]), nodes=["fc1"]))
    assert [list(part) for part in parts] == [["fc1"], ["fc1"]]
    streamed = np.concatenate([part["fc1"] for part in parts])
    np.testing.assert_allclose(streamed, whole["fc1"], rtol=1e-14)
    with pytest.raises(ng.ChainError, match="no node is named 'fc7'; did you mean 'fc"):
        ng.activations(network, x, nodes=["fc7"])


def test_no_examples_give_no_outputs():
    network = mlp(np.random.default_rng(1))
    assert ng.forward(network, np.empty((0, 6))).shape == (0, 3)


def test_activations_are_dropped_after_their_last_reader():
    network = mlp(np.random.default_rng(1))
    run = _run.Run(network, ["fc2"], "a test")
    seen, step = [], run._step
    run._step = lambda node, x, values: seen.append(list(values)) or step(node, x, values)
    run(np.ones((1, 6)))
    assert all(len(alive) <= 1 for alive in seen)


def test_the_input_is_checked():
    network = mlp(np.random.default_rng(1))
    with pytest.raises(ng.GraphError, match="2 NaN or infinite"):
        ng.forward(network, [[1, 2, 3, 4, np.nan, np.inf]])
    with pytest.raises(ng.ChainError, match=r"examples of shape \(6,\), got \(7,\)"):
        ng.forward(network, np.ones((2, 7)))
    with pytest.raises(ng.GraphError, match=r"examples first, got float64 of shape \(6,\)"):
        ng.forward(network, np.ones(6))
    with pytest.raises(ng.GraphError, match="real numbers"):
        ng.forward(network, np.ones((2, 6), complex))
    w = Wiring((3, 4, 4))
    w.op("relu")
    with pytest.raises(ng.ChainError, match=r"single example as x\[None\]"):
        ng.forward(w.network(), np.ones((3, 4, 4)))


def test_layers_that_do_not_fit_are_named_with_what_they_are_given():
    w = Wiring()
    w.layer("one", np.ones((4, 3)))
    w.op("relu")
    w.layer("two", np.ones((2, 5)))
    given = r"'two' reads 5 .* shape \(4,\), from node 'relu2' behind layer 'one'"
    with pytest.raises(ng.ChainError, match=given):
        ng.forward(w.network(), np.ones((2, 3)))
    with pytest.raises(ng.ChainError, match=r"'one' reads 3 .*\(9,\), from the network's input"):
        ng.forward(w.network(), np.ones((2, 9)))
    w = Wiring()
    w.layer("conv", np.ones((2, 3, 3, 3)))
    with pytest.raises(ng.ChainError, match="'conv' reads examples of 3 channels and 2 spatial"):
        ng.forward(w.network(), np.ones((1, 4, 8, 8)))
    with pytest.raises(ng.ChainError, match="'conv': a window of 3 does not fit into 2 entries"):
        ng.forward(w.network(), np.ones((1, 3, 2, 8)))
    w.layer("fc", np.ones((1, 8)))
    with pytest.raises(ng.ChainError, match="flatten it first"):
        ng.forward(w.network(), np.ones((1, 3, 4, 4)))


def test_what_cannot_be_evaluated_is_named():
    w = Wiring()
    w.op("unsupported", name="attention", type="MultiHeadAttention")
    with pytest.raises(ng.UnsupportedOpError, match=r"'attention'.*'MultiHeadAttention'"):
        ng.forward(w.network(), np.ones((1, 3)))
    nodes = [ng.Node("a", "input"), ng.Node("b", "input"), ng.Node("c", "add", ("a", "b"))]
    with pytest.raises(ng.UnsupportedOpError, match="'b' is a second input"):
        ng.forward(ng.Network([], nodes), np.ones((1, 3)))
    w = Wiring()
    w.layer("lstm", np.ones((4, 3)), kind="recurrent")
    with pytest.raises(ng.UnsupportedOpError, match="'lstm' is recurrent"):
        ng.forward(w.network(), np.ones((1, 3)))


def test_without_wiring_or_shape_the_remedy_is_named():
    bag = ng.Network([ng.Layer("fc", np.ones((2, 3)))], source="weights.npz")
    for call in (ng.forward, ng.activations):
        with pytest.raises(ng.ChainError, match=r"weights.npz holds weights only.*chain="):
            call(bag, np.ones((1, 3)))
    with pytest.raises(ng.ChainError, match="holds weights only"):
        ng.accuracy(bag, np.ones((1, 3)), [0])
    with pytest.raises(ng.ChainError, match="holds weights only"):
        list(ng.stream_activations(bag, []))
    w = Wiring()
    w.layer("fc", np.ones((2, 3)))
    with pytest.raises(ng.ChainError, match="pass input_shape="):
        ng.output_shapes(w.network())
    with pytest.raises(ng.ChainError, match="positive integers"):
        ng.output_shapes(w.network(), (0,))


# --- accuracy -------------------------------------------------------------------------------------


def classifier(softmax=False):
    w = Wiring()
    w.layer("fc", np.eye(3))
    if softmax:
        w.op("softmax")
    return w.network()


def test_accuracy_counts_hits_with_or_without_softmax():
    x = X.standard_normal((50, 3))
    labels = X.integers(0, 3, 50)
    expected = np.mean(x.argmax(1) == labels)
    assert ng.accuracy(classifier(), x, labels) == expected
    assert ng.accuracy(classifier(softmax=True), x, labels.astype(np.uint8)) == expected
    off = ng.accuracy(classifier(), x, labels, masks={"fc": np.zeros((3, 3), bool)})
    assert off == np.mean(labels == 0)


@pytest.mark.parametrize(("images", "labels", "message"), [
    (np.ones((2, 3)), [0.0, 1.0], "at least one integer"),
    (np.ones((0, 3)), [], "at least one integer"),
    (np.ones((2, 3)), [[0], [1]], r"shape \(2, 1\)"),
    (np.ones((2, 3)), [0], "2 examples but 1 labels"),
    (np.ones((2, 3)), [0, 3], "labels must be 0 to 2, got 0 to 3"),
    (np.ones((2, 3)), [-1, 2], "got -1 to 2"),
    (np.full((1, 3), np.nan), [0], "3 NaN"),
    (np.ones((1, 2, 3)), [0], r"gives shape \(2, 3\)"),
])  # fmt: skip
def test_accuracy_of_what_makes_no_sense(images, labels, message):
    with pytest.raises(ng.GraphError, match=message):
        ng.accuracy(classifier(), images, labels)


def test_accuracy_of_overflow_and_of_unknown_masks():
    w = Wiring()
    w.layer("big", np.full((2, 2), 3e38, np.float32))
    w.layer("difference", np.array([[1, -1], [1, -1]], np.float32))
    quiet = np.errstate(over="ignore", invalid="ignore")
    with quiet, pytest.raises(ng.GraphError, match="overflow"):
        ng.accuracy(w.network(), np.full((1, 2), 1e30, np.float32), [0])
    with pytest.raises(ng.MaskError, match="no layer is named"):
        ng.accuracy(classifier(), np.ones((1, 3)), [0], masks={"fd": np.ones((3, 3), bool)})


@needs_data
def test_resnet20_classifies_cifar10_as_published():
    with np.load(Path(DATA) / "cifar10_subset" / "cifar10_test300.npz") as stored:
        images, labels = stored["x"].astype(np.float32) / 255, stored["y"]
    mean, sd = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    images = ((images - mean) / sd).transpose(0, 3, 1, 2)
    assert ng.accuracy(resnet20(DATA), images, labels) == 0.93


@needs_data
def test_the_mnist_mlp_classifies_as_published():
    def read(name, start):
        with gzip.open(Path(DATA) / "mnist" / name) as stream:
            return np.frombuffer(stream.read(), np.uint8)[start:]

    images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28) / np.float32(255)
    labels = read("t10k-labels-idx1-ubyte.gz", 8)
    assert ng.accuracy(mnist_mlp(DATA), images, labels) == 0.9629
