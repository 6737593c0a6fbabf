"""Labels: which vertices stand behind each number of a value, carried through the ops.

Labels are an array of the value's shape that holds, in place of each number, the vertex that it
comes from (-1: none, as in padding). The first axis, where data count examples, counts alternatives
after an add or a pooling window. So most ops act on labels as they act on numbers. In the kernel
and channel views a channel is one vertex wherever it is in space: there, spatial axes are *spread*,
kept at extent 1, and only repeated where a flatten needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ._errors import ChainError
from ._ops import ELEMENTWISE, apply_op, inner_axis, pad_widths, slice_of, unsupported
from ._windows import pool_views
from .network import Node

NEEDS_SHAPE = (
    "where the shape of one example decides, pass input_shape=(channels, height, width) or begin "
    'the chain with {"input": [channels, height, width]}'
)


@dataclass(frozen=True)
class Labels:
    """The vertices behind a value.

    Parameters
    ----------
    ids : ndarray of int, shape (alternatives, ...)
        -1: none.
    spread : tuple of bool
        One per axis of `ids`: it has extent 1 in place of its own.
    flat : bool
        All axes are one axis, flattened while their extents were not known.
    """

    ids: np.ndarray
    spread: tuple[bool, ...]
    flat: bool = False

    @classmethod
    def begin(cls, ids: np.ndarray, spread: Sequence[bool] | None = None) -> Labels:
        """Labels of one alternative; `spread` tells the axes of `ids`, by default none."""
        return cls(ids[None], (False, *(spread or (False,) * ids.ndim)))

    def at_axis(self, axis: int, n: int) -> np.ndarray:
        """All labels at each of the `n` places along an axis, shape (alternatives, n)."""
        ids = np.moveaxis(self.ids, axis, -1)
        if self.spread[axis]:
            ids = np.broadcast_to(ids, (*ids.shape[:-1], n))
        return ids.reshape(-1, ids.shape[-1])

    def unflattened(self, n: int) -> np.ndarray:
        """The same for `flat` labels, whose lost extents follow from `n`."""
        spread, known = self.spread[1:], prod(self.ids.shape[1:])
        ids, times = self.ids.reshape(len(self.ids), known), n // known
        kept = [a for a, wide in enumerate(spread) if not wide]
        if times == 1 or not any(spread[: kept[-1]]):
            return np.repeat(ids, times, axis=1)
        if not any(spread[kept[0] :]):
            return np.tile(ids, times)
        raise ChainError(NEEDS_SHAPE)

    def full(self, axes: Sequence[int], shape: tuple[int, ...] | None) -> Labels:
        """The same with `axes` no longer spread, for a value of which one example has `shape`."""
        if not any(self.spread[a] for a in axes):
            return self
        if shape is None:
            raise ChainError(NEEDS_SHAPE)
        extents, spread = list(self.ids.shape), list(self.spread)
        for a in axes:
            extents[a], spread[a] = shape[a - 1], False
        return replace(self, ids=np.broadcast_to(self.ids, extents), spread=tuple(spread))


def through(node: Node, values: Sequence[Labels], shapes: Sequence) -> Labels:
    """Labels of what a node gives, which is no layer, from labels of what it reads.

    Parameters
    ----------
    node : Node
    values : sequence of Labels
    shapes : sequence of (tuple of int or None)
        Shape of one example of each, where it is known.

    Raises
    ------
    ChainError
        Labels that do not fit, or a shape that would have to be known.
    UnsupportedOpError
        An op through which labels cannot be carried.
    """
    first = values[0]
    if node.op in ELEMENTWISE or (node.op == "flatten" and first.flat):
        return first
    if node.op == "add":
        return _distinct(_add(values))
    if node.op not in _OPS and node.op != "concat":
        raise unsupported(node)
    if any(labels.flat for labels in values):
        raise ChainError(NEEDS_SHAPE)
    if node.op == "concat":
        return _distinct(_concat(node, values, shapes))
    return _distinct(_OPS[node.op](node, first, shapes[0]))


def _distinct(labels: Labels) -> Labels:
    """The same without repetitions: else each add of a value to itself would double the work."""
    if len(labels.ids) == 1:
        return labels
    ids = np.sort(labels.ids, axis=0)
    ids[1:][ids[1:] == ids[:-1]] = -1
    ids = np.sort(ids, axis=0)[::-1]
    used = (ids >= 0).reshape(len(ids), -1).any(axis=1)  # the first ones, after this order
    return replace(labels, ids=ids[: max(1, np.count_nonzero(used))])


def _pool(node: Node, labels: Labels, shape) -> Labels:
    if any(labels.spread[2:]):
        return _anywhere(labels)
    return replace(labels, ids=np.concatenate(list(pool_views(labels.ids, node.options, -1))))


def _anywhere(labels: Labels) -> Labels:
    """Labels that do not tell positions apart: at each position those of all."""
    ids = np.moveaxis(labels.ids, 1, -1)
    ids = ids.reshape(-1, ids.shape[-1], *[1] * (ids.ndim - 2))
    return Labels(ids, (False, labels.spread[1], *[True] * (ids.ndim - 2)))


def _global_avg_pool(node: Node, labels: Labels, shape) -> Labels:
    ids = _anywhere(labels).ids
    if not node.options.get("keepdims"):
        ids = ids.reshape(ids.shape[:2])
    return Labels(ids, (False, labels.spread[1], *[False] * (ids.ndim - 2)))


def _flatten(node: Node, labels: Labels, shape) -> Labels:
    start = inner_axis(node.options.get("start", 1), labels.ids.ndim)
    axes = range(start, labels.ids.ndim)
    if shape is None and start == 1 and len(axes) > 1 and any(labels.spread):
        return replace(labels, flat=True)
    ids = apply_op(node, [labels.full(axes, shape).ids])
    return Labels(ids, (*labels.spread[:start], False))


def _reshape(node: Node, labels: Labels, shape) -> Labels:
    ids = apply_op(node, [labels.full(range(1, labels.ids.ndim), shape).ids])
    return Labels(ids, (False,) * ids.ndim)


def _transpose(node: Node, labels: Labels, shape) -> Labels:
    ids = apply_op(node, [labels.ids])
    return Labels(ids, tuple(labels.spread[int(a)] for a in node.options["axes"]))


def _pad(node: Node, labels: Labels, shape) -> Labels:
    widths = pad_widths(node.options, labels.ids.ndim)
    kept = [(0, 0) if wide else w for wide, w in zip(labels.spread, widths, strict=True)]
    return replace(labels, ids=np.pad(labels.ids, kept, constant_values=-1))


def _slice(node: Node, labels: Labels, shape) -> Labels:
    axis, _ = slice_of(node.options, labels.ids.ndim)
    return labels if labels.spread[axis] else replace(labels, ids=apply_op(node, [labels.ids]))


_OPS: Mapping[str, Callable[[Node, Labels, tuple[int, ...] | None], Labels]] = {
    "max_pool": _pool,
    "avg_pool": _pool,
    "global_avg_pool": _global_avg_pool,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": _pad,
    "slice": _slice,
}


def _stretched(values: Sequence[Labels], axis: int | None = None) -> list[np.ndarray]:
    """The ids of all values with their extents made equal, except along `axis`."""
    shapes = [labels.ids.shape[1:] for labels in values]
    if len(set(map(len, shapes))) > 1:
        raise ChainError(f"examples of {' and '.join(str(len(s)) for s in shapes)} axes do not fit")
    extents = [max(sizes) for sizes in zip(*shapes, strict=True)]
    found = []
    for labels, shape in zip(values, shapes, strict=True):
        wanted = [n if a + 1 == axis else extents[a] for a, n in enumerate(shape)]
        if any(n not in (1, want) for n, want in zip(shape, wanted, strict=True)):
            raise ChainError(f"they give {' and '.join(str(s[0]) for s in shapes)} outputs")
        found.append(np.broadcast_to(labels.ids, (len(labels.ids), *wanted)))
    return found


def _spread(values: Sequence[Labels]) -> tuple[bool, ...]:
    """An axis stays spread where it is in all values."""
    return tuple(all(wide) for wide in zip(*(labels.spread for labels in values), strict=True))


def _add(values: Sequence[Labels]) -> Labels:
    if len({labels.flat for labels in values}) > 1:
        raise ChainError(NEEDS_SHAPE)
    return Labels(np.concatenate(_stretched(values)), _spread(values), values[0].flat)


def _concat(node: Node, values: Sequence[Labels], shapes: Sequence) -> Labels:
    axis = inner_axis(node.options.get("axis", 1), values[0].ids.ndim)
    if all(labels.spread[axis] for labels in values):
        return _add(values)  # the same vertices, at more places
    values = [labels.full([axis], shape) for labels, shape in zip(values, shapes, strict=True)]
    parts = _stretched(values, axis)
    depth = max(map(len, parts))
    parts = [
        np.pad(ids, [(0, depth - len(ids))] + [(0, 0)] * (ids.ndim - 1), constant_values=-1)
        for ids in parts
    ]
    return Labels(np.concatenate(parts, axis=axis), _spread(values))
