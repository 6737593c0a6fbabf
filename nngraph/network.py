"""Layer, Network and the ops between layers: what every adapter emits, with no framework in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ._canonical import as_weights, check_mask, check_weight_type, plain_array
from ._errors import ChainError, MaskError, WeightError
from ._options import OPS, REQUIRED, check_options, is_count, pad_pairs, spatial
from .stored import StoredArray

KINDS = ("linear", "conv", "embedding", "recurrent")


@dataclass(frozen=True)
class Layout:
    """How a parameter lies in its source, as reshape, transpose, reshape; exact both ways.

    ``canonical = source.reshape(split).transpose(axes).reshape(shape)``.

    Parameters
    ----------
    source_shape : tuple of int
        Shape in the source.
    split : tuple of int
        The source's axes, split where groups must be told apart.
    axes : tuple of int
        The permutation of the split axes.
    shape : tuple of int
        The canonical shape ``(n_out, n_in / groups, *kernel)``.

    Examples
    --------
    >>> Layout.permuted((3, 5), (1, 0)).shape  # a Keras or ONNX MatMul kernel: inputs x outputs
    (5, 3)
    """

    source_shape: tuple[int, ...]
    split: tuple[int, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def identity(cls, shape) -> Layout:
        """The source has the canonical shape already."""
        shape = tuple(int(n) for n in shape)
        return cls(shape, shape, tuple(range(len(shape))), shape)

    @classmethod
    def permuted(cls, source_shape, axes) -> Layout:
        """The canonical axes are the source's axes in the order `axes`."""
        source_shape = tuple(int(n) for n in source_shape)
        return cls(source_shape, source_shape, tuple(axes), tuple(source_shape[a] for a in axes))

    @classmethod
    def transposed_conv(cls, source_shape, groups: int = 1) -> Layout:
        """Torch and ONNX transposed convolutions: source ``(n_in, n_out / groups, *kernel)``."""
        n_in, out_per_group, *kernel = (int(n) for n in source_shape)
        if groups < 1 or n_in % groups:
            raise WeightError(f"{groups} groups do not divide {n_in} inputs")
        split = (groups, n_in // groups, out_per_group, *kernel)
        axes = (0, 2, 1, *range(3, len(split)))
        shape = (groups * out_per_group, n_in // groups, *kernel)
        return cls((n_in, out_per_group, *kernel), split, axes, shape)

    def after_reshape(self, source_shape) -> Layout:
        """The same, for a source that is reshaped to this layout's source shape first."""
        return replace(self, source_shape=tuple(int(n) for n in source_shape))

    def to_canonical(self, array) -> np.ndarray:
        """The array in the canonical shape."""
        return np.asarray(array).reshape(self.split).transpose(self.axes).reshape(self.shape)

    def to_source(self, array) -> np.ndarray:
        """The array in the source's shape; the inverse of :meth:`to_canonical`."""
        moved = tuple(self.split[a] for a in self.axes)
        back = np.argsort(self.axes)
        return np.asarray(array).reshape(moved).transpose(back).reshape(self.source_shape)


@dataclass(frozen=True, eq=False)
class Layer:
    """One parameter tensor that connects inputs to outputs.

    Parameters
    ----------
    name : str
        Unique in its network.
    weight : ndarray or StoredArray
        An array of the canonical shape ``(n_out, n_in / groups, *kernel)``, or a lazy handle to an
        array in the source's layout.
    mask : ndarray of bool, optional
        Which parameters exist, canonical shape; None: all.
    kind : {"linear", "conv", "embedding", "recurrent"}, optional
        Default: linear for two axes, conv for more.
    stride, dilation : int or tuple of int
        One per spatial dimension.
    padding : int or tuple of int or of (low, high) pairs
        Zeros added around the input; for a transposed layer, rows cut from the output.
    groups : int
        Number of groups; inputs and outputs are cut into as many equal parts.
    transposed : bool
        A transposed convolution: tap t carries input q to output
        ``q * stride - low + t * dilation``.
    output_padding : int or tuple of int
        Rows added at the high end of a transposed layer's output.
    path : str, optional
        The parameter's path in its source; default the name.
    layout : Layout, optional
        How the parameter lies in its source; default: as it is here.
    source_dtype : str, optional
        The type in the source (``"bfloat16"``).

    Raises
    ------
    WeightError
        A weight of fewer than two axes, with a zero-size axis, or not real floating point; or
        groups that do not divide the outputs.
    """

    name: str
    weight: np.ndarray | StoredArray
    _: KW_ONLY
    mask: np.ndarray | None = None
    kind: str | None = None
    stride: tuple[int, ...] = 1  # type: ignore[assignment]
    padding: tuple[tuple[int, int], ...] = 0  # type: ignore[assignment]
    dilation: tuple[int, ...] = 1  # type: ignore[assignment]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = 0  # type: ignore[assignment]
    path: str | None = None
    layout: Layout | None = None
    source_dtype: str | None = None

    def __post_init__(self) -> None:
        fix = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731
        if not isinstance(self.weight, StoredArray):
            fix("weight", plain_array(self.weight, f"layer {self.name!r}", WeightError))
        layout = self.layout or Layout.identity(self.weight.shape)
        fix("layout", layout)
        fix("path", self.name if self.path is None else self.path)
        fix("source_dtype", str(self.source_dtype or self.weight.dtype))
        check_weight_type(self.name, self.weight.dtype, self.shape)
        lazy = isinstance(self.weight, StoredArray)
        wanted = layout.source_shape if lazy else layout.shape
        if tuple(self.weight.shape) != wanted:
            raise WeightError(
                f"layer {self.name!r}: its layout takes {'a stored' if lazy else 'a canonical'} "
                f"shape {wanted}, but the weight has {tuple(self.weight.shape)}"
            )
        dims = len(self.shape) - 2
        fix("kind", self.kind or ("conv" if dims else "linear"))
        if self.kind not in KINDS:
            raise WeightError(f"layer {self.name!r}: kind {self.kind!r} is none of {KINDS}")
        try:
            fix("stride", spatial(self.stride, dims, "stride"))
            fix("dilation", spatial(self.dilation, dims, "dilation"))
            fix("padding", pad_pairs(self.padding, dims))
            extra = pad_pairs(self.output_padding, dims)
        except ChainError as error:
            raise ChainError(f"layer {self.name!r}: {error}") from None
        fix("output_padding", tuple(high for _, high in extra))
        if not is_count(self.groups) or not self.groups or self.n_out % self.groups:
            raise WeightError(
                f"layer {self.name!r}: {self.groups} groups do not divide {self.n_out} outputs"
            )
        if self.mask is not None:
            fix("mask", check_mask(self.name, self.mask, self.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape ``(n_out, n_in / groups, *kernel)``."""
        return self.layout.shape

    @property
    def size(self) -> int:
        """Number of parameters."""
        return prod(self.shape)

    @property
    def n_out(self) -> int:
        """Number of outputs (channels or units)."""
        return self.shape[0]

    @property
    def n_in(self) -> int:
        """Number of inputs (channels or units), over all groups."""
        return self.shape[1] * self.groups

    @property
    def kernel(self) -> tuple[int, ...]:
        """Kernel size, one per spatial dimension; empty for a linear layer."""
        return self.shape[2:]

    def array(self) -> np.ndarray:
        """The weights in canonical shape: float32 for sources of 32 bits or fewer, else float64.

        Nothing is cached; a layer that is stored in a file is read again at each call. The mask is
        not applied.

        Raises
        ------
        WeightError
            The weights hold NaN or infinity.
        FileChangedError
            The file changed after it was opened.
        """
        lazy = isinstance(self.weight, StoredArray)
        array = self.layout.to_canonical(self.weight.read()) if lazy else self.weight
        weights = as_weights(array, f"layer {self.name!r}")
        if lazy:
            self.weight.check_unchanged()  # a mapped file is only read while it is checked
        return weights

    def with_mask(self, mask) -> Layer:
        """The same layer with another mask (None: all parameters)."""
        return replace(self, mask=mask)


@dataclass(frozen=True, eq=False)
class Node:
    """One step of the wiring: the network's input, a layer, or an op between layers.

    Parameters
    ----------
    name : str
        Unique in its wiring.
    op : str
        A key of ``nngraph.network.OPS``.
    inputs : tuple of str
        Names of the nodes it reads, in order.
    layer : str, optional
        For ``op="layer"``: the layer's name (two nodes may use one layer: tied weights).
    options : mapping
        What ``OPS`` lists for the op; None stands for an option that is not given.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    layer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise ChainError(f"node {self.name!r}: unknown op {self.op!r}; known: {', '.join(OPS)}")
        unknown = sorted(set(self.options) - set(OPS[self.op]))
        if unknown:
            raise ChainError(f"node {self.name!r}: op {self.op!r} takes no option {unknown}")
        options = {key: value for key, value in self.options.items() if value is not None}
        object.__setattr__(self, "options", options)
        missing = [key for key in REQUIRED.get(self.op, ()) if key not in options]
        if missing:
            raise ChainError(f"node {self.name!r}: op {self.op!r} needs the option {missing[0]!r}")
        try:
            check_options(options)
        except ChainError as error:
            raise ChainError(f"node {self.name!r} ({self.op}): {error}") from None
        if (self.op == "layer") != (self.layer is not None):
            raise ChainError(f"node {self.name!r}: op {self.op!r} with layer={self.layer!r}")
        inputs = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        if len(inputs) > 1 and self.op not in ("add", "concat", "unsupported"):
            raise ChainError(f"node {self.name!r}: op {self.op!r} reads one node, got {inputs}")
        object.__setattr__(self, "inputs", inputs)


@dataclass(frozen=True)
class Coverage:
    """Which parameters of a source became layers, and which did not and why.

    Parameters
    ----------
    used : tuple of (path, number of parameters)
    skipped : tuple of (path, number of parameters, reason)
    """

    used: tuple[tuple[str, int], ...] = ()
    skipped: tuple[tuple[str, int, str], ...] = ()

    @property
    def covered(self) -> int:
        """Number of parameters in layers; a tied parameter counts once."""
        return sum(dict(self.used).values())

    @property
    def total(self) -> int:
        """Number of parameters in the source."""
        return self.covered + sum(n for _, n, _ in self.skipped)

    @property
    def fraction(self) -> float:
        """Covered over total; 0 for an empty source."""
        return self.covered / self.total if self.total else 0.0

    def __str__(self) -> str:
        lines = [
            f"{len(self.used)} parameter tensors used, {self.covered:,} of {self.total:,} "
            f"parameters ({self.fraction:.1%})"
        ]
        lines += [f"  skipped {path} ({n:,}): {reason}" for path, n, reason in self.skipped]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers, how they are wired, and what of the source they cover.

    Parameters
    ----------
    layers : sequence of Layer
        In the source's order.
    wiring : sequence of Node, optional
        A DAG in topological order; its first node has ``op="input"``, its last is the output. None:
        a bag of weights, whose topology nobody has named yet.
    coverage : Coverage, optional
        Default: all layers used, nothing skipped.
    source : str, optional
        The file or model that the network came from.
    tensors : mapping of str to ndarray or StoredArray, optional
        Everything that the source holds, by path; ``nngraph.load(path, chain=...)`` finds biases
        and norms here.

    Raises
    ------
    ChainError
        Names that are not unique, or wiring that names what does not exist or is out of order.
    """

    layers: tuple[Layer, ...]
    wiring: tuple[Node, ...] | None = None
    _: KW_ONLY
    coverage: Coverage | None = None
    source: str | None = None
    tensors: Mapping[str, np.ndarray | StoredArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        _unique([layer.name for layer in self.layers], "layer")
        object.__setattr__(self, "_by_name", {layer.name: layer for layer in self.layers})
        if self.coverage is None:
            used = tuple((layer.path, layer.size) for layer in self.layers)
            object.__setattr__(self, "coverage", Coverage(used))
        if self.wiring is not None:
            object.__setattr__(self, "wiring", tuple(self.wiring))
            self._check_wiring()

    def _check_wiring(self) -> None:
        seen: set[str] = set()
        names = set(self.names)
        _unique([node.name for node in self.wiring], "node")
        if not self.wiring or self.wiring[0].op != "input":
            raise ChainError("the wiring must begin with a node of op 'input'")
        for node in self.wiring:
            missing = [name for name in node.inputs if name not in seen]
            if missing:
                raise ChainError(f"node {node.name!r} reads {missing}, which no earlier node gives")
            if node.op != "input" and not node.inputs:
                raise ChainError(f"node {node.name!r} ({node.op}) reads nothing")
            if node.layer is not None and node.layer not in names:
                raise ChainError(f"node {node.name!r}: there is no layer {node.layer!r}")
            seen.add(node.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self._by_name)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of one example, where the wiring states it."""
        shape = self.wiring[0].options.get("shape") if self.wiring else None
        return None if shape is None else tuple(int(n) for n in shape)

    def require_wiring(self, purpose: str) -> tuple[Node, ...]:
        """The wiring, or a ChainError that says how to give one."""
        if self.wiring is None:
            raise ChainError(
                f"{purpose} needs to know how the layers are joined, and "
                f"{self.source or 'this network'} holds weights only; name a chain: "
                "nngraph.load(path, chain=[...]), or --network on the command line"
            )
        return self.wiring

    def with_masks(self, masks: Mapping[str, np.ndarray] | None) -> Network:
        """The same network with each named layer's mask replaced; masks of other names raise."""
        if masks is None:
            return self
        unmatched = sorted(set(masks) - set(self.names))
        if unmatched:
            raise MaskError(
                f"no layer is named {unmatched}; this network has {list(self.names)}"
            )
        layers = (
            layer.with_mask(masks[layer.name]) if layer.name in masks else layer
            for layer in self.layers
        )
        return replace(self, layers=tuple(layers))

    def __getitem__(self, name: str) -> Layer:
        if name not in self._by_name:
            raise KeyError(f"no layer is named {name!r}; this network has {list(self.names)}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        wired = "a bag of weights" if self.wiring is None else f"{len(self.wiring)} wired nodes"
        size = sum(layer.size for layer in self.layers)
        return f"<Network: {len(self)} layers, {size:,} parameters, {wired}>"


def _unique(names: list[str], what: str) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ChainError(f"{what} names must be unique; repeated: {repeated}")
