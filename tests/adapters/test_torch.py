"""PyTorch: modules are traced and left as they were, masks go in and out, and no pickle runs."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from nngraph_adapters import torch as ngt  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

DATA = Path(os.environ.get("NNGRAPH_DATA", ""))
needs_data = pytest.mark.skipif("NNGRAPH_DATA" not in os.environ, reason="$NNGRAPH_DATA is not set")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def agrees(model, x, **options):
    """The network of a model, which computes what the model does."""
    net = ngt.from_module(model, x, **options)
    model.eval()
    with torch.no_grad():
        wanted = model(x)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    np.testing.assert_allclose(ng.forward(net, x.numpy()), wanted.numpy(), atol=2e-6, rtol=1e-4)
    return net


def state_of(model):
    """All that from_module must leave alone."""
    return {
        path: (
            list(module.__dict__), module.training, dict(module._forward_hooks),
            dict(module._forward_pre_hooks), {k: id(v) for k, v in module._parameters.items()},
            {k: (id(v), v.clone().tolist()) for k, v in module._buffers.items()},
        )
        for path, module in model.named_modules()
    }  # fmt: skip


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 8, 3, stride=2, padding=(1, 2), groups=2)
        self.b = nn.Conv2d(8, 8, (3, 2), padding="same", dilation=2, bias=False)
        self.t = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.max = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.mean = nn.AvgPool2d(2, padding=1, count_include_pad=False)
        self.gelu = nn.GELU(approximate="tanh")
        self.fc = nn.Linear(12 * 4 * 5, 5)
        self.register_buffer("centre", torch.randn(1, 4, 1, 1))
        self.register_buffer("width", torch.rand(4, 1, 1) + 0.5)
        self.offset = nn.Parameter(torch.randn(6, 1, 1))
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = (x - self.centre) / self.width * 2 + 1
        x = torch.tanh(self.b(F.relu_(self.a(x))))
        x = self.max(self.drop(self.norm(1 - self.t(x)) + self.offset))
        x = torch.cat([self.mean(x), self.mean(x).sigmoid()], 1)
        x = self.gelu(x).permute(0, 2, 3, 1).contiguous()
        x = self.fc(x.view(x.shape[0], -1))
        return x.softmax(-1), x


def test_convolutions_and_the_model_is_left_as_it_was():
    model = Convolutions()
    model.train()
    model.max.eval()
    model.fc.register_forward_hook(lambda *_: None)
    before = state_of(model)
    net = ngt.from_module(model, torch.zeros(2, 4, 11, 12), strict=True)
    assert state_of(model) == before
    assert all(p.grad is None for p in model.parameters())
    assert net.names == ("a", "b", "t", "fc")
    assert net["t"].path == "t.weight"
    assert net["t"].layout.source_shape == (8, 3, 3, 3)
    assert net.input_shape == (4, 11, 12)
    reasons = {path: reason for path, _, reason in net.coverage.skipped}
    assert reasons == {
        "offset": "bias", "a.bias": "bias", "t.bias": "bias", "fc.bias": "bias",
        "norm.weight": "norm", "norm.bias": "norm",
    }  # fmt: skip
    agrees(model, torch.randn(3, 4, 11, 12), strict=True)


class Block(nn.Module):
    """A residual block of option A: the shortcut is cut and padded, and added in place."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.pad, self.stride = (n_out - n_in) // 2, stride

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad), "constant", 0)
        out += x
        return F.relu(out)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Block(a, b, s), Block(b, b, 1), Block(b, b, 1)) for a, b, s in widths
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


@needs_data
def test_resnet20_scores_the_same_here_and_in_torch(tmp_path):
    held = np.load(DATA / "cifar10_subset" / "cifar10_test300.npz")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = ((held["x"] / 255 - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)
    path = DATA / "resnet_cifar10" / "resnet20-12fca82f.th"
    bag = ng.load(path)
    assert bag.wiring is None
    assert bag["layer1.0.conv1"].path == "layer1.0.conv1.weight"  # no "module." in front
    model = ResNet20()
    state = {k: torch.from_numpy(np.array(v)) for k, v in bag.tensors.items()}
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    net = ngt.from_module(model, torch.zeros(1, 3, 32, 32), strict=True)
    assert set(net.names) == set(bag.names)
    assert net.coverage.covered == sum(layer.size for layer in bag)
    assert round(ng.accuracy(net, images, held["y"]), 3) == 0.930
    masks = ng.prune(net, "magnitude", density=0.5)
    ngt.apply_masks(model, masks)
    with torch.no_grad():
        found = model.eval()(torch.from_numpy(images)).argmax(1).numpy()
    assert np.mean(found == held["y"]) == ng.accuracy(net, images, held["y"], masks=masks)
    ng.save(path, masks, tmp_path / "pruned.th")
    content = torch.load(tmp_path / "pruned.th", weights_only=True)
    assert set(content) == {"best_prec1", "state_dict"}
    wanted = net["conv1"].array() * masks["conv1"]
    np.testing.assert_array_equal(content["state_dict"]["module.conv1.weight"], wanted)
    old = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    assert torch.equal(content["state_dict"]["module.bn1.weight"], old["module.bn1.weight"])


class Odds(nn.Module):
    """What is not of torch.nn, or used twice."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.first, self.again = nn.Linear(6, 6), nn.Linear(6, 6)
        self.again.weight = self.first.weight
        self.turned = nn.Parameter(torch.randn(6, 4))  # inputs x outputs
        self.places = nn.Parameter(torch.randn(1, 5, 4))
        self.added = nn.Parameter(torch.randn(4))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.again(F.relu(self.first(self.table(x))))
        flat = x.view(-1, 6)
        x = torch.addmm(self.added, flat, self.turned).view(x.shape[0], -1, 4) + self.places
        return x[:, 0] + x.transpose(1, 2).flatten(1)[:, :4]


def test_tied_turned_and_unused_parameters():
    model = Odds()
    x = torch.randint(11, (3, 5))
    net = ngt.from_module(model, x)
    layers = {layer.name: (layer.path, layer.kind, layer.shape) for layer in net}
    assert layers == {
        "table": ("table.weight", "embedding", (6, 11)),
        "first": ("first.weight", "linear", (6, 6)),
        "turned": ("turned", "linear", (4, 6)),
    }
    nodes = {node.name: node for node in net.wiring}
    assert nodes["first"].layer == nodes["again"].layer == "first"
    skipped = {path: reason for path, _, reason in net.coverage.skipped}
    assert skipped["unused.weight"] == "not used in the forward pass"
    assert skipped["again.bias"] == skipped["added"] == skipped["places"] == "bias"
    assert "again.weight" not in skipped  # the same parameter as first.weight
    # joining examples with places is not followed, and said
    assert "aten.view that moves the axis of examples" in [
        node.options.get("type") for node in net.wiring
    ]
    with pytest.raises(ng.MaskError, match="network="):
        ngt.apply_masks(model, {"turned": np.ones((4, 6), bool)})
    masks = ng.prune(net, "random", density=0.5, rng=0)
    ngt.apply_masks(model, masks, network=net)
    assert torch.equal(model.turned_mask, torch.from_numpy(masks["turned"].T.copy()).float())
    assert torch.equal(model.again.weight_mask, model.first.weight_mask)
    assert model.again.weight_orig is model.first.weight_orig
    again = ngt.from_module(model, x)
    for name in layers:
        np.testing.assert_array_equal(again[name].mask, masks[name])


def test_one_dimension_three_dimensions_and_tokens():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.back = nn.Conv1d(3, 4, 3, 2), nn.ConvTranspose1d(4, 4, 2)
            self.three = nn.Conv3d(2, 3, 2)
            self.mix = nn.Linear(7, 5)

        def forward(self, x):
            x = F.avg_pool1d(F.max_pool1d(self.back(self.one(x)), 2), 1)
            x = x.reshape(x.shape[0], 2, 2, 2, 2)
            x = F.adaptive_max_pool3d(self.three(x.unsqueeze(1).squeeze(1)), 1)
            x = F.pad(x.flatten(1), (1, 3), value=2.0).unsqueeze(1)
            x = self.mix(x).squeeze(1)
            return F.adaptive_avg_pool1d(x[:, None, :-1].clone(), 2).mean(-1, keepdim=True)

    agrees(Mixed(), torch.randn(2, 3, 18), strict=True)


def test_adaptive_pooling_and_means():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 1), nn.Linear(4, 2, bias=False)

        def forward(self, x):
            x = F.adaptive_avg_pool2d(self.conv(x), (2, 3))
            y = F.adaptive_avg_pool2d(x, 1).flatten(1)
            return self.fc(x.mean((2, 3)) + y + x.mean((-1, -2), keepdim=True).view(-1, 4))

    agrees(Pooled(), torch.randn(2, 1, 4, 6), strict=True)


UNKNOWN = {
    "aten.erf": lambda layer, x: torch.erf(layer(x)),
    "aten.log_softmax": lambda layer, x: layer(x).log_softmax(1),
    "aten.mul of two computed values": lambda layer, x: layer(x) * x,
    "aten.dropout in training mode": lambda layer, x: F.dropout(layer(x), training=True),
    "aten.linear with a weight that is no parameter":
        lambda layer, x: F.linear(layer(x), layer.weight * 2),
    "aten.linear with a computed bias": lambda layer, x: F.linear(x, layer.weight, layer(x)[0]),
    "aten.add with a factor": lambda layer, x: torch.add(layer(x), x, alpha=2),
    "aten.add with a constant that tells examples apart":
        lambda layer, x: layer(x) + torch.arange(3.0)[:, None],
    "aten.mul with one factor for each place":
        lambda layer, x: torch.cat([layer(x)[:, None]] * 2, 1) * torch.arange(8.0).view(2, 4),
    "aten.addmm with factors":
        lambda layer, x: torch.addmm(layer.bias, layer(x), layer.weight, beta=2),
    "aten.matmul of a vector": lambda layer, x: (layer(x) @ torch.ones(4))[:, None],
    "aten.pad of mode reflect": lambda layer, x: F.pad(layer(x), (1, 1), mode="reflect"),
    "aten.pad that cuts": lambda layer, x: F.pad(layer(x), (-1, 1)),
    "aten.slice across examples": lambda layer, x: layer(x)[:2],
    "aten.cat across examples": lambda layer, x: torch.cat([layer(x), x]),
    "aten.mean over other axes": lambda layer, x: layer(x).mean(1, keepdim=True),
    "aten.permute that moves the axis of examples": lambda layer, x: layer(x).permute(1, 0),
    "aten.div with an infinite factor": lambda layer, x: layer(x) / 0,
    "aten.rand": lambda layer, x: layer(x) + torch.rand(4),
    "aten.adaptive_avg_pool1d from (4,)":
        lambda layer, x: F.adaptive_avg_pool1d(layer(x)[:, None], 3)[:, 0],
    "aten.add of different ranks": lambda layer, x: layer(x)[:, None] + layer(x),
    "aten.to to another kind of number": lambda layer, x: layer(x).to(torch.int64),
    "aten.softmax across examples": lambda layer, x: layer(x).softmax(0),
    "aten.div of a constant by data": lambda layer, x: torch.ones(4) / layer(x),
    "aten.reciprocal": lambda layer, x: 1 / layer(x),
    "aten.batch_norm with the statistics of each batch":
        lambda layer, x: F.batch_norm(layer(x), None, None, training=True),
}  # fmt: skip


class Calls(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.fn = fn

    def forward(self, x):
        return self.fn(self.inner, x)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_ops_are_nodes_by_name_and_strict_raises(kind):
    model = Calls(UNKNOWN[kind])
    net = ngt.from_module(model, torch.zeros(3, 4))
    kinds = [node.options["type"] for node in net.wiring if node.op == "unsupported"]
    assert any(found.startswith(kind) for found in kinds), kinds
    assert net["inner"].shape == (4, 4)
    with pytest.raises(ng.UnsupportedOpError):
        ng.forward(net, np.zeros((3, 4), np.float32))
    with pytest.raises(ng.UnsupportedOpError, match=r"nngraph knows no aten\."):
        ngt.from_module(model, torch.zeros(3, 4), strict=True)


def test_attention_is_found_and_recurrent_parameters_are_skipped_with_a_reason():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = ngt.from_module(model, torch.zeros(2, 3, 8))
    weights = {"self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2"}
    assert set(net.names) == weights
    assert {reason for _, _, reason in net.coverage.skipped} == {"bias", "norm"}
    assert net.coverage.total == sum(p.numel() for p in model.parameters())
    lstm = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True))
    before = state_of(lstm)
    reasons = {p: why for p, _, why in ngt.from_module(lstm, torch.zeros(2, 3, 4)).coverage.skipped}
    assert reasons["1.weight_ih_l0"] == "used by aten.lstm, which nngraph does not know"
    assert state_of(lstm) == before


class Branches(nn.Module):
    """Control flow that depends on data, which no trace can follow, and state."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(4, 4), nn.ConvTranspose1d(1, 1, 3)
        self.norm = nn.LayerNorm(6)
        self.unused = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        x = self.norm(self.first(x[:, None])[:, 0])[:, :4]
        return self.last(x) if x.sum() > 0 else self.last(-x) + torch.rand(1)


def test_a_model_that_cannot_be_traced_gives_its_layers_in_call_order(capfd):
    model = Branches()
    before, stream = state_of(model), torch.get_rng_state()
    net = ngt.from_module(model, torch.ones(2, 4))
    assert capfd.readouterr() == ("", "")  # torch would print its graph
    assert logging.root.manager.disable == logging.NOTSET
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), stream)
    assert net.names == ("first", "last")
    assert net["first"].transposed
    assert net.wiring is None
    reasons = {path: reason for path, _, reason in net.coverage.skipped}
    assert "cannot trace" in reasons["wiring"]
    assert "call order" in str(net.coverage)
    assert reasons["unused.weight"] == "not used in the forward pass"
    assert net.coverage.total == sum(p.numel() for p in model.parameters())
    with pytest.raises(ng.UnsupportedOpError, match="cannot trace"):
        ngt.from_module(model, torch.ones(2, 4), strict=True)
    with pytest.raises(ng.GraphError, match="cannot be run on inputs"):
        ngt.from_module(model, torch.ones(2, 9))


def test_parts_of_parameters_and_a_second_input():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.both = nn.Parameter(torch.randn(8))

        def forward(self, x, y):
            shift, scale = self.both.chunk(2)
            return self.fc(x) * scale + shift + y

    model = Parts()
    net = ngt.from_module(model, (torch.zeros(2, 4), torch.zeros(2, 4)))
    assert ("both", 8, "scale") in net.coverage.skipped
    with pytest.raises(ng.UnsupportedOpError, match="second input"):
        ng.forward(net, np.zeros((2, 4), np.float32))
    short = ng.Network(net.layers, net.wiring[:5])  # up to the scale
    assert [node.op for node in short.wiring] == ["input", "input", "layer", "bias", "batch_norm"]


def test_wrong_arguments():
    with pytest.raises(TypeError, match="from_tensors"):
        ngt.from_module({"w": torch.ones(2, 2)}, torch.ones(1, 2))
    with pytest.raises(ng.GraphError, match="examples first"):
        ngt.from_module(nn.Linear(2, 2), torch.ones(2))
    with pytest.raises(ng.WeightError, match="no layer"):
        ngt.from_module(nn.ReLU(), torch.ones(2, 2))
    with pytest.raises(ng.WeightError, match=r"parameter 'weight' has no numbers"):
        ngt.from_module(nn.Linear(2, 2, device="meta"), torch.ones(1, 2, device="meta"))


def test_weights_are_read_only_views_of_the_model():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2).bfloat16().float())
    net = ngt.from_module(model, np.zeros((1, 1, 3, 3)))
    array = net["0"].weight
    assert array.ctypes.data == model[0].weight.data_ptr()
    assert not array.flags.writeable
    half = nn.Linear(3, 2, dtype=torch.bfloat16)
    layer = ngt.from_module(half, np.zeros((1, 3)))["weight"]
    assert layer.source_dtype == "bfloat16"
    np.testing.assert_array_equal(layer.array(), half.weight.detach().float().numpy())


# Masks.


def pair():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Flatten())
    return model, ngt.from_module(model, torch.zeros(1, 1, 5, 5))


def test_masks_go_in_and_come_out():
    model, net = pair()
    x = torch.randn(3, 1, 5, 5)
    masks = ng.prune(net, "random", density=0.5, rng=1)
    wanted = ng.forward(net.with_masks(masks), x.numpy())
    dense = model[0].weight.detach().clone()
    ngt.apply_masks(model, masks)
    assert prune.is_pruned(model)
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, atol=1e-6)
    assert torch.equal(model[0].weight_orig, dense)
    assert ngt.to_masks(model) == masks
    model(x).sum().backward()
    off = ~torch.from_numpy(masks["0"].copy())
    assert not model[0].weight_orig.grad[off].any()
    prune.remove(model[0], "weight")
    assert ngt.to_masks(model) == masks


def test_a_pruned_model_can_be_copied_saved_and_traced(tmp_path):
    model, net = pair()
    masks = ng.prune(net, "magnitude", density=0.5)
    ngt.apply_masks(model, masks)
    twin = copy.deepcopy(model)
    assert ngt.to_masks(twin) == masks
    x = torch.randn(2, 1, 5, 5)
    assert torch.equal(twin(x), model(x))
    torch.save(model.state_dict(), tmp_path / "pruned.pt")
    loaded = ng.load(tmp_path / "pruned.pt")  # not the masks as layers beside dense weights
    assert loaded.names == ("0", "1")
    assert all(
        np.array_equal(layer.mask, net[layer.name].layout.to_source(masks[layer.name]))
        for layer in loaded
    )
    before = state_of(model)
    again = ngt.from_module(model, torch.zeros(1, 1, 5, 5))
    assert state_of(model) == before
    assert [layer.path for layer in again] == ["0.weight", "1.weight"]
    np.testing.assert_array_equal(again["1"].mask, masks["1"])
    np.testing.assert_allclose(ng.forward(again, x.numpy()), model(x).detach().numpy(), atol=1e-6)


def test_pruned_biases_are_zero():
    model, _ = pair()
    prune.random_unstructured(model[0], "bias", amount=2)
    net = agrees(model, torch.randn(2, 1, 5, 5))
    assert np.count_nonzero(net.wiring[2].options["bias"]) == 2


def test_a_second_call_replaces_the_masks():
    model, net = pair()
    first = ng.prune(net, "random", density=0.3, rng=1)
    second = ng.prune(net, "random", density=0.6, rng=2)
    dense = model[0].weight.detach().clone()
    ngt.apply_masks(model, first)
    ngt.apply_masks(model, second)
    assert ngt.to_masks(model) == second
    assert len(model[0]._forward_pre_hooks) == 1
    x = torch.randn(2, 1, 5, 5)
    wanted = ng.forward(net.with_masks(second), x.numpy())
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, atol=1e-6)
    prune.l1_unstructured(model[0], "weight", amount=2)  # torch's own, on top: a container
    ngt.apply_masks(model, {"0": second["0"]})
    assert ngt.to_masks(model) == second
    ngt.apply_masks(model, second, method="bake")
    assert not prune.is_pruned(model)
    assert torch.equal(model[0].weight, dense * torch.from_numpy(second["0"].copy()))
    assert ngt.to_masks(model) == second


def test_baked_masks():
    model, net = pair()
    masks = ng.prune(net, "magnitude", density=0.5)
    ngt.apply_masks(model, masks, method="bake")
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert ngt.to_masks(model) == masks
    assert model[0].weight.requires_grad


def test_masks_by_parameter_path_and_of_one_layer():
    model, _ = pair()
    ngt.apply_masks(model, {"0.weight": np.zeros((4, 1, 3, 3), bool)})
    assert not model[0].weight.any()
    assert model[1].weight.all()


def test_masks_that_do_not_fit_change_nothing():
    model, _ = pair()
    before = state_of(model)
    good = np.ones((4, 1, 3, 3), bool)
    cases = [
        ({"0": good, "1.wieght": good}, "did you mean '1.weight'"),
        ({"0": good, "nonsense": good}, "it has"),
        ({"0": good, "1": np.ones((4, 3, 2, 2), bool)}, r"\(6, 2, 2, 2\)"),
        ({"0": good.astype(float)}, "bool"),
        ({"0.bias": np.ones(4, bool)}, "0.bias"),
        ([good], "map layer names"),
    ]
    for masks, words in cases:
        with pytest.raises(ng.MaskError, match=words):
            ngt.apply_masks(model, masks)
    assert state_of(model) == before
    with pytest.raises(ValueError, match="bake"):
        ngt.apply_masks(model, {"0": good}, method="burn")
    other = ngt.from_module(nn.Sequential(nn.Conv2d(2, 4, 3)), torch.zeros(1, 2, 5, 5))
    with pytest.raises(ng.MaskError, match="trace the model again"):
        ngt.apply_masks(model, {"0": np.ones((4, 2, 3, 3), bool)}, network=other)


def test_tied_layers_take_one_mask():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    net = ngt.from_module(model, torch.zeros(1, 2, dtype=torch.int64))
    assert [(layer.name, layer.path, layer.shape) for layer in net] == [
        ("0", "0.weight", (3, 5)), ("1", "0.weight", (5, 3)),
    ]  # fmt: skip
    mask = np.eye(5, 3, dtype=bool)
    mask[4] = True
    with pytest.raises(ng.MaskError, match="share"):
        ngt.apply_masks(model, {"0": ~mask.T, "1": mask}, network=net)
    ngt.apply_masks(model, {"0": mask.T}, network=net)
    assert torch.equal(model[1].weight_mask, torch.from_numpy(mask).float())


@pytest.mark.parametrize("method", ng.methods()["name"])
def test_tied_layers_are_pruned_as_one(method):
    model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9))
    model[2].weight = model[0].weight
    x = torch.randint(9, (4, 2))
    net = ngt.from_module(model, x)
    masks = ng.prune(net, method, density=0.5, rng=0)
    assert masks["0"].sum() + masks["1"].sum() == 45  # of 90: a tied parameter counts once
    ngt.apply_masks(model, masks)
    assert ngt.to_masks(model) == masks
    np.testing.assert_allclose(
        ng.forward(net.with_masks(masks), x.numpy()), model(x).detach().numpy(), atol=1e-6
    )


def test_a_parameter_tied_without_a_module_needs_the_network():
    class AutoEncoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.code = nn.Linear(6, 3)

        def forward(self, x):
            return F.linear(self.code(x), self.code.weight.t())

    model = AutoEncoder()
    net = ngt.from_module(model, torch.zeros(2, 6))
    masks = ng.prune(net, "random", density=0.5, rng=0)
    first, second = masks.values()
    np.testing.assert_array_equal(first, second.T)
    with pytest.raises(ng.MaskError, match="pass network="):
        ngt.apply_masks(model, masks)
    ngt.apply_masks(model, masks, network=net)
    assert torch.equal(model.code.weight_mask, torch.from_numpy(first.copy()).float())


def test_a_tied_parameter_that_is_pruned_at_one_place_is_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    before = state_of(model)
    with pytest.raises(ng.MaskError, match=r"'1\.weight' is tied to a parameter with another mask"):
        ngt.from_module(model, torch.zeros(1, 4))
    assert state_of(model) == before
    ngt.apply_masks(model, {"0": np.eye(4, dtype=bool)})
    assert ngt.from_module(model, torch.zeros(1, 4))["0"].mask.sum() == 4


@pytest.mark.parametrize("inputs", [{"x": torch.zeros(1, 4)}, None, "x", (torch.zeros(1), None)])
def test_inputs_that_are_no_arrays(inputs):
    with pytest.raises(ng.GraphError, match="example inputs are"):
        ngt.from_module(nn.Linear(4, 3), inputs)


def test_modules_without_numbers_or_hooks_are_refused_and_left_alone():
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ng.WeightError, match=r"'0\.weight' has no numbers yet"):
        ngt.from_module(lazy, torch.zeros(1, 4))
    assert isinstance(lazy[0], nn.LazyLinear)
    with torch.device("meta"):
        meta = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ng.WeightError, match=r"'0\.weight' has no numbers yet"):
        ngt.from_module(meta, torch.zeros(1, 4))
    with warnings.catch_warnings(action="ignore"):  # torch deprecates it
        scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 3)))
    for call in (lambda m: ngt.from_module(m, torch.zeros(1, 4)), ngt.to_masks):
        with pytest.raises(TypeError, match="TorchScript"):
            call(nn.Sequential(scripted))
    with pytest.raises(ng.GraphError, match="cannot be run on inputs of shapes"):
        ngt.activations(nn.Linear(4, 3), torch.zeros(1, 5))


def test_activations():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Dropout())
    model.add_module("again", model[0].__class__(4, 4))
    model.append(model[1])
    model.train()
    x = torch.randn(5, 3)
    net = ngt.from_module(model, x)
    found = ngt.activations(model, x)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert list(found) == ["0", "1", "2", "again", "1_2"]
    ours = ng.activations(net, x.numpy())
    np.testing.assert_allclose(found["0"], ours["0.bias"], atol=1e-6)  # not what ReLU left there
    np.testing.assert_allclose(found["1_2"], ours[net.wiring[-1].name], atol=1e-6)
    halves = list(ngt.stream_activations(model, [x[:2], x[2:]], modules=["1"]))
    assert [list(values) for values in halves] == [["1", "1_2"]] * 2
    np.testing.assert_array_equal(np.concatenate([v["1"] for v in halves]), found["1"])
    with pytest.raises(ng.GraphError, match="no module 'x'"):
        ngt.activations(model, x, modules=["x"])


# Files.


def checkpoint():
    return {
        "fc1.weight": torch.randn(4, 3),
        "fc1.bias": torch.randn(4),
        "fc2.weight": torch.randn(2, 4).bfloat16(),
        "fc3.weight": torch.randn(2, 4).half(),
        "f8.weight": torch.randn(2, 4).to(torch.float8_e4m3fn),
        "steps": torch.tensor(3),
    }


WRAPPED = {
    "plain": lambda state: state,
    "wrapped": lambda state: {"epoch": 3, "state_dict": state, "best": torch.tensor(0.5)},
    "twice": lambda state: {"model": [{f"module._orig_mod.{k}": v for k, v in state.items()}]},
    "nested": lambda state: {"a": {k: v for k, v in state.items() if k > "fc"},
                             "b": {k: v for k, v in state.items() if k < "fc"}},
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", WRAPPED)
def test_checkpoints_are_read_and_written(tmp_path, kind, legacy):
    state = checkpoint()
    if legacy:
        del state["f8.weight"]  # which torch writes into such a file, and cannot read
    path = tmp_path / "net.pt"
    torch.save(WRAPPED[kind](state), path, _use_new_zipfile_serialization=not legacy)
    net = ng.load(path)
    lead = {"nested": lambda key: "a." if key > "fc" else "b."}.get(kind, lambda key: "")
    names = {key: lead(key) + key for key in state}
    types = {"fc1": "float32", "fc2": "bfloat16", "fc3": "float16", "f8": "float8_e4m3fn"}
    for key, dtype in types.items():
        if f"{key}.weight" not in state:
            continue
        layer = net[names[f"{key}.weight"].removesuffix(".weight")]
        assert layer.source_dtype == dtype
        np.testing.assert_array_equal(layer.array(), state[f"{key}.weight"].float().numpy())
        assert isinstance(layer.weight, np.ndarray if legacy else ng.StoredArray)
    assert len(net.coverage.skipped) == 2
    masks = ng.prune(net, "magnitude", density=0.5)
    ng.save(path, masks, tmp_path / "out.pt")
    old = torch.load(path, weights_only=True)
    new = torch.load(tmp_path / "out.pt", weights_only=True)
    assert type(new) is type(old)
    assert list(new) == list(old)
    after = ng.load(tmp_path / "out.pt")
    for layer in after:
        kept = np.where(masks[layer.name], net[layer.name].array(), 0)
        np.testing.assert_array_equal(layer.array(), kept)
        assert layer.source_dtype == net[layer.name].source_dtype
    bias = names["fc1.bias"]
    read = lambda x: x.read() if isinstance(x, ng.StoredArray) else x  # noqa: E731
    np.testing.assert_array_equal(read(after.tensors[bias]), state["fc1.bias"].numpy())
    with pytest.raises(ng.FormatError, match="exists"):
        ng.save(path, masks, tmp_path / "out.pt")


def test_a_checkpoint_becomes_a_network_by_a_chain(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    torch.save(model.state_dict(), tmp_path / "net.pth")
    net = ng.load(tmp_path / "net.pth", chain="0,relu,2")
    x = torch.randn(5, 3)
    np.testing.assert_allclose(ng.forward(net, x.numpy()), model(x).detach().numpy(), atol=1e-6)


def test_a_file_that_changes_after_it_was_opened(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(checkpoint(), path)
    net = ng.load(path)
    os.truncate(path, 500)
    with pytest.raises(ng.FileChangedError):
        net["fc1"].array()


def test_strided_shared_and_compressed_tensors(tmp_path):
    base = torch.randn(6, 4)
    state = {"turned": torch.randn(3, 5).T, "a": base[:3], "b": base[3:], "c": base[:3]}
    path = tmp_path / "net.pt"
    torch.save(state, path)
    net = ng.load(path)
    for name, tensor in state.items():
        np.testing.assert_array_equal(net[name].array(), tensor.numpy())
    mask = np.zeros((3, 4), bool)
    ng.save(path, {"b": mask, "turned": np.ones((5, 3), bool)}, tmp_path / "b.pt")
    after = torch.load(tmp_path / "b.pt", weights_only=True)
    assert not after["b"].any()
    assert torch.equal(after["a"], state["a"])
    assert after["a"].data_ptr() == after["c"].data_ptr()
    with pytest.raises(ng.MaskError, match="one tensor"):
        ng.save(path, {"a": mask, "c": ~mask}, tmp_path / "c.pt")
    torch.save({"a": base}, path)
    squeezed = tmp_path / "squeezed.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    np.testing.assert_array_equal(ng.load(squeezed)["a"].array(), base.numpy())


class Payload:
    """Would make a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [False, True])
def test_no_pickle_runs(tmp_path, legacy):
    path, target = tmp_path / "evil.pt", tmp_path / "ran"
    content = {"w": torch.ones(2, 2), "x": Payload(target)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ng.FormatError, match=r"mkdir.*nothing was run"):
        ng.load(path)
    with pytest.raises(ng.FormatError):
        ng.save(path, {"w": np.ones((2, 2), bool)}, tmp_path / "out.pt")
    assert os.listdir(tmp_path) == ["evil.pt"]


def test_whole_modules_and_programs_are_refused_with_the_remedy(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ng.FormatError, match=r"Linear.*state_dict\(\)"):
        ng.load(tmp_path / "module.pt")
    # TorchScript is deprecated, yet such files exist.
    with pytest.warns(DeprecationWarning, match="script"):
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(ng.FormatError, match=r"TorchScript.*state_dict\(\)"):
        ng.load(tmp_path / "script.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_files(tmp_path, legacy):
    path = tmp_path / "good.pt"
    torch.save({"w": torch.ones(20, 20)}, path, _use_new_zipfile_serialization=not legacy)
    good = path.read_bytes()
    path = tmp_path / "bad.pt"
    for data in (good[: len(good) // 2], good[:-20], b"hello world" * 9, bytes(99), b"\x80\x04."):
        path.write_bytes(data)
        with pytest.raises(ng.FormatError, match=r"bad\.pt"):
            ng.load(path)
    for content in ({"epoch": 3}, [], {}, "text"):
        torch.save(content, path)
        with pytest.raises(ng.FormatError, match="no tensors"):
            ng.load(path)
    loop = {}
    loop["again"] = loop
    torch.save(loop, path)
    with pytest.raises(ng.FormatError, match="too deep"):
        ng.load(path)
    torch.save({"a.b": torch.ones(2, 2), "a": {"b": torch.ones(2, 2)}}, path)
    with pytest.raises(ng.FormatError, match="two tensors"):
        ng.load(path)


def test_a_tensor_that_claims_more_than_its_record_holds(tmp_path):
    torch.save({"w": torch.ones(20, 20)}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as old, (
        zipfile.ZipFile(tmp_path / "bad.pt", "w")
    ) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:400] if name.endswith("data/0") else data)
    with pytest.raises(ng.FormatError, match=r"bad\.pt"):
        ng.load(tmp_path / "bad.pt")


@needs_data
def test_the_other_real_checkpoints():
    chain = "1,relu,3,relu,5,relu,7,relu,9,relu,11"
    mlp = ng.load(DATA / "abcrown" / "mnist_6_100_nat.pth", chain=chain)
    assert [layer.shape[0] for layer in mlp] == [100] * 5 + [10]
    assert len(ng.load(DATA / "cifar_cnn_winml" / "myFirstModel.pth")) == 5
    with pytest.raises(ng.FormatError, match="PyTorch"):
        ngt.FORMAT.read(DATA / "tinystories260k" / "checkpoint_legacy.bin")


def test_importing_the_adapters_imports_no_framework():
    code = "import nngraph_adapters.torch, nngraph_adapters.onnx, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "onnx"} & set(done.stdout.split())


def test_without_torch_the_error_names_the_extra(monkeypatch, tmp_path):
    torch.save(checkpoint(), tmp_path / "net.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ng.MissingExtraError, match=r"nngraph\[torch\]"):
        ng.load(tmp_path / "net.pt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    torch.save({"fc.weight": torch.randn(300, 300)}, tmp_path / "net.pt")
    masks = {"fc.weight": np.zeros((300, 300), bool)}
    with pytest.raises(OSError, match="No space left"):  # which nngraph.save explains
        ngt.FORMAT.write(tmp_path / "net.pt", masks, Path("/dev/full"))


def test_what_cannot_be_saved_again_is_said(tmp_path, monkeypatch):
    torch.save({"fc.weight": torch.randn(3, 3)}, tmp_path / "net.pt")

    def refuse(*_):
        raise TypeError("no")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(ng.FormatError, match=r"net\.pt' cannot be saved again: no"):
        ng.save(tmp_path / "net.pt", {"fc": np.eye(3, dtype=bool)}, tmp_path / "out.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_an_archive_on_several_disks_is_damaged(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"fc.weight": torch.randn(3, 3)}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] = 9  # of so many disks
    path.write_bytes(data)
    with pytest.raises(ng.FormatError, match="damaged"):
        ng.load(path)
