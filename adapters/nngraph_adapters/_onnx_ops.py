"""ONNX ops with weights, and arithmetic, in nngraph's terms: one small function per op.

A handler takes the graph, the node and its attributes, and returns the name of the wiring's node
that gives the result, or a constant (a list where the op gives several); it raises NotKnownError
where nngraph has no exact counterpart.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ._builder import Constant, NotKnownError, Value
from ._moves import Moves
from ._onnx_files import node_label, onnx_module, type_name
from ._onnx_shape_ops import SHAPE_HANDLERS, transposed_padding, window_padding


def _conv(graph, node, a, *, turned: bool = False) -> str:
    weight = graph.weight(node, 1)
    kernel, groups = weight.shape[2:], a.get("group", 1)
    stride = tuple(a.get("strides") or (1,) * len(kernel))
    dilation = tuple(a.get("dilations") or (1,) * len(kernel))
    geometry = {"stride": stride, "dilation": dilation, "groups": groups, "kind": "conv"}
    window = kernel, stride, dilation
    moves = lambda m: m  # noqa: E731
    if turned:
        extra = tuple(a.get("output_padding") or (0,) * len(kernel))
        padding = transposed_padding(graph, node, a, window, extra)
        geometry |= {"transposed": True, "output_padding": extra, "padding": padding}
        moves = lambda m: m.transposed_conv(groups)  # noqa: E731
    else:
        geometry["padding"] = window_padding(graph, node, a, window)
    found = graph.builder.layer(
        graph.at(node), weight, moves, node=node_label(node), **geometry
    )
    bias = graph.value(node, 2)
    n_out = weight.shape[1] * groups if turned else weight.shape[0]
    return found if bias is None else graph.builder.bias(found, bias, n_out, 1)


def _matmul(graph, node, a) -> str:
    weight = graph.weight(node, 1)
    if len(weight.shape) != 2:
        raise NotKnownError("of a vector, or of many matrices")
    turn = lambda m: m.transpose((1, 0))  # noqa: E731
    return graph.builder.layer(graph.at(node), weight, turn, node=node_label(node))


def _gemm(graph, node, a) -> str:
    weight, added = graph.weight(node, 1), graph.value(node, 2)
    if a.get("transA", 0):
        raise NotKnownError("of transposed data")
    straight = bool(a.get("transB", 0))
    moves = lambda m: m if straight else m.transpose((1, 0))  # noqa: E731
    label, alpha, beta = node_label(node), a.get("alpha", 1.0), a.get("beta", 1.0)
    found = graph.builder.layer(graph.at(node), weight, moves, node=label)
    if alpha != 1:
        found = graph.builder.scale(f"{label}.alpha", found, alpha, (None, None))
    if added is None or beta == 0:
        return found
    if not isinstance(added, Constant):
        raise NotKnownError("with a computed bias")
    if beta != 1:
        added = Constant(added.value() * np.float32(beta), roots=added.roots)
    return graph.builder.bias(found, added, weight.shape[0 if straight else 1], -1)


def _gather(graph, node, a) -> str:
    weight = graph.weight(node, 0)
    if len(weight.shape) != 2 or a.get("axis", 0) != 0:
        raise NotKnownError("that is no embedding")
    turn = lambda m: m.transpose((1, 0))  # noqa: E731
    return graph.builder.layer(
        graph.at(node, 1), weight, turn, node=node_label(node), kind="embedding"
    )


def _batch_norm(graph, node, a) -> list:
    if a.get("training_mode", 0) or not a.get("spatial", 1):
        raise NotKnownError("with the statistics of each batch, or for each place")
    names = ("scale", "shift", "mean", "var")
    vectors = {name: graph.value(node, k) for k, name in enumerate(names, 1)}
    eps = a.get("epsilon", 1e-5)
    found = graph.builder.normalise(node_label(node), graph.at(node), vectors, eps)
    return [found, *[None] * (len(node.output) - 1)]


def _simple(op: str, graph, node, a) -> str:
    return graph.builder.op(node_label(node), op, [graph.at(node)])


def _gelu(graph, node, a) -> str:
    tanh = a.get("approximate", b"none") == b"tanh"
    return graph.builder.op(node_label(node), "gelu", [graph.at(node)], approximate=tanh)


def _softmax(graph, node, a) -> str:
    at, axis = graph.at(node), a.get("axis", -1 if graph.opset >= 13 else 1)
    if axis != -1:
        rank = graph.rank(node)
        axis %= rank
        if axis == 0 or (graph.opset < 13 and axis != rank - 1):  # once it joined all axes behind
            raise NotKnownError("over several axes, or across examples")
    return graph.builder.op(node_label(node), "softmax", [at], axis=axis)


def _passed(graph, node, a) -> list:
    """Identity and dropout, of data or of constants."""
    training = graph.numbers(node, 2) if node.op_type == "Dropout" else None
    if training is not None and training.any():
        raise NotKnownError("in training mode")
    return [graph.value(node, 0), *[None] * (len(node.output) - 1)]


def _cast(graph, node, a) -> Value:
    value, target = graph.value(node, 0), type_name(a["to"])
    if "float" not in target:
        raise NotKnownError(f"to {target}")
    if not isinstance(value, Constant) or value.array is None:
        return value
    if target in ("float32", "float64") and value.source_dtype not in (None, "float64"):
        return value  # exact, and it stays in its file
    dtype = onnx_module().helper.tensor_dtype_to_np_dtype(a["to"])
    array = value.array if isinstance(value.array, np.ndarray) else value.array.read()
    return replace(value, array=array.astype(dtype))


def _dequantize(graph, node, a) -> Constant:
    """A quantised weight: (q - zero point) * scale, which is 0 where q is the zero point."""
    q, scale = graph.value(node, 0), graph.numbers(node, 1)
    if not isinstance(q, Constant) or q.path is None or q.moves != Moves.of(q.shape) or (
        q.source_dtype not in ("int8", "uint8", "int16", "uint16", "int32") or a.get("block_size")
    ):
        raise NotKnownError("of data, or in blocks")
    zero = graph.numbers(node, 2)
    zero = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    if scale.size > 1:
        axis = a.get("axis", 1) % len(q.shape)
        if scale.shape != (q.shape[axis],):
            raise NotKnownError("in blocks")
        scale, zero = (x.reshape(-1, *[1] * (len(q.shape) - axis - 1)) for x in (scale, zero))
    codes = q.value().astype(np.int64)
    for k in (1, 2):
        if isinstance(other := graph.value(node, k), Constant):
            graph.builder.note(other, "scale or zero point of a quantised weight")
    graph.zeros[q.path] = np.broadcast_to(zero, q.shape)
    graph.builder.roles.pop(q.path, None)
    return replace(q, array=((codes - zero) * scale).astype(np.float32))


def _constant(graph, node, a) -> Constant:
    path = graph.prefix + node.output[0]
    if path in graph.constants:
        return graph.constants[path]
    if "value" in a:  # of a local function
        return Constant(onnx_module().numpy_helper.to_array(a["value"]))
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if key in a:
            return Constant(np.array(a[key], dtype))
    raise NotKnownError("of text, or sparse")


def _arithmetic(op: str, graph, node, a) -> str:
    """Sums, differences, products and quotients of data with data or with constants."""
    first, second = graph.value(node, 0), graph.value(node, 1)
    build, label = graph.builder, node_label(node)
    if a.get("broadcast") or a.get("axis") is not None:
        raise NotKnownError("with the broadcasting of operator set 6")
    if isinstance(first, str) and isinstance(second, str):
        if op != "add":
            raise NotKnownError("of two computed values")
        return build.add(label, [first, second], [graph.shape(node, k) for k in (0, 1)])
    k = 0 if isinstance(first, str) else 1
    at, constant, shape = graph.at(node, k), (second, first)[k], graph.shape(node, k)
    if op == "add":
        return build.shift(label, at, constant, shape)
    if op == "mul":
        return build.scale(label, at, constant, shape)
    if op == "div":
        if k:
            raise NotKnownError("of a constant by data")
        return build.scale(label, at, constant, shape, power=-1)
    if not k:
        return build.shift(label, at, constant, shape, sign=-1)
    return build.shift(label, build.scale(f"{label}.negative", at, -1.0, shape), constant, shape)


def _sum(graph, node, a) -> str:
    at = [graph.at(node, k) for k in range(len(node.input))]
    if len(at) == 1:
        return at[0]
    return graph.builder.add(node_label(node), at, [graph.shape(node, k) for k in range(len(at))])


HANDLERS = (
    SHAPE_HANDLERS
    | {"Conv": _conv, "ConvTranspose": partial(_conv, turned=True)}
    | {"MatMul": _matmul, "Gemm": _gemm, "Gather": _gather, "BatchNormalization": _batch_norm}
    | {name: partial(_simple, name.lower()) for name in ("Relu", "Tanh", "Sigmoid")}
    | {"Gelu": _gelu, "Softmax": _softmax, "Identity": _passed, "Dropout": _passed, "Cast": _cast}
    | {"DequantizeLinear": _dequantize, "Constant": _constant, "Sum": _sum}
    | {name: partial(_arithmetic, name.lower()) for name in ("Add", "Sub", "Mul", "Div")}
)
