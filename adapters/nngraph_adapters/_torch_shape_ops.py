"""Aten ops that move, cut, pad or pool, in nngraph's terms; see ``_torch_ops.py``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ._builder import NotKnownError

# Ops that move the entries of a tensor and compute nothing, for parameters and data alike.
SAME = {"clone", "contiguous", "detach", "alias", "lift_fresh_copy", "_to_copy", "to", "expand"}
RESHAPES = {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"}


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


def several(node, found: str) -> str | list:
    """The first of several results where the op gives several, of which only one counts here."""
    values = node.meta["val"]
    many = isinstance(values, (tuple, list))
    return [found, *[None] * (len(values) - 1)] if many else found


def inner_axis(graph, node, axis: int) -> int:
    """An axis from the front; NotKnownError for that of the examples."""
    axis = axis % len(graph.shape(node))
    if axis == 0:
        raise NotKnownError("across examples")
    return axis


def _pool(op: str, graph, node, o) -> str | list:
    dims = int(op[-2])
    if len(graph.shape(o["self"])) != dims + 2:
        raise NotKnownError("without an axis of examples")
    if o.get("divisor_override") is not None:
        raise NotKnownError("with a divisor of its own")
    each = lambda value: tuple(value) * (dims if len(value) == 1 else 1)  # noqa: E731
    kernel = each(o["kernel_size"])
    options = {
        "kernel": kernel, "stride": each(o["stride"]) or kernel, "padding": each(o["padding"]),
        "ceil": bool(o["ceil_mode"]),
    }  # fmt: skip
    if "dilation" in o:
        options["dilation"] = each(o["dilation"])
    else:
        options["count_padding"] = bool(o["count_include_pad"])
    at = graph.at(o["self"])
    return several(node, graph.builder.op(graph.label(node), op[:-2], [at], **options))


def _adaptive(op: str, graph, node, o) -> str | list:
    """To one place: the mean over space; to a divisor of it: windows side by side."""
    before = graph.shape(o["self"])[2:]
    value = node.meta["val"]
    after = tuple((value[0] if isinstance(value, (tuple, list)) else value).shape)[2:]
    if not before or any(n % m for n, m in zip(before, after, strict=True)):
        raise NotKnownError(f"from {before} to {after}, in windows of unequal size")
    at, label = graph.at(o["self"]), graph.label(node)
    if op == "avg_pool" and set(after) == {1}:
        return graph.builder.op(label, "global_avg_pool", [at], keepdims=True)
    kernel = tuple(n // m for n, m in zip(before, after, strict=True))
    return several(node, graph.builder.op(label, op, [at], kernel=kernel, stride=kernel))


def _mean(graph, node, o) -> str:
    rank = len(graph.shape(o["self"]))
    axes = sorted(axis % rank for axis in o.get("dim") or ())
    if rank < 3 or axes != list(range(2, rank)):
        raise NotKnownError("over other axes than all of space")
    at, keep = graph.at(o["self"]), bool(o["keepdim"])
    return graph.builder.op(graph.label(node), "global_avg_pool", [at], keepdims=keep)


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
    flat, rank = list(o["pad"]), len(graph.shape(node))
    pairs = [tuple(flat[k : k + 2]) for k in range(0, len(flat), 2)][::-1]  # torch: last axis first
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if pairs[0] != (0, 0) or any(n < 0 for pair in pairs for n in pair):
        raise NotKnownError("that cuts, or pads the examples")
    at, value = graph.at(o["self"]), float(o.get("value") or 0)
    return graph.builder.op(graph.label(node), "pad", [at], pads=tuple(pairs[1:]), value=value)


def _slice(graph, node, o) -> str:
    axis = o["dim"] % len(graph.shape(node))
    n, at = graph.shape(o["self"])[axis], graph.at(o["self"])
    start, stop, step = slice(o["start"], o["end"], o["step"]).indices(n)
    if (start, stop, step) == (0, n, 1):
        return at
    axis = inner_axis(graph, node, axis)
    return graph.builder.op(node.name, "slice", [at], axis=axis, start=start, stop=stop, step=step)


def _select(graph, node, o) -> str:
    axis = inner_axis(graph, o["self"], o["dim"])
    index = o["index"] % graph.shape(o["self"])[axis]
    cut = {"axis": axis, "start": index, "stop": index + 1, "step": 1}
    at = graph.builder.op(f"{node.name}.slice", "slice", [graph.at(o["self"])], **cut)
    return graph.builder.reshaped(node.name, at, None, graph.shape(node)[1:])


def _cat(graph, node, o) -> str:
    axis = inner_axis(graph, node, o["dim"])
    return graph.builder.op(node.name, "concat", [graph.at(x) for x in o["tensors"]], axis=axis)


_DIMS = (1, 2, 3)
SHAPE_HANDLERS = (
    {f"{op}{d}d": partial(_pool, f"{op}{d}d") for op in ("max_pool", "avg_pool") for d in _DIMS}
    | {f"max_pool{d}d_with_indices": partial(_pool, f"max_pool{d}d") for d in _DIMS}
    | {
        f"{lead}adaptive_{op}{d}d": partial(_adaptive, op)
        for lead in ("", "_") for op in ("max_pool", "avg_pool") for d in _DIMS
    }
    | dict.fromkeys(RESHAPES, _reshape)
    | {name: partial(_permute, name) for name in PERMUTATIONS}
    | dict.fromkeys(("pad", "constant_pad_nd"), _pad)
    | {"mean": _mean, "slice": _slice, "select": _select, "cat": _cat}
)  # fmt: skip
