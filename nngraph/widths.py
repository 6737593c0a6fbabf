"""How many channels each step of a chain gives, as far as that is known without an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ._errors import ChainError
from .network import Layer

_SAME = {
    "bias", "batch_norm", "relu", "tanh", "sigmoid", "gelu", "softmax", "identity", "max_pool",
    "avg_pool", "global_avg_pool", "add",
}  # fmt: skip


@dataclass(frozen=True)
class Width:
    """Channels of a node: `n`, or after a flatten (not `exact`) a multiple; `origin` made them."""

    n: int
    exact: bool
    origin: str


def width_after(op: str, options: Mapping, widths: Sequence[Width | None]) -> Width | None:
    """The width after an op, from the widths before it.

    Raises
    ------
    ChainError
        An ``add`` of different widths.
    """
    known = [width for width in widths if width is not None]
    if op == "add" and len({width.n for width in known if width.exact}) > 1:
        sizes = ", ".join(f"{width.n} of {width.origin!r}" for width in known if width.exact)
        raise ChainError(f"'add' reads different numbers of channels: {sizes}")
    if not known or op in _SAME:
        return known[0] if known else None
    width = known[0]
    if op == "flatten" and options.get("start", 1) == 1:
        return replace(width, exact=False)
    if op == "slice" and options["axis"] > 1:
        return width
    if op == "pad" and width.exact and np.ndim(options["pads"]) == 2:
        return replace(width, n=width.n + sum(options["pads"][0]))
    return None


def check_width(layer: Layer, width: Width | None) -> None:
    """Raise ChainError where the channels that come in are not those that the layer reads."""
    if width is None or (layer.n_in == width.n if width.exact else layer.n_in % width.n == 0):
        return
    hints = ["check the order of the chain"]
    if layer.shape[1] != width.n and layer.groups == 1 and width.n % layer.shape[1] == 0:
        hints.append(f"or say {{'groups': {width.n // layer.shape[1]}}}")
    if layer.layout.source_shape == layer.shape and layer.n_out == width.n:
        hints.append("or say {'in_out': true} if it is stored inputs first")
    if layer.kind == "linear" and width.exact and layer.n_in % width.n == 0:
        hints.append("or put 'flatten' before it")
    raise ChainError(
        f"layer {layer.name!r} of shape {layer.shape} reads {layer.n_in} inputs, but "
        f"{width.origin!r} gives {'' if width.exact else 'a multiple of '}{width.n}; "
        + ", ".join(hints)
    )
