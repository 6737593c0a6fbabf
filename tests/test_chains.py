"""Chains: every form of an item, and a clear error for everything that does not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng
from nngraph.chains import read_chain

NETWORKS = Path(__file__).parents[1] / "docs" / "networks"
DATA = os.environ.get("NNGRAPH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="$NNGRAPH_DATA is not set")


def bag(**extra):
    shapes = {
        "conv1.weight": (8, 3, 3, 3), "conv1.bias": (8,), "bn1.weight": (8,), "bn1.bias": (8,),
        "bn1.running_mean": (8,), "bn1.running_var": (8,), "bn1.num_batches_tracked": (),
        "conv2.weight": (8, 8, 3, 3), "fc.weight": (5, 8 * 16), "fc.bias": (5,), "ln.weight": (5,),
    }  # fmt: skip
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return ng.from_tensors(tensors | extra, source="net.npz")


CHAIN = [
    {"input": [3, 8, 8]},
    {"layer": "conv1", "padding": 1},
    "bn1",
    "relu",
    {"op": "max_pool", "kernel": 2},
    {"layer": "conv2", "padding": [1, 1], "name": "second"},
    {"op": "add", "inputs": ["second", "max_pool"]},
    "flatten",
    "fc",
]


def test_a_chain_becomes_wiring():
    net = ng.wire(bag(), CHAIN)
    assert [(n.name, n.op, n.inputs) for n in net.wiring] == [
        ("input", "input", ()),
        ("conv1", "layer", ("input",)),
        ("conv1.bias", "bias", ("conv1",)),
        ("bn1", "batch_norm", ("conv1.bias",)),
        ("relu", "relu", ("bn1",)),
        ("max_pool", "max_pool", ("relu",)),
        ("second", "layer", ("max_pool",)),
        ("add", "add", ("second", "max_pool")),
        ("flatten", "flatten", ("add",)),
        ("fc", "layer", ("flatten",)),
        ("fc.bias", "bias", ("fc",)),
    ]
    assert net.input_shape == (3, 8, 8)
    assert net.names == ("conv1", "second", "fc")
    assert net["second"].path == "conv2.weight"
    assert net["conv1"].padding == ((1, 1), (1, 1))
    norm = net.wiring[3].options
    assert set(norm) == {"mean", "var", "scale", "shift", "eps", "axis"}
    assert (norm["eps"], norm["axis"]) == (1e-5, 1)
    assert net.wiring[2].options["axis"] == 1
    assert net.wiring[-1].options["axis"] == -1


def test_a_chain_may_be_a_path_or_a_string(tmp_path):
    names = [node.name for node in ng.wire(bag(), CHAIN).wiring]
    for content in (CHAIN, {"about": "a network", "chain": CHAIN}):
        path = tmp_path / "chain.json"
        path.write_text(json.dumps(content))
        for chain in (path, str(path), content):
            assert [node.name for node in ng.wire(bag(), chain).wiring] == names
    assert read_chain("conv1, relu") == ["conv1", "relu"]
    assert len(ng.wire(bag(), "conv1,relu").wiring) == 4


def test_layers_outside_the_chain_count_as_skipped():
    net = ng.wire(bag(), "conv1,relu")
    assert net.names == ("conv1",)
    reasons = {path: reason for path, _, reason in net.coverage.skipped}
    assert reasons["fc.weight"] == "not in the chain"
    assert "1 axis" in reasons["fc.bias"]
    assert net.coverage.total == bag().coverage.total
    assert "fc.weight" in net.tensors


def test_one_layer_in_two_nodes_is_tied():
    net = ng.wire(bag(), ["conv1", "conv2", "relu", "conv2"])
    assert net.names == ("conv1", "conv2")
    assert [n.layer for n in net.wiring if n.op == "layer"] == ["conv1", "conv2", "conv2"]
    assert [n.name for n in net.wiring][-1] == "conv2_2"
    with pytest.raises(ng.ChainError, match="two different layers are named 'conv2'"):
        ng.wire(bag(), ["conv1", "conv2", {"layer": "conv2", "stride": 2}])
    net = ng.wire(bag(), ["conv1", "conv2", {"layer": "conv2", "stride": 2, "name": "again"}])
    assert net["again"].path == net["conv2"].path
    assert net.coverage.covered == 8 * 3 * 9 + 8 * 8 * 9


def test_biases_can_be_left_out_or_named():
    ops = lambda chain: [n.op for n in ng.wire(bag(), chain).wiring]  # noqa: E731
    assert ops([{"layer": "conv1", "bias": False}]) == ["input", "layer"]
    assert ops([{"layer": "conv1", "bias": "bn1.bias"}]) == ["input", "layer", "bias"]
    assert ops([{"layer": "conv1"}, {"layer": "bn1", "eps": 1e-3}])[-1] == "batch_norm"
    with pytest.raises(ng.ChainError, match=r"no bias 'conv2\.bias'.*did you mean"):
        ops([{"layer": "conv2", "bias": True}])
    with pytest.raises(ng.ChainError, match=r"'fc\.bias' has shape \(5,\), but 'conv1' has 8"):
        ops([{"layer": "conv1", "bias": "fc.bias"}])


def test_weights_stored_inputs_first():
    rng = np.random.default_rng(0)
    dense, kernel = rng.normal(size=(4, 6)), rng.normal(size=(3, 3, 2, 4))
    net = ng.from_tensors({"conv/kernel": kernel, "conv/bias": np.zeros(4), "fc/kernel": dense})
    chain = [
        {"layer": "conv/kernel", "in_out": True, "name": "conv"},
        {"op": "global_avg_pool"},
        {"layer": "fc/kernel", "in_out": True, "name": "fc"},
    ]
    net = ng.wire(net, chain)
    np.testing.assert_array_equal(net["fc"].array(), dense.T)
    np.testing.assert_array_equal(net["conv"].array(), kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(net["conv"].layout.to_source(net["conv"].array()), kernel)
    assert [node.op for node in net.wiring][2] == "bias"
    up = ng.wire(
        ng.from_tensors({"up": kernel}), [{"layer": "up", "in_out": True, "transposed": True}]
    )
    assert up["up"].shape == (2, 4, 3, 3)  # Keras: kernel, outputs, inputs


def test_transposed_convolutions_in_groups():
    weight = np.arange(8 * 4 * 3.0).reshape(8, 4, 3)  # 8 inputs to 2 * 4 outputs
    chain = [{"layer": "up", "transposed": True, "groups": 2, "stride": 2}]
    layer = ng.wire(ng.from_tensors({"up.weight": weight}), chain)["up"]
    assert (layer.n_out, layer.n_in, layer.shape) == (8, 8, (8, 4, 3))
    np.testing.assert_array_equal(layer.array()[5, 1], weight[5, 1])
    np.testing.assert_array_equal(layer.layout.to_source(layer.array()), weight)


FAILURES = [
    ("conv3", "'conv3' is no op.*did you mean 'conv2'"),
    ("ln", "'ln' is neither a layer"),
    (["conv1", {"op": "rleu"}], "knows no op 'rleu'; .*did you mean 'relu'"),
    (["conv1", {"op": "relu", "size": 2}], "takes no option"),
    (["conv1", "max_pool"], "max_pool.*needs .*kernel"),
    (["conv1", "add"], "add.*at least two"),
    (["conv1", {"op": "relu", "inputs": ["conv1", "input"]}], "reads 2 item"),
    (["conv1", {"op": "add", "inputs": ["conv1", "conv9"]}], "reads 'conv9', which no earlier"),
    (["conv1", {"op": "add", "inputs": ["conv1", [1]]}], "which no earlier"),
    (["conv1", {"op": "relu", "inputs": []}], "inputs must be names"),
    ([{"layer": "conv1", "strid": 2}], "takes no 'strid'; did you mean 'stride'"),
    ([{"layer": "conv1", "stride": 0}], "layer 'conv1': stride must be"),
    ([{"layer": "conv1", "stride": "a"}], "layer 'conv1'"),
    ([{"layer": "conv1", "groups": 3}], "layer 'conv1': .*3 groups do not divide 8"),
    ([{"layer": "fc", "transposed": True}], "no transposed convolution"),
    ([{"layer": ["conv1"]}], "'layer' must be a string"),
    (["conv1", {"input": [3]}], "only be the first"),
    ([{"input": [3], "name": "x"}, "conv1"], "no other key"),
    ([{"input": [0]}, "conv1"], "positive integers"),
    ([{"input": [3]}], "names no layer"),
    (["relu"], "names no layer"),
    ([{"layer": "conv1", "op": "relu"}], "an item of a chain is"),
    ([5], "an item of a chain is"),
    ([], "at least one item"),
    ({"chan": []}, "holds 'chain'"),
    (["conv1", {"op": "relu", "name": "conv1"}], "two items are named 'conv1'"),
    (["conv2", "conv1"], r"'conv1' of shape .* reads 3 inputs, but 'conv2' gives 8; check"),
    ([{"input": [1, 8, 8]}, "conv1"], "reads 3 inputs, but 'input' gives 1"),
    (["conv1", "fc"], "reads 128 inputs, but 'conv1' gives 8.*'flatten' before it"),
    ([{"input": [3]}, "flatten", "fc"], "gives a multiple of 3"),
    (["fc", "bn1"], "scales 8 channels, but 'fc' gives 5"),
    (
        ["conv1", {"op": "add", "inputs": ["conv1", "input"]}],
        None,  # the input's channels are unknown: no error here
    ),
    (
        [{"input": [3, 8, 8]}, "conv1", {"op": "add", "inputs": ["conv1", "input"]}],
        "different numbers of channels: 8 of 'conv1', 3 of 'input'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("chain", "message"), FAILURES)
def test_what_does_not_fit_is_named(chain, message):
    if message is None:
        ng.wire(bag(), chain)
        return
    with pytest.raises(ng.ChainError, match=message):
        ng.wire(bag(), chain)


def test_hints_name_the_likely_remedy():
    depthwise = ng.from_tensors({"a.weight": np.ones((8, 3, 1)), "b.weight": np.ones((8, 1, 3))})
    with pytest.raises(ng.ChainError, match=r"\{'groups': 8\}"):
        ng.wire(depthwise, "a,b")
    assert ng.wire(depthwise, ["a", {"layer": "b", "groups": 8}])["b"].n_in == 8
    keras = ng.from_tensors({"a": np.ones((8, 4)), "b": np.ones((8, 2))})
    with pytest.raises(ng.ChainError, match=r"\{'in_out': true\}"):
        ng.wire(keras, "a,b")


def test_a_wired_network_takes_no_chain():
    with pytest.raises(ng.ChainError, match="states its own topology"):
        ng.wire(ng.wire(bag(), "conv1"), "conv1")


def test_descriptions_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no description"):
        ng.wire(bag(), tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    for content in (b"{", b"\xff", b"[" * 100_000):
        broken.write_bytes(content)
        with pytest.raises(ng.FormatError, match=r"broken\.json.*no readable JSON"):
            ng.wire(bag(), broken)


def test_padding_widens_the_channels_and_slices_in_space_keep_them():
    pads = [[2, 3], [0, 0], [0, 0]]
    chain = ["conv1", {"op": "slice", "axis": 2, "step": 2}, {"op": "pad", "pads": pads}]
    with pytest.raises(ng.ChainError, match="'conv1' gives 13"):
        ng.wire(bag(), [*chain, "conv2"])


@needs_data
def test_resnet20_reaches_its_accuracy(tmp_path):
    folder = Path(DATA)
    net = ng.load(folder / "resnet_cifar10/resnet20.npz", NETWORKS / "resnet20.json")
    with np.load(folder / "cifar10_subset/cifar10_test300.npz") as data:
        images = (data["x"] / np.float32(255)).transpose(0, 3, 1, 2)
        labels = data["y"]
    mean, sd = (np.array(v, np.float32)[:, None, None] for v in (
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ))  # fmt: skip
    assert net.coverage.fraction == pytest.approx(0.98981, abs=1e-5)
    images = (images - mean) / sd
    assert ng.accuracy(net, images, labels) == 0.93
    masks = ng.prune(net, "magnitude", density=0.5)
    ng.save(net, masks, tmp_path / "pruned.npz")
    pruned = ng.load(tmp_path / "pruned.npz", NETWORKS / "resnet20.json")
    assert ng.accuracy(pruned, images, labels) == ng.accuracy(net, images, labels, masks=masks)
    assert ng.accuracy(pruned, images, labels) == pytest.approx(0.927, abs=4e-3)


@needs_data
def test_mnist_6_100_reaches_its_accuracy():
    import gzip

    folder = Path(DATA)
    net = ng.load(folder / "abcrown/mnist_6_100_nat.npz", NETWORKS / "mnist_6_100.json")
    with gzip.open(folder / "mnist/t10k-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / "mnist/t10k-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(), np.uint8, offset=8)
    assert ng.accuracy(net, images / np.float32(255), labels) == 0.9629
