"""ONNX ops that move, cut, pad or pool, in nngraph's terms; see ``_onnx_ops.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod

from ._builder import Constant, NotKnownError, Value, opaque
from ._moves import NotExactError
from ._onnx_files import node_label

_END = 2**31 - 1  # as exporters write "to the end"
Pairs = tuple[tuple[int, int], ...]


def window_padding(graph, node, a, window) -> Pairs:
    """The padding of a (kernel, stride, dilation) window, ``auto_pad`` resolved, in pairs."""
    kernel, stride, dilation = window
    auto = a.get("auto_pad", b"NOTSET").decode()
    if auto == "VALID":
        return ((0, 0),) * len(kernel)
    if not auto.startswith("SAME"):
        return _pairs(a.get("pads"), len(kernel))
    sizes = (graph.shape(node) or (None,) * (len(kernel) + 2))[2:]
    totals = []
    for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        if s > 1 and n is None:
            raise NotKnownError("with automatic padding for a size that is not known")
        reach = (k - 1) * d + 1
        totals.append(reach - 1 if s == 1 else max((-(-n // s) - 1) * s + reach - n, 0))
    return _halves(totals, upper=auto == "SAME_UPPER")


def transposed_padding(graph, node, a, window, extra) -> Pairs:
    """What a transposed convolution cuts off its output, in pairs."""
    kernel, stride, dilation = window
    auto = a.get("auto_pad", b"NOTSET").decode()
    wanted = a.get("output_shape")
    if not wanted and not auto.startswith("SAME"):
        return _pairs(None if auto == "VALID" else a.get("pads"), len(kernel))
    sizes = (graph.shape(node) or (None,) * (len(kernel) + 2))[2:]
    totals = []
    for axis, (n, k, s, d, e) in enumerate(
        zip(sizes, kernel, stride, dilation, extra, strict=True)
    ):
        total = (k - 1) * d + 1 + e - s  # beyond n * s, which is what SAME asks for
        if wanted:
            if n is None:
                raise NotKnownError("with an output shape, for a size that is not known")
            total += n * s - wanted[len(wanted) - len(kernel) + axis]
        totals.append(total)
    return _halves(totals, upper=auto == "SAME_UPPER")


def _halves(totals: Sequence[int], *, upper: bool) -> Pairs:
    if any(total < 0 for total in totals):
        raise NotKnownError("with negative padding")
    small = [(total // 2, total - total // 2) for total in totals]
    return tuple(pair if upper else pair[::-1] for pair in small)


def _pairs(pads, dims: int) -> Pairs:
    """ONNX's padding, all lows and then all highs, as pairs."""
    flat = [int(n) for n in pads] if pads is not None and len(pads) else [0] * (2 * dims)
    if min(flat, default=0) < 0:
        raise NotKnownError("with negative padding")
    return tuple(zip(flat[:dims], flat[dims:], strict=True))


def _pool(op: str, graph, node, a) -> list:
    kernel = tuple(a["kernel_shape"])
    stride = tuple(a.get("strides") or (1,) * len(kernel))
    dilation = tuple(a.get("dilations") or (1,) * len(kernel))
    padding = window_padding(graph, node, a, (kernel, stride, dilation))
    options = {"kernel": kernel, "stride": stride, "padding": padding}
    options["ceil"] = bool(a.get("ceil_mode", 0))
    if op == "max_pool":
        options["dilation"] = dilation
    elif set(dilation) != {1}:
        raise NotKnownError("with dilation")
    else:
        options["count_padding"] = bool(a.get("count_include_pad", 0))
    found = graph.builder.op(node_label(node), op, [graph.at(node)], **options)
    return [found, *[None] * (len(node.output) - 1)]


def _global_pool(graph, node, a) -> str:
    at, label = graph.at(node), node_label(node)
    if node.op_type == "GlobalAveragePool":
        return graph.builder.op(label, "global_avg_pool", [at], keepdims=True)
    kernel = (graph.shape(node) or (None,) * 3)[2:]
    if None in kernel:
        raise NotKnownError("of a size that is not known")
    return graph.builder.op(label, "max_pool", [at], kernel=kernel, stride=kernel)


def _reduce_mean(graph, node, a) -> str:
    rank, axes = graph.rank(node), graph.numbers(node, 1)
    axes = a.get("axes") if axes is None else axes.reshape(-1)
    axes = sorted(int(axis) % rank for axis in axes) if axes is not None else []
    if rank < 3 or axes != list(range(2, rank)):
        raise NotKnownError("over other axes than all of space")
    keep = bool(a.get("keepdims", 1))
    return graph.builder.op(node_label(node), "global_avg_pool", [graph.at(node)], keepdims=keep)


def _moved(value: Constant, change) -> Constant:
    """A constant after a move of its entries; opaque where no stride can say it."""
    if value.moves is None:
        return opaque([value])
    try:
        return replace(value, moves=change(value.moves))
    except NotExactError:
        return opaque([value])


def _whole(shape: Sequence[int], old: Sequence[int], zero_copies: bool) -> list[int]:
    """A target shape with 0 (as it was) and -1 (what is left) resolved."""
    shape = [int(n) for n in shape]
    if zero_copies:
        shape = [old[k] if n == 0 and k < len(old) else n for k, n in enumerate(shape)]
    if -1 in shape:
        rest = -prod(shape)
        if rest <= 0 or prod(old) % rest:
            raise NotKnownError("to a shape that does not fit")
        shape[shape.index(-1)] = prod(old) // rest
    return shape


def _reshape(graph, node, a) -> Value:
    value, zero_copies = graph.value(node, 0), not a.get("allowzero", 0)
    target = a.get("shape")  # an attribute before operator set 5
    if target is None and isinstance(graph.value(node, 1), Constant):
        target = graph.numbers(node, 1)
    if isinstance(value, Constant):
        if target is None:
            raise NotKnownError("to a computed shape")
        shape = _whole(target, value.shape, zero_copies)
        return _moved(value, lambda moves: moves.reshape(shape))
    old, new = graph.shape(node), graph.result_shape(node)
    if not _known(old) or not _known(new):
        new = _by_target(graph, old, target, zero_copies)
    elif prod(old[1:]) != prod(new[1:]):
        raise NotKnownError("that moves the axis of examples")
    return graph.builder.reshaped(
        node_label(node), graph.at(node), old[1:] if _known(old) else None, new[1:]
    )


def _known(shape) -> bool:
    return shape is not None and len(shape) > 1 and None not in shape[1:]


def _by_target(graph, old, target, zero_copies: bool) -> list[int]:
    """The new shape where sizes are not known, if it keeps the axis of examples for sure."""
    target = None if target is None else [int(n) for n in target]
    if not target or len(target) < 2:
        raise NotKnownError("to a shape that is not known")
    if not (target[0] == 0 and zero_copies) and (graph.n_examples or -2) != target[0]:
        raise NotKnownError("that may move the axis of examples")
    for k, n in enumerate(target[1:], 1):
        if n == 0 and zero_copies:
            target[k] = old[k] if old is not None and k < len(old) else None
    if None in target:
        raise NotKnownError("to a shape that is not known")
    return target


def _inserted(graph, node, a) -> Value:
    """Squeeze and Unsqueeze: axes of one come or go."""
    value = graph.value(node, 0)
    if isinstance(value, Constant):
        axes = graph.numbers(node, 1)
        axes = a.get("axes") if axes is None else axes.reshape(-1)
        shape = _with_axes(list(value.shape), axes, insert=node.op_type == "Unsqueeze")
        return _moved(value, lambda moves: moves.reshape(shape))
    return _reshape(graph, node, {"shape": ()})


def _with_axes(shape: list[int], axes, *, insert: bool) -> list[int]:
    if not insert:
        drop = range(len(shape)) if axes is None else {int(x) % len(shape) for x in axes}
        return [n for k, n in enumerate(shape) if k not in drop or n != 1]
    rank = len(shape) + len(axes)
    for axis in sorted(int(x) % rank for x in axes):
        shape.insert(axis, 1)
    return shape


def _flatten(graph, node, a) -> Value:
    value, axis = graph.value(node, 0), a.get("axis", 1)
    if isinstance(value, Constant):
        axis = axis + len(value.shape) if axis < 0 else axis
        shape = (prod(value.shape[:axis]), prod(value.shape[axis:]))
        return _moved(value, lambda moves: moves.reshape(shape))
    rank = len(graph.shape(node) or ())
    if axis != 1 and (not rank or axis % rank != 1):
        raise NotKnownError("that joins examples")
    return graph.at(node) if rank == 2 else (
        graph.builder.op(node_label(node), "flatten", [graph.at(node)], start=1)
    )


def _transpose(graph, node, a) -> Value:
    value = graph.value(node, 0)
    if isinstance(value, Constant):
        axes = tuple(a.get("perm") or range(len(value.shape))[::-1])
        return _moved(value, lambda moves: moves.transpose(axes))
    axes = tuple(a.get("perm") or range(graph.rank(node))[::-1])
    if axes[0] != 0:
        raise NotKnownError("that moves the axis of examples")
    return graph.builder.op(node_label(node), "transpose", [graph.at(node)], axes=axes)


def _pad(graph, node, a) -> str:
    if a.get("mode", b"constant") != b"constant":
        raise NotKnownError(f"of mode {a['mode'].decode()}")
    flat, value, axes = (graph.numbers(node, k) for k in (1, 2, 3))
    flat = a.get("pads", a.get("paddings")) if flat is None else flat.reshape(-1)
    if flat is None:
        raise NotKnownError("without widths")
    given = _pairs(flat, len(flat) // 2)
    rank = len(given) if axes is None else graph.rank(node)
    axes = range(rank) if axes is None else [int(x) % rank for x in axes]
    pads = [(0, 0)] * rank
    for axis, pair in zip(axes, given, strict=True):
        pads[axis] = pair
    if pads[0] != (0, 0):
        raise NotKnownError("that adds examples")
    fill = float(a.get("value", 0.0) if value is None else value.reshape(()))
    return graph.builder.op(
        node_label(node), "pad", [graph.at(node)], pads=tuple(pads[1:]), value=fill
    )


def _slice(graph, node, a) -> str:
    at, shape = graph.at(node), graph.shape(node)
    if len(node.input) > 1:
        starts, ends, axes, steps = (graph.numbers(node, k) for k in (1, 2, 3, 4))
    else:
        starts, ends, axes, steps = a["starts"], a["ends"], a.get("axes"), None
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for cut in zip(axes, starts, ends, steps, strict=True):
        axis, start, stop, step = (int(n) for n in cut)
        axis = axis % graph.rank(node) if axis < 0 else axis
        n = shape[axis] if shape is not None else None
        stop = None if stop >= _END else stop
        if step < 1:
            raise NotKnownError("backwards")
        if n is not None:
            start, stop, step = slice(start, stop, step).indices(n)
        if (start, stop, step) in ((0, None, 1), (0, n, 1)):
            continue
        if axis == 0:
            raise NotKnownError("of examples")
        at = graph.builder.op(
            node_label(node), "slice", [at], axis=axis, start=start, stop=stop, step=step
        )
    return at


def _concat(graph, node, a) -> str:
    axis = a["axis"] % graph.rank(node) if a["axis"] < 0 else a["axis"]
    if axis == 0:
        raise NotKnownError("of examples")
    at = [graph.at(node, k) for k in range(len(node.input))]
    return at[0] if len(at) == 1 else (
        graph.builder.op(node_label(node), "concat", at, axis=axis)
    )


SHAPE_HANDLERS = {
    "MaxPool": partial(_pool, "max_pool"), "AveragePool": partial(_pool, "avg_pool"),
    "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool, "ReduceMean": _reduce_mean,
    "Reshape": _reshape, "Squeeze": _inserted, "Unsqueeze": _inserted, "Flatten": _flatten,
    "Transpose": _transpose, "Pad": _pad, "Slice": _slice, "Concat": _concat,
}  # fmt: skip
