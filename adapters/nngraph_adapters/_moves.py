"""Where the entries of a parameter lie after reshapes and transpositions, without touching them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import nngraph as ng

Digits = tuple[tuple[int, int], ...]  # (size, stride in the source) pairs, the slowest first


class NotExactError(Exception):
    """A reshape that cuts across axes that were transposed: no stride describes it."""


@dataclass(frozen=True)
class Moves:
    """A parameter whose axes were cut, joined and permuted.

    Parameters
    ----------
    source_shape : tuple of int
        Its shape in the source, C order.
    axes : tuple of tuple of (int, int)
        For each axis that it has now, the digits its index consists of: sizes, and strides in the
        source.
    """

    source_shape: tuple[int, ...]
    axes: tuple[Digits, ...]

    @classmethod
    def of(cls, shape: Sequence[int]) -> Moves:
        """Nothing moved yet."""
        shape = tuple(int(n) for n in shape)
        strides = [prod(shape[a + 1 :]) for a in range(len(shape))]
        return cls(shape, tuple(((n, s),) for n, s in zip(shape, strides, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that it has now."""
        return tuple(prod(size for size, _ in digits) for digits in self.axes)

    def transpose(self, axes: Sequence[int]) -> Moves:
        """After a permutation of the axes."""
        return Moves(self.source_shape, tuple(self.axes[a] for a in axes))

    def reshape(self, shape: Sequence[int]) -> Moves:
        """After a reshape in C order; NotExactError where that cannot be said with strides."""
        left: list[tuple[int, int]] = []
        for size, stride in (digit for digits in self.axes for digit in digits if digit[0] != 1):
            if left and left[-1][1] == size * stride:  # side by side: one digit
                size, stride = size * left.pop()[0], stride
            left.append((size, stride))
        left.reverse()
        axes = []
        for n in shape:
            digits, need = [], int(n)
            while need > 1:
                if not left:
                    raise NotExactError
                size, stride = left.pop()
                taken = min(size, need)
                if need % taken or size % taken:
                    raise NotExactError
                rest = size // taken
                digits.append((taken, stride * rest))
                if rest > 1:
                    left.append((rest, stride))
                need //= taken
            axes.append(tuple(digits))
        if left:
            raise NotExactError
        return Moves(self.source_shape, tuple(axes))

    def transposed_conv(self, groups: int) -> Moves:
        """From ``(n_in, n_out / groups, *kernel)``, as torch and ONNX have it, to canonical."""
        n_in, n_out, *kernel = self.shape
        split = self.reshape((groups, n_in // groups, n_out, *kernel))
        turned = split.transpose((0, 2, 1, *range(3, len(split.shape))))
        return turned.reshape((groups * n_out, n_in // groups, *kernel))

    def layout(self) -> ng.Layout:
        """The same, as the layout of a layer whose canonical shape is the shape of now."""
        digits = [digit for axis in self.axes for digit in axis if digit[0] != 1]
        order = sorted(range(len(digits)), key=lambda k: -digits[k][1])
        split = tuple(digits[k][0] for k in order)
        axes = tuple(order.index(k) for k in range(len(digits)))
        return ng.Layout(self.source_shape, split, axes, self.shape)
