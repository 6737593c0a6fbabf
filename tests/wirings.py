"""Small networks with every kind of wiring, and the real ones, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import nngraph as ng


class Wiring:
    """Collects nodes and layers; each call returns the node's name."""

    def __init__(self, shape=None):
        self.nodes = [ng.Node("input", "input", options={} if shape is None else {"shape": shape})]
        self.layers = []

    def op(self, op, *inputs, name=None, **options):
        name = name or f"{op}{len(self.nodes)}"
        self.nodes.append(ng.Node(name, op, inputs or (self.nodes[-1].name,), options=options))
        return name

    def layer(self, name, weight, *inputs, node=None, **options):
        if name not in [layer.name for layer in self.layers]:
            self.layers.append(ng.Layer(name, weight, **options))
        inputs = inputs or (self.nodes[-1].name,)
        self.nodes.append(ng.Node(node or name, "layer", inputs, layer=name))
        return node or name

    def network(self):
        return ng.Network(self.layers, self.nodes)


def positive(rng, *shape, density=0.6):
    """Weights of which some are exactly 0, so that paths differ, and none is negative."""
    weights = rng.uniform(0.5, 1.5, shape) * (rng.random(shape) < density)
    weights.flat[0] = 1.0
    return weights


def mlp(rng):
    w = Wiring((6,))
    for k, (n_in, n_out) in enumerate([(6, 5), (5, 4), (4, 3)]):
        w.layer(f"fc{k}", positive(rng, n_out, n_in, density=0.3))
        w.op("relu")
    return w.network()


def pooled(rng):
    """conv, pool, conv, flatten, linear"""
    w = Wiring((2, 7, 6))
    w.layer("conv1", positive(rng, 3, 2, 3, 3, density=0.3), padding=1)
    w.op("avg_pool", kernel=(2, 3), stride=2, padding=(1, 0))
    w.layer("conv2", positive(rng, 4, 3, 2, 1, density=0.3))
    w.op("flatten")
    w.layer("fc", positive(rng, 5, 4 * 3 * 2, density=0.2))
    return w.network()


def residual(rng):
    """A residual block with an option-A shortcut: every second place, padded channels."""
    w = Wiring((2, 6, 6))
    stem = w.layer("stem", positive(rng, 2, 2, 3, 3, density=0.3), padding=1)
    w.layer("conv1", positive(rng, 4, 2, 3, 3, density=0.2), stem, stride=2, padding=1)
    main = w.layer("conv2", positive(rng, 4, 4, 3, 3, density=0.1), padding=1)
    w.op("slice", stem, axis=2, step=2)
    w.op("slice", axis=3, step=2)
    short = w.op("pad", pads=((1, 1), (0, 0), (0, 0)))
    w.op("add", main, short, name="block")
    w.op("relu")
    w.op("global_avg_pool")
    w.layer("fc", positive(rng, 3, 4, density=0.4))
    return w.network()


def concatenated(rng):
    w = Wiring((3, 8))
    a = w.layer("a", positive(rng, 2, 3, 3), "input", padding=1)
    b = w.layer("b", positive(rng, 3, 1, 3, density=0.5), "input", groups=3, padding=1)
    both = w.op("add", a, w.op("slice", b, axis=1, stop=2), name="sum")
    w.op("concat", both, "input", b, axis=1, name="joined")
    w.layer("c", positive(rng, 2, 8, 2, density=0.2), stride=2)
    return w.network()


def channels_last(rng):
    """A transposed convolution whose output is flattened with the channels last."""
    w = Wiring((2, 3, 2))
    w.layer("up", positive(rng, 3, 2, 2, 2, density=0.5), transposed=True, stride=2, padding=1)
    w.op("transpose", axes=(0, 2, 3, 1))
    w.op("flatten")
    w.layer("fc", positive(rng, 4, 4 * 2 * 3, density=0.15))
    w.op("reshape", shape=(2, -1))
    w.layer("last", positive(rng, 2, 2, density=0.6))
    return w.network()


def tied(rng):
    """One layer in two nodes, and a linear layer over several places."""
    w = Wiring((4, 3))
    w.layer("mix", positive(rng, 3, 3, density=0.4))
    w.op("tanh")
    w.layer("mix", None, node="again")
    w.op("transpose", axes=(0, 2, 1))
    w.layer("conv", positive(rng, 2, 3, 2, density=0.4))
    return w.network()


SMALL = [mlp, pooled, residual, concatenated, channels_last, tied]


@st.composite
def convolutions(draw, dims=(1, 2), most=2):
    """A convolution, transposed or not, with distinct weights, and the shape of its input."""
    dims = draw(st.sampled_from(dims))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    groups, kernel = draw(st.integers(1, most)), each(1, 3)
    stride, dilation = each(1, 3), each(1, 2)
    per_in, per_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(dims))
    transposed = draw(st.booleans())
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if transposed:
        least = [
            max(1, -(-(sum(p) + 1 - span) // s) + 1)
            for span, p, s in zip(spans, padding, stride, strict=True)
        ]
    else:
        least = [max(1, span - sum(p)) for span, p in zip(spans, padding, strict=True)]
    extra = tuple(draw(st.integers(0, s - 1)) for s in stride) if transposed else 0
    space = [draw(st.integers(n, n + 3)) for n in least]
    shape = (groups * per_out, per_in, *kernel)
    weight = np.random.default_rng(0).permutation(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)
    keep = draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
    mask = None if keep is None else np.random.default_rng(1).random(shape) < keep
    layer = ng.Layer(
        "conv", weight, mask=mask, stride=stride, padding=padding, dilation=dilation, groups=groups,
        transposed=transposed, output_padding=extra,
    )  # fmt: skip
    return layer, (groups * per_in, *space)


def mnist_mlp(folder):
    """The MLP of mnist_6_100_nat.npz: 96.29 % on the 10,000 test images, pixels / 255."""
    with np.load(Path(folder) / "abcrown" / "mnist_6_100_nat.npz", allow_pickle=False) as stored:
        tensors = dict(stored)
    w = Wiring((1, 28, 28))
    w.op("flatten")
    for k in range(1, 12, 2):
        w.layer(f"{k}.weight", tensors[f"{k}.weight"])
        w.op("bias", bias=tensors[f"{k}.bias"], axis=-1)
        if k < 11:
            w.op("relu")
    return w.network()


def resnet20(folder):
    """The ResNet-20 of resnet20.npz: 93.0 % on 300 normalised CIFAR-10 images."""
    path = Path(folder) / "resnet_cifar10" / "resnet20.npz"
    with np.load(path, allow_pickle=False) as stored:
        t = dict(stored)
    w = Wiring((3, 32, 32))

    def norm(name):
        options = {"mean": "running_mean", "var": "running_var", "scale": "weight", "shift": "bias"}
        w.op("batch_norm", name=name, **{k: t[f"{name}.{v}"] for k, v in options.items()})

    def conv(name, norm_name, source, stride=1):
        w.layer(name, t[f"{name}.weight"], source, stride=stride, padding=1)
        norm(norm_name)

    conv("conv1", "bn1", "input")
    at = w.op("relu")
    for stage, width in ((1, 16), (2, 32), (3, 64)):
        for block in range(3):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            conv(f"{name}.conv1", f"{name}.bn1", at, stride)
            conv(f"{name}.conv2", f"{name}.bn2", w.op("relu"))
            main = w.nodes[-1].name
            if stride == 2:
                w.op("slice", at, axis=2, step=2)
                w.op("slice", axis=3, step=2)
                at = w.op("pad", pads=((width // 4, width // 4), (0, 0), (0, 0)))
            w.op("add", main, at)
            at = w.op("relu")
    w.op("global_avg_pool")
    w.layer("linear", t["linear.weight"])
    w.op("bias", bias=t["linear.bias"], axis=-1)
    return w.network()
