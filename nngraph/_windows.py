"""Windows that slide over space: convolutions, transposed ones and pooling, from one set of views.

Everything that slides is one loop over the taps of a kernel. Tap t of a window is a strided view of
the padded input, one entry per window: a convolution copies the views side by side and multiplies
once, max pooling takes their maximum, the unit view and the joins read off which input lies under
which tap. A transposed convolution adds into the views of its output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ._errors import ChainError, UnsupportedOpError
from ._options import pad_pairs, spatial
from .network import Layer

_COLUMN_ENTRIES = 2**22  # columns of a convolution made at once: 16 MB of float32, about a cache


class Window(NamedTuple):
    """A sliding window, one entry per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @classmethod
    def of_layer(cls, layer: Layer) -> Window:
        """The window of a convolution."""
        return cls(layer.kernel, layer.stride, layer.dilation, layer.padding)

    @classmethod
    def of_pool(cls, options: Mapping[str, Any], dims: int) -> Window:
        """The window of a pooling op."""
        kernel = spatial(options["kernel"], dims, "kernel")
        stride = options.get("stride")
        stride = kernel if stride is None else spatial(stride, dims, "stride")
        dilation = spatial(options.get("dilation", 1), dims, "dilation")
        window = cls(kernel, stride, dilation, pad_pairs(options.get("padding", 0), dims))
        for span, pads in zip(window.spans(), window.padding, strict=True):
            if max(pads) >= span:
                raise ChainError(f"padding {pads} is as wide as the window, {span} entries")
        return window

    def spans(self) -> tuple[int, ...]:
        """How many entries a window covers along each axis, dilation included."""
        pairs = zip(self.kernel, self.dilation, strict=True)
        return tuple((k - 1) * d + 1 for k, d in pairs)

    def reach(self, counts) -> tuple[int, ...]:
        """How many entries so many windows cover along each axis."""
        triples = zip(counts, self.stride, self.spans(), strict=True)
        return tuple((count - 1) * s + span for count, s, span in triples)

    def counts(self, sizes, ceil: bool = False) -> tuple[int, ...]:
        """How many windows fit along each axis; with `ceil`, a last one may hang over the end."""
        found = []
        for n, s, pads, span in zip(sizes, self.stride, self.padding, self.spans(), strict=True):
            spare = n + sum(pads) - span
            count = -(-spare // s) + 1 if ceil else spare // s + 1
            if count < 1:
                raise ChainError(
                    f"a window of {span} does not fit into {n} entries padded by {pads}"
                )
            # As in torch and ONNX: no window begins in the padding at the high end.
            found.append(count - 1 if ceil and (count - 1) * s >= n + pads[0] else count)
        return tuple(found)

    def unpadded(self) -> Window:
        """The same without padding."""
        return self._replace(padding=((0, 0),) * len(self.kernel))


def tap_views(x: np.ndarray, window: Window, counts, fill=0) -> Iterator[np.ndarray]:
    """For each tap, in C order, the entry of `x` under it in each of ``prod(counts)`` windows.

    The last axes of `x` are space; `fill` stands where there is padding, at the high end as much as
    the windows need. Where none is needed, the views write through to `x`.
    """
    sizes = x.shape[x.ndim - len(counts) :]
    pads = [
        (low, max(r - low - n, 0))
        for (low, _), r, n in zip(window.padding, window.reach(counts), sizes, strict=True)
    ]
    if any(map(any, pads)):
        x = np.pad(x, [(0, 0)] * (x.ndim - len(counts)) + pads, constant_values=fill)
    for tap in np.ndindex(*window.kernel):
        axes = zip(tap, window.dilation, counts, window.stride, strict=True)
        yield x[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in axes))]


def layer_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one example after a layer, from that before; ChainError where it does not fit."""
    if layer.kind == "recurrent":
        raise UnsupportedOpError(f"layer {layer.name!r} is recurrent; it cannot be evaluated")
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
    window = Window.of_layer(layer)
    if not layer.transposed:
        try:
            return (layer.n_out, *window.counts(shape[1:]))
        except ChainError as error:
            raise ChainError(f"layer {layer.name!r}: {error}") from None
    sizes = tuple(
        reach - sum(pads) + extra
        for reach, pads, extra in zip(
            window.reach(shape[1:]), layer.padding, layer.output_padding, strict=True
        )
    )
    if min(sizes) < 1:
        raise ChainError(f"layer {layer.name!r} gives {sizes} places for {tuple(shape[1:])}")
    return (layer.n_out, *sizes)


def tap_pairs(layer: Layer, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each tap of a convolution, which output positions read which input positions.

    Yields one pair of int arrays per tap, in C order: flat output positions, ascending, and the
    flat input position under the tap. Pairs that fall on padding are left out.
    """
    before, after, window = shape[1:], layer_shape(layer, shape)[1:], Window.of_layer(layer)
    if layer.transposed:
        index = np.full(_uncut(layer, before, after), -1)
        index[_cut(layer, after)] = np.arange(prod(after)).reshape(after)
        views = tap_views(index, window.unpadded(), before)
    else:
        views = tap_views(np.arange(prod(before)).reshape(before), window, after, -1)
    for view in views:
        found = view.reshape(-1)
        at = np.flatnonzero(found >= 0)
        yield (found[at], at) if layer.transposed else (at, found[at])


def _uncut(layer: Layer, before, after) -> tuple[int, ...]:
    """Shape of what a transposed convolution adds into, before the padding is cut off."""
    reach = Window.of_layer(layer).reach(before)
    return tuple(
        max(r, pads[0] + n) for r, n, pads in zip(reach, after, layer.padding, strict=True)
    )


def _cut(layer: Layer, after) -> tuple:
    pairs = zip(layer.padding, after, strict=True)
    return (..., *(slice(pads[0], pads[0] + n) for pads, n in pairs))


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
    columns = np.empty((n, layer.n_in, taps, *after), x.dtype)
    for t, view in enumerate(tap_views(x, Window.of_layer(layer), after)):
        columns[:, :, t] = view
    columns = columns.reshape(n, groups, -1, prod(after))
    return (weight.reshape(groups, layer.n_out // groups, -1) @ columns).reshape(n, -1, *after)


def _transposed(layer: Layer, weight, x, after) -> np.ndarray:
    n, groups, taps = len(x), layer.groups, prod(layer.kernel)
    before, window = x.shape[2:], Window.of_layer(layer).unpadded()
    split = weight.reshape(groups, layer.n_out // groups, -1, taps).transpose(0, 1, 3, 2)
    columns = split.reshape(groups, -1, split.shape[3]) @ x.reshape(n, groups, -1, prod(before))
    columns = columns.reshape(n, layer.n_out, taps, *before)
    out = np.zeros((n, layer.n_out, *_uncut(layer, before, after)), x.dtype)
    for t, view in enumerate(tap_views(out, window, before)):
        view += columns[:, :, t]
    return out[_cut(layer, after)]


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


def _pool_window(x: np.ndarray, options: Mapping) -> tuple[Window, tuple[int, ...]]:
    """The window of a pooling op, and how many there are along each axis."""
    if x.ndim < 3:
        raise ChainError(f"pooling needs examples with spatial axes, got shape {x.shape[1:]}")
    window = Window.of_pool(options, x.ndim - 2)
    return window, window.counts(x.shape[2:], bool(options.get("ceil", False)))


def pool_views(x: np.ndarray, options: Mapping, fill) -> Iterator[np.ndarray]:
    """The taps of a pooling op: one view per tap, of the shape of its output."""
    return tap_views(x, *_pool_window(x, options), fill)


def max_pool(x: np.ndarray, options: Mapping) -> np.ndarray:
    """The maximum over each window; padding never wins."""
    views = pool_views(x, options, -np.inf)
    out = next(views).copy()
    for view in views:
        np.maximum(out, view, out=out)
    return out


def avg_pool(x: np.ndarray, options: Mapping) -> np.ndarray:
    """The mean over each window; padding counts unless ``count_padding`` is False."""
    window, counts = _pool_window(x, options)
    views = tap_views(x, window, counts)
    out = next(views).copy()
    for view in views:
        out += view
    for a, (low, high) in enumerate(window.padding):
        n = x.shape[2 + a]
        first = np.arange(counts[a]) * window.stride[a] - low
        last = np.minimum(first + window.kernel[a], n + high)
        if not options.get("count_padding", True):
            first, last = np.maximum(first, 0), np.minimum(last, n)
        width = (last - first).astype(x.dtype)
        out /= width.reshape(-1, *[1] * (len(counts) - 1 - a))
    return out
