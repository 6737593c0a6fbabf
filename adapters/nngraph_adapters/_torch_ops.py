"""What each aten op is in nngraph's terms: one small function per op.

A handler takes the graph, the node and its arguments by name, and returns the name of the wiring's
node that gives the result; it raises NotKnownError where nngraph has no exact counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ._builder import Constant, NotKnownError
from ._torch_values import layer_name, padding_pairs, transposed

# Ops that move the entries of a tensor and compute nothing, for parameters and data alike.
SAME = {
    "clone", "contiguous", "detach", "alias", "lift_fresh_copy", "_to_copy", "to", "type_as",
    "expand_as", "expand",
}  # fmt: skip
RESHAPES = {
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze",
    "view_copy", "ravel",
}  # fmt: skip


def _swap(options: Mapping, rank: int) -> tuple[int, ...]:
    axes = list(range(rank))
    a, b = (options["dim0"], options["dim1"]) if "dim0" in options else (0, rank - 1)
    axes[a], axes[b] = axes[b], axes[a]
    return tuple(axes)


PERMUTATIONS = {
    "permute": lambda options, rank: tuple(a % rank for a in options["dims"]),
    "transpose": _swap,
    "t": _swap,
    "numpy_T": lambda options, rank: tuple(range(rank))[::-1],
}


def _weights(graph, node, weight, at, moves, bias, bias_axis, **geometry) -> str:
    """A layer node, and a bias node where there is a bias."""
    constant, label = graph.value(weight), graph.label(node)
    if not isinstance(constant, Constant):
        raise NotKnownError("with a computed weight")
    name = None if constant.path is None else layer_name(constant.path)
    fresh = name is not None and name not in graph.builder.nodes
    found = graph.builder.layer(
        graph.at(at), constant, moves, node=name if fresh else label, name=name, **geometry
    )
    if bias is None:
        return found
    return graph.builder.bias(found, graph.value(bias), graph.shape(node)[bias_axis], bias_axis)


def _linear(graph, node, o) -> str:
    if len(graph.shape(o["weight"])) != 2:
        raise NotKnownError("with a weight of one axis")
    return _weights(graph, node, o["weight"], o["input"], lambda m: m, o["bias"], -1)


def _matmul(graph, node, o) -> str:
    first, second = o["self"], o.get("mat2", o.get("other"))
    if len(graph.shape(second)) != 2:
        raise NotKnownError("of a vector, or of many matrices")
    return _weights(graph, node, second, first, lambda m: m.transpose((1, 0)), None, -1)


def _addmm(graph, node, o) -> str:
    if o["beta"] != 1 or o["alpha"] != 1:
        raise NotKnownError("with factors")
    found = _matmul(graph, node, {"self": o["mat1"], "mat2": o["mat2"]})
    added, shape = graph.value(o["self"]), graph.shape(node)
    if isinstance(added, Constant):
        return graph.builder.bias(found, added, shape[-1], -1)
    return graph.builder.add(node.name, [found, graph.at(o["self"])], [shape, graph.shape(o["self"])])


def _conv(graph, node, o, *, turned: bool = False) -> str:
    turned = o.get("transposed", turned)
    weight = graph.value(o["weight"])
    if not isinstance(weight, Constant):
        raise NotKnownError("with a computed weight")
    kernel = weight.shape[2:]
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
        moves = partial(transposed, groups=groups)
    return _weights(graph, node, o["weight"], o["input"], moves, o["bias"], 1, **geometry)


def _embedding(graph, node, o) -> str:
    return _weights(
        graph, node, o["weight"], o["indices"], lambda m: m.transpose((1, 0)), None, -1,
        kind="embedding",
    )  # fmt: skip


def _batch_norm(graph, node, o) -> str | list:
    if o.get("training", False):
        raise NotKnownError("with the statistics of each batch")
    vectors = {
        "mean": o["running_mean"], "var": o["running_var"], "scale": o["weight"], "shift": o["bias"],
    }  # fmt: skip
    values = {key: graph.value(vector) for key, vector in vectors.items()}
    found = graph.builder.normalise(graph.label(node), graph.at(o["input"]), values, o["eps"])
    several = isinstance(node.meta["val"], (tuple, list))
    return [found, None, None] if several else found


def _simple(op: str, graph, node, o) -> str:
    return graph.builder.op(graph.label(node), op, [graph.at(o["self"])])


def _gelu(graph, node, o) -> str:
    tanh = o["approximate"] == "tanh"
    return graph.builder.op(graph.label(node), "gelu", [graph.at(o["self"])], approximate=tanh)


def _softmax(graph, node, o) -> str:
    axis = _axis(graph, o["self"], o["dim"])
    return graph.builder.op(graph.label(node), "softmax", [graph.at(o["self"])], axis=axis)


def _axis(graph, node, axis: int) -> int:
    """An axis from the front; NotKnownError for that of the examples."""
    axis = axis % len(graph.shape(node))
    if axis == 0:
        raise NotKnownError("across examples")
    return axis


def _passed(graph, node, o) -> str:
    """Dropout and copies: what goes in comes out."""
    if o.get("train") or o.get("training"):
        raise NotKnownError("in training mode")
    source = o["input"] if "input" in o else o["self"]
    if graph.shape(source) != graph.shape(node):
        raise NotKnownError("to another shape")
    if source.meta["val"].is_floating_point() != node.meta["val"].is_floating_point():
        raise NotKnownError("to another kind of number")
    return graph.at(source)


def _native_dropout(graph, node, o) -> list:
    if o["train"]:
        raise NotKnownError("in training mode")
    return [graph.at(o["input"]), None]


def _pool(op: str, graph, node, o) -> str | list:
    rank = len(graph.shape(o["self"]))
    if rank != len(o["kernel_size"]) + 2 and len(o["kernel_size"]) != 1:
        raise NotKnownError("without an axis of examples")
    fit = lambda value: tuple(value) * ((rank - 2) // max(len(value), 1))  # noqa: E731
    options = {"kernel": fit(o["kernel_size"]), "ceil": bool(o["ceil_mode"])}
    options["stride"] = fit(o["stride"]) if o["stride"] else options["kernel"]
    options["padding"] = fit(o["padding"])
    if op == "max_pool":
        options["dilation"] = fit(o["dilation"])
    else:
        if o.get("divisor_override") is not None:
            raise NotKnownError("with a divisor of its own")
        options["count_padding"] = bool(o["count_include_pad"])
    found = graph.builder.op(graph.label(node), op, [graph.at(o["self"])], **options)
    return [found, None] if isinstance(node.meta["val"], (tuple, list)) else found


def _adaptive(op: str, graph, node, o) -> str | list:
    """To one place: the whole of space; to a divisor of it: windows side by side."""
    space = graph.shape(o["self"])[2:]
    target = [n if m is None else m for n, m in zip(space, _full(o["output_size"], space), strict=True)]
    if len(target) != len(space) or any(n % m for n, m in zip(space, target, strict=True)):
        raise NotKnownError(f"from {space} to {tuple(target)}, which are windows of unequal size")
    at, label = graph.at(o["self"]), graph.label(node)
    if op == "avg_pool" and set(target) == {1}:
        return graph.builder.op(label, "global_avg_pool", [at], keepdims=True)
    kernel = tuple(n // m for n, m in zip(space, target, strict=True))
    found = graph.builder.op(label, op, [at], kernel=kernel, stride=kernel, padding=(0,) * len(kernel))
    return [found, None] if isinstance(node.meta["val"], (tuple, list)) else found


def _full(size, space):
    size = [size] if isinstance(size, int) else list(size)
    return size * len(space) if len(size) == 1 else size


def _mean(graph, node, o) -> str:
    rank = len(graph.shape(o["self"]))
    axes = sorted(axis % rank for axis in o.get("dim") or ())
    if rank < 3 or axes != list(range(2, rank)):
        raise NotKnownError("over other axes than all of space")
    at = graph.at(o["self"])
    return graph.builder.op(graph.label(node), "global_avg_pool", [at], keepdims=bool(o["keepdim"]))


def _reshape(graph, node, o) -> str:
    old, new = graph.shape(o["self"]), graph.shape(node)
    if old[:1] != new[:1] or old[0] != graph.n_examples or len(new) < 2:
        raise NotKnownError("that moves the axis of examples")
    return graph.builder.reshaped(graph.label(node), graph.at(o["self"]), old[1:], new[1:])


def _permute(op: str, graph, node, o) -> str:
    axes = PERMUTATIONS[op](o, len(graph.shape(node)))
    if axes[0] != 0:
        raise NotKnownError("that moves the axis of examples")
    return graph.builder.op(graph.label(node), "transpose", [graph.at(o["self"])], axes=axes)


def _pad(graph, node, o) -> str:
    if o.get("mode", "constant") != "constant":
        raise NotKnownError(f"of mode {o['mode']}")
    pads = list(o["pad"])
    pairs = [tuple(pads[k : k + 2]) for k in range(0, len(pads), 2)][::-1]  # last axis first in torch
    rank = len(graph.shape(node))
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if pairs[0] != (0, 0) or any(n < 0 for pair in pairs for n in pair):
        raise NotKnownError("that cuts, or pads the examples")
    at = graph.at(o["self"])
    value = float(o.get("value") or 0)
    return graph.builder.op(graph.label(node), "pad", [at], pads=tuple(pairs[1:]), value=value)


def _slice(graph, node, o) -> str:
    axis = o["dim"] % len(graph.shape(node))
    n = graph.shape(o["self"])[axis]
    start, stop, step = slice(o["start"], o["end"], o["step"]).indices(n)
    at = graph.at(o["self"])
    if (start, stop, step) == (0, n, 1):
        return at
    axis = _axis(graph, o["self"], axis)
    return graph.builder.op(node.name, "slice", [at], axis=axis, start=start, stop=stop, step=step)


def _select(graph, node, o) -> str:
    axis = _axis(graph, o["self"], o["dim"])
    index = o["index"] % graph.shape(o["self"])[axis]
    at = graph.builder.op(
        node.name, "slice", [graph.at(o["self"])], axis=axis, start=index, stop=index + 1, step=1
    )
    return graph.builder.reshaped(node.name, at, None, graph.shape(node)[1:])


def _cat(graph, node, o) -> str:
    axis = _axis(graph, node, o["dim"])
    return graph.builder.op(node.name, "concat", [graph.at(x) for x in o["tensors"]], axis=axis)


def _arithmetic(op: str, graph, node, o) -> str:
    """Sums, differences, products and quotients of data with data or with constants."""
    first, second, build = o["self"], o["other"], graph.builder
    if op == "rsub":
        first, second, op = second, first, "sub"
    if o.get("alpha", 1) != 1 or o.get("rounding_mode") is not None:
        raise NotKnownError("with a factor or rounding")
    shape, label = graph.shape(node), graph.label(node)
    is_data = [isinstance(graph.env.get(x) if hasattr(x, "op") else None, str) for x in (first, second)]
    if all(is_data):
        if op != "add":
            raise NotKnownError("of two computed values")
        pair = (first, second)
        return build.add(label, [graph.at(x) for x in pair], [graph.shape(x) for x in pair])
    data, other = (first, second) if is_data[0] else (second, first)
    at, constant = graph.at(data), graph.env[other] if hasattr(other, "op") else other
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
    dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _conv)
    | {f"conv_transpose{d}d": partial(_conv, turned=True) for d in (1, 2, 3)}
    | {name: partial(_simple, name) for name in ("relu", "tanh", "sigmoid")}
    | {f"{kind}_pool{d}d": partial(_pool, f"{kind}_pool") for kind in ("max", "avg") for d in (1, 2, 3)}
    | {f"max_pool{d}d_with_indices": partial(_pool, "max_pool") for d in (1, 2, 3)}
    | {
        f"{lead}adaptive_{kind}_pool{d}d": partial(_adaptive, f"{kind}_pool")
        for lead in ("", "_") for kind in ("max", "avg") for d in (1, 2, 3)
    }
    | dict.fromkeys(SAME | {"dropout", "feature_dropout", "alpha_dropout"}, _passed)
    | dict.fromkeys(RESHAPES, _reshape)
    | {name: partial(_permute, name) for name in PERMUTATIONS}
    | {name: partial(_arithmetic, name) for name in ("add", "sub", "mul", "div", "rsub")}
    | dict.fromkeys(("matmul", "mm"), _matmul)
    | dict.fromkeys(("softmax", "_softmax"), _softmax)
    | dict.fromkeys(("pad", "constant_pad_nd"), _pad)
    | dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm)
    | {
        "linear": _linear, "addmm": _addmm, "embedding": _embedding, "gelu": _gelu, "mean": _mean,
        "native_dropout": _native_dropout, "slice": _slice, "select": _select, "cat": _cat,
    }
)  # fmt: skip
