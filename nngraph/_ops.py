"""The ops between layers, on arrays whose first axis counts examples.

Defaults of the options: ``axis`` 1 for bias, batch_norm and concat, -1 for softmax; ``eps`` 1e-5;
pooling has ``stride`` = ``kernel``, ``padding`` 0, ``dilation`` 1, ``ceil`` False and
``count_padding`` True; global_avg_pool has ``keepdims`` False; flatten has ``start`` 1; ``pad`` has
``value`` 0; ``slice`` has those of Python. Axis 0 counts the examples, and no op may touch it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from ._errors import ChainError, UnsupportedOpError
from ._windows import avg_pool, max_pool
from .network import Node
from .stored import StoredArray


def apply_op(node: Node, values: Sequence[np.ndarray]) -> np.ndarray:
    """What a node that is neither a layer nor the input gives for the `values` it reads.

    Raises
    ------
    UnsupportedOpError
        An op that nngraph cannot evaluate, by name.
    ChainError
        Values or options that do not fit.
    """
    if node.op in _MANY:
        return _MANY[node.op](values, node.options)
    if node.op in _ONE:
        return _ONE[node.op](values[0], node.options)
    raise unsupported(node)


def unsupported(node: Node) -> UnsupportedOpError:
    """The error that names an op that cannot be evaluated or joined."""
    if node.op == "input":
        return UnsupportedOpError(f"node {node.name!r} is a second input; one is supported")
    kind = node.options.get("type", node.op)
    return UnsupportedOpError(
        f"node {node.name!r} is of the unsupported type {kind!r}: what it computes is not known, "
        "so data and paths cannot be followed through it; metrics of single layers still work"
    )


def inner_axis(axis: Any, ndim: int) -> int:
    """`axis` counted from the front; never that of the examples."""
    found = int(axis) + ndim if int(axis) < 0 else int(axis)
    if not 1 <= found < ndim:
        raise ChainError(
            f"axis {axis} is not among those of an example, 1 to {ndim - 1} (0 counts examples)"
        )
    return found


def _numbers(value, x: np.ndarray) -> np.ndarray:
    """An option's array in the type of `x`."""
    value = value.read() if isinstance(value, StoredArray) else value
    return np.asarray(value).astype(x.dtype if x.dtype.kind == "f" else np.float32)


def _along(value: np.ndarray, x: np.ndarray, axis) -> np.ndarray:
    """`value` with the axes that broadcast it along `axis` of `x`."""
    axis = inner_axis(axis, x.ndim)
    if value.shape != (x.shape[axis],):
        raise ChainError(f"{value.shape} values do not fit axis {axis} of shape {x.shape[1:]}")
    return value.reshape(-1, *[1] * (x.ndim - axis - 1))


def _bias(x, options):
    bias = _numbers(options["bias"], x)
    if bias.ndim == 1:
        return x + _along(bias, x, options.get("axis", 1))
    # A single number, or one of its own for each place of an example.
    if bias.ndim >= x.ndim or any(
        n not in (1, m) for n, m in zip(bias.shape[::-1], x.shape[:0:-1], strict=False)
    ):
        raise ChainError(f"a bias of shape {bias.shape} does not fit examples of {x.shape[1:]}")
    return x + bias


def _batch_norm(x, options):
    wide = np.empty(0)  # the few numbers per channel are combined in float64
    given = {
        key: _numbers(options[key], wide)
        for key in ("mean", "var", "scale", "shift")
        if options.get(key) is not None
    }
    factor = given.get("scale", 1.0)
    if "var" in given:
        spread = given["var"] + options.get("eps", 1e-5)
        if not (spread > 0).all():
            raise ChainError(f"a batch norm whose variance and eps add up to {spread.min():.6g}")
        factor = factor / np.sqrt(spread)
    offset = given.get("shift", 0.0) - given.get("mean", 0.0) * factor
    for number, step in ((factor, np.multiply), (offset, np.add)):
        number = _numbers(number, x)
        x = step(x, _along(number, x, options.get("axis", 1)) if number.ndim else number)
    return x


def _relu(x, options):
    return np.maximum(x, 0)


def _tanh(x, options):
    return np.tanh(x)


def _sigmoid(x, options):
    from scipy.special import expit

    return expit(x)


def _gelu(x, options):
    if options.get("approximate") in (True, "tanh"):
        with np.errstate(over="ignore"):  # of the cube, where tanh is 1 long since
            return 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x * sqrt(0.5)))


def _softmax(x, options):
    axis = inner_axis(options.get("axis", -1), x.ndim)
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _global_avg_pool(x, options):
    if x.ndim < 3:
        raise ChainError(f"there is no spatial axis in an example of shape {x.shape[1:]}")
    return x.mean(axis=tuple(range(2, x.ndim)), keepdims=bool(options.get("keepdims", False)))


def _flatten(x, options):
    start = inner_axis(options.get("start", 1), x.ndim)
    return x.reshape(*x.shape[:start], prod(x.shape[start:]))


def _reshape(x, options):
    shape = reshaped(options["shape"], x.shape[1:])
    return x.reshape(len(x), *shape)


def reshaped(shape, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one example after a reshape that may leave one extent (-1) open."""
    shape, size = tuple(int(n) for n in np.atleast_1d(shape)), prod(old)
    known = prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known > 0 and size % known == 0:
        shape = tuple(size // known if n == -1 else n for n in shape)
    if min(shape, default=1) < 0 or prod(shape) != size:
        raise ChainError(f"an example of shape {tuple(old)} cannot take the shape {shape}")
    return shape


def _transpose(x, options):
    axes = tuple(int(a) for a in options["axes"])
    if sorted(axes) != list(range(x.ndim)) or axes[0] != 0:
        raise ChainError(
            f"axes {axes} do not permute those of an example, 1 to {x.ndim - 1}, behind axis 0"
        )
    return x.transpose(axes)


def pad_widths(options, ndim: int) -> list[tuple[int, int]]:
    """One (low, high) pair per axis, that of the examples included."""
    pads = [tuple(int(n) for n in pair) for pair in options["pads"]]
    if len(pads) != ndim - 1 or any(len(pair) != 2 or min(pair) < 0 for pair in pads):
        raise ChainError(
            f"pads must be {ndim - 1} pairs of counts, one per axis of an example, got {pads}"
        )
    return [(0, 0), *pads]


def _pad(x, options):
    return np.pad(x, pad_widths(options, x.ndim), constant_values=options.get("value", 0))


def slice_of(options, ndim: int) -> tuple[int, slice]:
    """The axis that a slice op cuts, and the slice."""
    axis = inner_axis(options["axis"], ndim)
    return axis, slice(options.get("start"), options.get("stop"), options.get("step"))


def _slice(x, options):
    axis, cut = slice_of(options, x.ndim)
    found = x[(slice(None),) * axis + (cut,)]
    if not found.shape[axis]:
        raise ChainError(f"{cut} of axis {axis} leaves nothing of shape {x.shape[1:]}")
    return found


def _add(values, options):
    shapes = [value.shape[1:] for value in values]
    # An axis of one is repeated, as in NumPy; axes are never added in front.
    if len(set(map(len, shapes))) > 1 or any(
        len(set(sizes) - {1}) > 1 for sizes in zip(*shapes, strict=True)
    ):
        raise ChainError(f"examples of shapes {', '.join(map(str, shapes))} cannot be added")
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _concat(values, options):
    axis = inner_axis(options.get("axis", 1), values[0].ndim)
    shapes = [value.shape[1:] for value in values]
    rest = {(*shape[: axis - 1], *shape[axis:]) for shape in shapes}
    if len(set(map(len, shapes))) > 1 or len(rest) > 1:
        raise ChainError(
            f"examples of shapes {', '.join(map(str, shapes))} cannot be joined along axis {axis}"
        )
    return np.concatenate(values, axis=axis)


_ONE: Mapping[str, Callable[[np.ndarray, Mapping], np.ndarray]] = {
    "bias": _bias,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "gelu": _gelu,
    "softmax": _softmax,
    "identity": lambda x, options: x,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "global_avg_pool": _global_avg_pool,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "pad": _pad,
    "slice": _slice,
}
_MANY: Mapping[str, Callable[[Sequence[np.ndarray], Mapping], np.ndarray]] = {
    "add": _add,
    "concat": _concat,
}
ELEMENTWISE = frozenset(
    ["bias", "batch_norm", "relu", "tanh", "sigmoid", "gelu", "softmax", "identity"]
)  # each output has the place of one input (for the joins, softmax counts as such)
