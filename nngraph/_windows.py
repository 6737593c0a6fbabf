"""Windows that slide over space: convolutions, transposed ones and pooling, from one set of views.

Everything that slides is one loop over the taps of a kernel. Tap t of a window is a strided view of
the padded input, one entry per window, so a convolution copies the views side by side and multiplies
once, max pooling takes their maximum, and the unit view (``views.py``) and the joins (``joins.py``)
read off which input lies under which tap. A transposed convolution adds into the views of its output.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from ._errors import ChainError, UnsupportedOpError
from .network import Layer, pad_pairs, spatial

_COLUMN_ENTRIES = 2**22  # columns of a convolution made at once: 16 MB of float32, about a cache


def tap_views(x, count, kernel, stride, dilation, low, fill=0) -> Iterator[np.ndarray]:
    """For each tap, in C order, the entry of `x` under it in each of ``prod(count)`` windows.

    The last ``len(kernel)`` axes are space. `low` entries of `fill` come before the first, and as
    many after the last as the windows need; without any, the views write through to `x`.
    """
    reach = [(c - 1) * s + (k - 1) * d + 1
             for c, k, s, d in zip(count, kernel, stride, dilation, strict=True)]  # fmt: skip
    sizes = x.shape[x.ndim - len(kernel) :]
    pads = [(lo, max(r - lo - n, 0)) for lo, r, n in zip(low, reach, sizes, strict=True)]
    if any(map(any, pads)):
        x = np.pad(x, [(0, 0)] * (x.ndim - len(kernel)) + pads, constant_values=fill)
    for tap in np.ndindex(*kernel):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        yield x[(..., *(slice(b, b + (c - 1) * s + 1, s)
                        for b, c, s in zip(starts, count, stride, strict=True)))]  # fmt: skip


def window_count(n: int, kernel: int, stride: int, pads, dilation: int = 1, ceil=False) -> int:
    """How many windows fit along one axis; with `ceil`, a last one may hang over the end."""
    spare = n + sum(pads) - (kernel - 1) * dilation - 1
    if spare < 0:
        raise ChainError(
            f"a window of {(kernel - 1) * dilation + 1} does not fit into {n} entries padded "
            f"by {tuple(pads)}"
        )
    count = -(-spare // stride) + 1 if ceil else spare // stride + 1
    # As in torch and ONNX: no window begins in the padding at the high end.
    return count - 1 if ceil and (count - 1) * stride >= n + pads[0] else count


def layer_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one example after a layer, from its shape before; ChainError where it does not fit."""
    if layer.kind == "recurrent":
        raise UnsupportedOpError(f"layer {layer.name!r} is recurrent, which has no forward pass here")
    if layer.kind == "embedding":
        return (*shape, layer.n_out)
    if not layer.kernel:
        if not shape or shape[-1] != layer.n_in:
            hint = "; flatten it first" if prod(shape) == layer.n_in else ""
            raise ChainError(
                f"layer {layer.name!r} reads {layer.n_in} features on the last axis, but is given "
                f"an example of shape {tuple(shape)}{hint}"
            )
        return (*shape[:-1], layer.n_out)
    if len(shape) != len(layer.kernel) + 1 or shape[0] != layer.n_in:
        raise ChainError(
            f"layer {layer.name!r} reads examples of {layer.n_in} channels and "
            f"{len(layer.kernel)} spatial axes, but is given shape {tuple(shape)}"
        )
    return (layer.n_out, *(_extent(layer, a, n) for a, n in enumerate(shape[1:])))


def _extent(layer: Layer, a: int, n: int) -> int:
    """Length of axis `a` after a convolution, from its length before."""
    k, s, pads, d = layer.kernel[a], layer.stride[a], layer.padding[a], layer.dilation[a]
    if not layer.transposed:
        return window_count(n, k, s, pads, d)
    size = (n - 1) * s + (k - 1) * d + 1 - sum(pads) + layer.output_padding[a]
    if size < 1:
        raise ChainError(f"layer {layer.name!r} gives {size} entries along spatial axis {a}")
    return size


def tap_pairs(layer: Layer, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each tap of a convolution, which output positions read which input positions.

    Yields one pair of int arrays per tap, in C order: flat output positions, ascending, and the
    flat input position under the tap. Pairs that fall on padding are left out.
    """
    before, after = shape[1:], layer_shape(layer, shape)[1:]
    low = [pads[0] for pads in layer.padding]
    if not layer.transposed:
        index = np.arange(prod(before)).reshape(before)
        count = after
    else:
        index = _buffer(layer, before, after, np.int64, -1)
        index[_crop(low, after)] = np.arange(prod(after)).reshape(after)
        count, low = before, [0] * len(before)
    views = tap_views(index, count, layer.kernel, layer.stride, layer.dilation, low, -1)
    for view in views:
        found = view.reshape(-1)
        at = np.flatnonzero(found >= 0)
        yield (found[at], at) if layer.transposed else (at, found[at])


def _buffer(layer: Layer, before, after, dtype, fill, lead=()) -> np.ndarray:
    """What a transposed convolution adds into: its output before the padding is cut off."""
    size = [
        max((q - 1) * s + (k - 1) * d + 1, pads[0] + n)
        for q, n, k, s, d, pads in zip(
            before, after, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True
        )
    ]
    return np.full((*lead, *size), fill, dtype)


def _crop(low, after) -> tuple:
    return (..., *(slice(lo, lo + n) for lo, n in zip(low, after, strict=True)))


def apply_layer(layer: Layer, weight, x: np.ndarray) -> np.ndarray:
    """What the layer gives for the examples `x`; an empty batch needs no `weight`."""
    shape = (len(x), *layer_shape(layer, x.shape[1:]))
    if layer.kind == "embedding":
        return _look_up(layer, weight, x, shape)
    if not len(x):
        return np.empty(shape, x.dtype)
    dtype = np.result_type(x, weight) if x.dtype.kind == "f" else weight.dtype
    weight, x = weight.astype(dtype, copy=False), x.astype(dtype, copy=False)
    groups = layer.groups
    if not layer.kernel and groups == 1:
        return x @ weight.T
    if not layer.kernel:
        split = x.reshape(*x.shape[:-1], groups, 1, -1)
        matrix = weight.reshape(groups, -1, weight.shape[1]).swapaxes(1, 2)
        return (split @ matrix).reshape(shape)
    out = np.empty(shape, dtype)
    window = prod(shape[2:]) if not layer.transposed else prod(x.shape[2:])
    entries = window * prod(layer.kernel) * (shape[1] if layer.transposed else x.shape[1])
    step = max(1, _COLUMN_ENTRIES // entries)
    convolve = _transposed if layer.transposed else _convolution
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        out[part] = convolve(layer, weight, x[part], shape[2:])
    return out


def _convolution(layer: Layer, weight, x, after) -> np.ndarray:
    n, groups, taps = len(x), layer.groups, prod(layer.kernel)
    low = [pads[0] for pads in layer.padding]
    views = tap_views(x, after, layer.kernel, layer.stride, layer.dilation, low)
    columns = np.empty((n, layer.n_in, taps, *after), x.dtype)
    for t, view in enumerate(views):
        columns[:, :, t] = view
    columns = columns.reshape(n, groups, -1, prod(after))
    return (weight.reshape(groups, layer.n_out // groups, -1) @ columns).reshape(n, -1, *after)


def _transposed(layer: Layer, weight, x, after) -> np.ndarray:
    n, groups, taps = len(x), layer.groups, prod(layer.kernel)
    before, low = x.shape[2:], [pads[0] for pads in layer.padding]
    split = weight.reshape(groups, layer.n_out // groups, -1, taps).transpose(0, 1, 3, 2)
    columns = split.reshape(groups, -1, split.shape[3]) @ x.reshape(n, groups, -1, prod(before))
    columns = columns.reshape(n, layer.n_out, taps, *before)
    out = _buffer(layer, before, after, x.dtype, 0, (n, layer.n_out))
    none = [0] * len(before)
    views = tap_views(out, before, layer.kernel, layer.stride, layer.dilation, none)
    for t, view in enumerate(views):
        view += columns[:, :, t]
    return out[_crop(low, after)]


def _look_up(layer: Layer, weight, x, shape) -> np.ndarray:
    if x.dtype.kind not in "iu":
        raise ChainError(
            f"layer {layer.name!r} is an embedding: it looks up integers, and is given {x.dtype}"
        )
    if not x.size:
        return np.empty(shape, np.float32 if weight is None else weight.dtype)
    if x.min() < 0 or x.max() >= layer.n_in:
        raise ChainError(
            f"layer {layer.name!r} knows the integers 0 to {layer.n_in - 1}, and is given "
            f"{x.min()} to {x.max()}"
        )
    return weight.T[x]


def pool_geometry(options, shape):
    """Window counts, kernel, stride, padding and dilation of a pooling op, per spatial axis."""
    dims = len(shape) - 1
    if dims < 1:
        raise ChainError(f"pooling needs examples with spatial axes, got shape {tuple(shape)}")
    kernel = spatial(options["kernel"], dims, "kernel")
    stride = options.get("stride")
    stride = kernel if stride is None else spatial(stride, dims, "stride")
    padding = pad_pairs(options.get("padding", 0), dims)
    dilation = spatial(options.get("dilation", 1), dims, "dilation")
    if any(max(p) > (k - 1) * d for p, k, d in zip(padding, kernel, dilation, strict=True)):
        raise ChainError(f"padding {padding} is wider than the pooling window {kernel}")
    ceil = bool(options.get("ceil", False))
    count = tuple(
        window_count(*axis, ceil)
        for axis in zip(shape[1:], kernel, stride, padding, dilation, strict=True)
    )
    return count, kernel, stride, padding, dilation


def pool_views(x, options, fill) -> Iterator[np.ndarray]:
    """The taps of a pooling op: one view per tap, of the shape of its output."""
    count, kernel, stride, padding, dilation = pool_geometry(options, x.shape[1:])
    return tap_views(x, count, kernel, stride, dilation, [p[0] for p in padding], fill)


def max_pool(x: np.ndarray, options) -> np.ndarray:
    """The maximum over each window; padding never wins."""
    views = pool_views(x, options, -np.inf)
    out = next(views).copy()
    for view in views:
        np.maximum(out, view, out=out)
    return out


def avg_pool(x: np.ndarray, options) -> np.ndarray:
    """The mean over each window; padding counts unless ``count_padding`` is False."""
    count, kernel, stride, padding, _ = pool_geometry(options, x.shape[1:])
    views = pool_views(x, options, 0)
    out = next(views).copy()
    for view in views:
        out += view
    for a, (n, k, s, (low, high)) in enumerate(
        zip(x.shape[2:], kernel, stride, padding, strict=True)
    ):
        first = np.arange(count[a]) * s - low
        last = np.minimum(first + k, n + high)
        if not options.get("count_padding", True):
            first, last = np.maximum(first, 0), np.minimum(last, n)
        width = (last - first).astype(x.dtype)
        out /= width.reshape(-1, *[1] * (len(kernel) - 1 - a))
    return out
