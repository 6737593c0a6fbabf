"""Aten ops with weights, and arithmetic, in nngraph's terms: one small function per op.

A handler takes the graph, the node and its arguments by name, and returns the name of the wiring's
node that gives the result (a list where the op gives several); it raises NotKnownError where
nngraph has no exact counterpart.
"""

from __future__ import annotations

from functools import partial

from ._builder import Constant, NotKnownError
from ._torch_shape_ops import SAME, SHAPE_HANDLERS, inner_axis, several
from ._torch_values import layer_name, padding_pairs


def _layer(graph, node, weight, at, moves, **geometry) -> str:
    """A layer's node, named as the weight's module, or as the caller where that is taken."""
    constant = graph.value(weight)
    if not isinstance(constant, Constant) or constant.path is None:
        raise NotKnownError("with a weight that is no parameter")
    name = layer_name(constant.path)
    label = graph.label(node) if name in graph.builder.nodes else name
    return graph.builder.layer(graph.at(at), constant, moves, node=label, name=label, **geometry)


def _bias(graph, node, found: str, bias, axis: int) -> str:
    """A bias node behind a layer's, where there is a bias."""
    if bias is None:
        return found
    return graph.builder.bias(found, graph.value(bias), graph.shape(node)[axis], axis)


def _linear(graph, node, o) -> str:
    if len(graph.shape(o["weight"])) != 2:
        raise NotKnownError("with a weight of one axis")
    found = _layer(graph, node, o["weight"], o["input"], lambda m: m)
    return _bias(graph, node, found, o["bias"], -1)


def _matmul(graph, node, o) -> str:
    weight = o["mat2"] if "mat2" in o else o["other"]
    if len(graph.shape(weight)) != 2:
        raise NotKnownError("of a vector, or of many matrices")
    at = o["mat1"] if "mat1" in o else o["self"]
    return _layer(graph, node, weight, at, lambda m: m.transpose((1, 0)))


def _addmm(graph, node, o) -> str:
    if o["beta"] != 1 or o["alpha"] != 1:
        raise NotKnownError("with factors")
    found, added, shape = _matmul(graph, node, o), o["self"], graph.shape(node)
    if isinstance(graph.value(added), Constant):
        return _bias(graph, node, found, added, -1)
    return graph.builder.add(node.name, [found, graph.at(added)], [shape, graph.shape(added)])


def _conv(graph, node, o, *, turned: bool = False) -> str:
    turned = o.get("transposed", turned)
    kernel = graph.shape(o["weight"])[2:]
    if len(graph.shape(o["input"])) != len(kernel) + 2:
        raise NotKnownError("without an axis of examples")
    each = lambda value: tuple(value) * (len(kernel) if len(value) == 1 else 1)  # noqa: E731
    dilation, groups = each(o["dilation"]), o["groups"]
    geometry = {
        "stride": each(o["stride"]), "dilation": dilation, "groups": groups, "kind": "conv",
        "padding": padding_pairs(o["padding"], kernel, dilation),
    }  # fmt: skip
    moves = lambda m: m  # noqa: E731
    if turned:
        geometry |= {"transposed": True, "output_padding": each(o["output_padding"])}
        moves = lambda m: m.transposed_conv(groups)  # noqa: E731
    found = _layer(graph, node, o["weight"], o["input"], moves, **geometry)
    return _bias(graph, node, found, o["bias"], 1)


def _embedding(graph, node, o) -> str:
    turn = lambda m: m.transpose((1, 0))  # noqa: E731
    return _layer(graph, node, o["weight"], o["indices"], turn, kind="embedding")


def _batch_norm(graph, node, o) -> str | list:
    if o.get("training", False):
        raise NotKnownError("with the statistics of each batch")
    names = {"mean": "running_mean", "var": "running_var", "scale": "weight", "shift": "bias"}
    vectors = {key: graph.value(o[name]) for key, name in names.items()}
    found = graph.builder.normalise(graph.label(node), graph.at(o["input"]), vectors, o["eps"])
    return several(node, found)


def _simple(op: str, graph, node, o) -> str:
    return graph.builder.op(graph.label(node), op, [graph.at(o["self"])])


def _gelu(graph, node, o) -> str:
    tanh = o["approximate"] == "tanh"
    return graph.builder.op(graph.label(node), "gelu", [graph.at(o["self"])], approximate=tanh)


def _softmax(graph, node, o) -> str:
    axis = inner_axis(graph, o["self"], o["dim"])
    return graph.builder.op(graph.label(node), "softmax", [graph.at(o["self"])], axis=axis)


def _passed(graph, node, o) -> str | list:
    """Dropout and copies: what goes in comes out."""
    if o.get("train"):
        raise NotKnownError("in training mode")
    source = o["input"] if "input" in o else o["self"]
    if "train" not in o:
        if graph.shape(source) != graph.shape(node):
            raise NotKnownError("to another shape")
        if source.meta["val"].is_floating_point() != node.meta["val"].is_floating_point():
            raise NotKnownError("to another kind of number")
    return several(node, graph.at(source))


def _arithmetic(op: str, graph, node, o) -> str:
    """Sums, differences, products and quotients of data with data or with constants."""
    first, second, build = o["self"], o["other"], graph.builder
    if op == "rsub":
        first, second, op = second, first, "sub"
    if o.get("alpha", 1) != 1 or o.get("rounding_mode") is not None:
        raise NotKnownError("with a factor or rounding")
    shape, label = graph.shape(node), graph.label(node)
    is_data = [isinstance(graph.value(x), str) for x in (first, second)]
    if all(is_data):
        if op != "add":
            raise NotKnownError("of two computed values")
        pair = (first, second)
        return build.add(label, [graph.at(x) for x in pair], [graph.shape(x) for x in pair])
    data, other = (first, second) if is_data[0] else (second, first)
    at, constant = graph.at(data), graph.value(other)
    if graph.shape(data) != shape:
        raise NotKnownError("with a constant that repeats the data")
    if op == "add":
        return build.shift(label, at, constant, shape)
    if op == "mul":
        return build.scale(label, at, constant, shape)
    if op == "div":
        if not is_data[0]:
            raise NotKnownError("of a constant by data")
        return build.scale(label, at, constant, shape, power=-1)
    if is_data[0]:
        return build.shift(label, at, constant, shape, sign=-1)
    return build.shift(label, build.scale(label, at, -1.0, shape), constant, shape)


HANDLERS = (
    SHAPE_HANDLERS
    | dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _conv)
    | {f"conv_transpose{d}d": partial(_conv, turned=True) for d in (1, 2, 3)}
    | {name: partial(_simple, name) for name in ("relu", "tanh", "sigmoid")}
    | dict.fromkeys(SAME | {"dropout", "native_dropout", "feature_dropout"}, _passed)
    | {name: partial(_arithmetic, name) for name in ("add", "sub", "mul", "div", "rsub")}
    | dict.fromkeys(("matmul", "mm"), _matmul)
    | dict.fromkeys(("softmax", "_softmax"), _softmax)
    | dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm)
    | {"linear": _linear, "addmm": _addmm, "embedding": _embedding, "gelu": _gelu}
)
