"""The ops between layers and their options: which there are, which are needed, what they may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from ._errors import ChainError

# op: the options it takes. Axes count the batch axis as 0; `pads` and shapes leave the batch out.
OPS: Mapping[str, tuple[str, ...]] = {
    "input": ("shape",),
    "layer": (),
    "bias": ("bias", "axis"),
    "batch_norm": ("mean", "var", "scale", "shift", "eps", "axis"),
    "relu": (),
    "tanh": (),
    "sigmoid": (),
    "gelu": ("approximate",),
    "softmax": ("axis",),
    "identity": (),
    "max_pool": ("kernel", "stride", "padding", "dilation", "ceil"),
    "avg_pool": ("kernel", "stride", "padding", "ceil", "count_padding"),
    "global_avg_pool": ("keepdims",),
    "flatten": ("start",),
    "reshape": ("shape",),
    "transpose": ("axes",),
    "pad": ("pads", "value"),
    "slice": ("axis", "start", "stop", "step"),
    "add": (),
    "concat": ("axis",),
    "unsupported": ("type",),
}
# Options without which an op means nothing.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "bias": ("bias",), "max_pool": ("kernel",), "avg_pool": ("kernel",), "reshape": ("shape",),
    "transpose": ("axes",), "pad": ("pads",), "slice": ("axis",),
}  # fmt: skip


def spatial(value, dims: int, name: str) -> tuple[int, ...]:
    """`value` as one int per spatial dimension (an int stands for all of them)."""
    values = (value,) * dims if _is_one(value) else tuple(value)
    if len(values) != dims or any(not is_count(v) or v < 1 for v in values):
        raise ChainError(f"{name} must be {dims} positive integers, got {value!r}")
    return tuple(int(v) for v in values)


def pad_pairs(value, dims: int) -> tuple[tuple[int, int], ...]:
    """Padding as one (low, high) pair per spatial dimension; ints stand for both ends."""
    items = (value,) * dims if _is_one(value) else tuple(value)
    pairs = [(v, v) if _is_one(v) else tuple(v) for v in items]
    if len(pairs) != dims or any(len(p) != 2 or not all(map(is_count, p)) for p in pairs):
        raise ChainError(f"padding must be {dims} counts or (low, high) pairs, got {value!r}")
    return tuple((int(low), int(high)) for low, high in pairs)


def _is_one(value) -> bool:
    return isinstance(value, str) or not hasattr(value, "__iter__")


def is_count(value) -> bool:
    return isinstance(value, (int, np.integer)) and value >= 0


def _is_integer(value) -> bool:
    return isinstance(value, (int, np.integer))


def _is_number(value) -> bool:
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and not value.ndim)


def _is_sequence(value, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, (tuple, list, np.ndarray)) and all(map(holds, value))


# What options may be that ops take as they are; those of windows go through `spatial`.
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("axis", "start", "stop"), ("an integer", _is_integer)),
    "step": ("an integer other than 0", lambda value: _is_integer(value) and value != 0),
    **dict.fromkeys(("eps", "value"), ("a number", _is_number)),
    "axes": ("integers", lambda value: _is_sequence(value, _is_integer)),
    "shape": (
        "integers", lambda value: _is_integer(value) or _is_sequence(value, _is_integer)
    ),
    "pads": (
        "pairs of integers",
        lambda value: _is_sequence(
            value, lambda pair: _is_sequence(pair, _is_integer) and len(pair) == 2
        ),
    ),
}  # fmt: skip


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ChainError where an option is not what its name stands for."""
    for key, value in options.items():
        wanted, fits = _KINDS.get(key, ("", None))
        if fits is not None and not fits(value):
            raise ChainError(f"the option {key!r} must be {wanted}, got {value!r}")
