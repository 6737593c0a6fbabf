"""Joins: which output vertices of one layer feed which input vertices of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from scipy.sparse import csr_array

from ._errors import ChainError, UnsupportedOpError
from ._labels import NEEDS_SHAPE, Labels, through
from ._ops import ELEMENTWISE
from ._run import layer_inputs, output_shapes
from ._windows import layer_shape
from .graph import Join
from .network import Layer, Network, Node


def network_joins(network: Network, view: str = "kernel", input_shape=None) -> tuple[Join, ...]:
    """How the vertex sets of a network's layers meet, by its wiring.

    Parameters
    ----------
    network : Network
        With wiring. No weight is read.
    view : {"kernel", "channel", "unit"}
        What the vertices are; see :func:`nngraph.layer_graph`.
    input_shape : tuple of int, optional
        Shape of one example. Default: what the wiring states. The kernel and channel views do
        without where the number of positions behind a flatten follows from the layers.

    Returns
    -------
    tuple of Join
        By target, then source. Target ``len(network)`` is the network's output. Source -1 is its
        input, whose vertices are channels where a convolution reads it, features where linear
        layers do (single numbers behind a flatten, and in the unit view), and rows of the table
        where an embedding does. Each matrix has the inputs of the target's graph as rows and the
        outputs of the source's as columns.

    Raises
    ------
    ChainError
        No wiring, layers that do not fit (both named), or an input shape that must be known.
    UnsupportedOpError
        An op or a kind of layer through which paths cannot be followed, by name.

    Notes
    -----
    A join is the pattern of the derivative of the target's inputs by the source's outputs, with
    softmax taken entry by entry, and a channel standing for all its positions in the kernel and
    channel views. A layer that two nodes share is joined at both. Cost: O(entries of the joins).

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> bag = ng.from_tensors({"a.weight": np.ones((2, 1, 3)), "b.weight": np.ones((1, 8))})
    >>> joins = ng.network_joins(ng.wire(bag, "a,relu,flatten,b"))
    >>> [(j.source, j.target, j.matrix.shape) for j in joins]
    [(-1, 0, (3, 1)), (0, 1, (8, 2)), (1, 2, (1, 1))]
    """
    return _Joiner(network, view, input_shape).joins()


@dataclass(frozen=True, eq=False)
class WiredJoins(Sequence):
    """The joins of a network, found when they are first looked at."""

    network: Network
    view: str
    input_shape: tuple[int, ...] | None

    def __post_init__(self) -> None:
        # Weights and other tensors play no part; a copy for a worker should not carry the latter.
        object.__setattr__(self, "network", replace(self.network, tensors={}))

    @cached_property
    def _found(self) -> tuple[Join, ...]:
        return network_joins(self.network, self.view, self.input_shape)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index):
        return self._found[index]


class _Joiner:
    """Carries labels through a wiring and collects the joins on the way.

    The label of output v of layer k is ``offsets[k + 1] + v``; those of the input come first.
    """

    def __init__(self, network: Network, view: str, input_shape) -> None:
        self.network, self.view = network, view
        self.wiring = network.require_wiring("joining layers")
        self.index = {layer.name: k for k, layer in enumerate(network)}
        self.shapes: Mapping[str, tuple[int, ...]] = {}
        places = dict.fromkeys(network.names, 1)
        if input_shape is not None or network.input_shape is not None or view == "unit":
            self.shapes = output_shapes(network, input_shape)
        if view == "unit":
            for name, shape in layer_inputs(network, input_shape).items():
                places[name] = prod(layer_shape(network[name], shape)) // network[name].n_out
        first, n_input = self._input_labels()
        sizes = [n_input, *(layer.n_out * places[layer.name] for layer in network)]
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.values: dict[str, Labels] = {self.wiring[0].name: first}
        self.found: dict[tuple[int, int], list[np.ndarray]] = {}
        self.rows: dict[int, int] = {}

    def joins(self) -> tuple[Join, ...]:
        for node in self.wiring[1:]:
            values = [self.values[name] for name in node.inputs]
            if node.layer is None:
                self.values[node.name] = self._op(node, values)
            else:
                layer = self.network[node.layer]
                self._record(self.index[layer.name], self._reads(layer, values[0]))
                self.values[node.name] = self._outputs(node, layer, values[0])
        out = self.values[self.wiring[-1].name].ids
        self._record(len(self.network), out.reshape(len(out), -1))
        return tuple(self._join(source, target) for target, source in sorted(self.found))

    def _op(self, node: Node, values: list[Labels]) -> Labels:
        shapes = [self.shapes.get(name) for name in node.inputs]
        try:
            return through(node, values, shapes)
        except ChainError as error:
            behind = " and ".join(dict.fromkeys(map(self._named, values)))
            hint = "" if self.shapes or NEEDS_SHAPE in str(error) else f" ({NEEDS_SHAPE})"
            raise ChainError(
                f"node {node.name!r} ({node.op}) behind {behind}: {error}{hint}"
            ) from None

    def _input_labels(self) -> tuple[Labels, int]:
        """Labels of the input, and how many there are."""
        reached, readers = {self.wiring[0].name}, []  # what reads the input before any layer
        for node in self.wiring[1:]:
            if reached.intersection(node.inputs):
                readers.append(node)
                reached.update([node.name] if node.layer is None else [])
        layers = [self.network[node.layer] for node in readers if node.layer is not None]
        tables = [layer.n_in for layer in layers if layer.kind == "embedding"]
        if tables:
            return Labels.begin(np.full(1, -1), [True]), max(tables)
        known = self.shapes.get(self.wiring[0].name)
        shape = self._inferred(readers) if known is None else known
        mixed = any(node.op in ("flatten", "reshape", "transpose") for node in readers)
        if self.view == "unit" or (mixed and not any(layer.kernel for layer in layers)):
            spread = [False] * len(shape)
        else:  # channels come first, the features of a linear layer last
            kept = 0 if any(layer.kernel for layer in layers) else len(shape) - 1
            spread = [a != kept for a in range(len(shape))]
        extents = [1 if wide else n for wide, n in zip(spread, shape, strict=True)]
        return Labels.begin(np.arange(prod(extents)).reshape(extents), spread), prod(extents)

    def _inferred(self, readers: list[Node]) -> tuple[int, ...]:
        """Shape of an input that the wiring does not state, from the first node that tells."""
        for node in readers:
            if node.layer is not None:
                layer = self.network[node.layer]
                return (layer.n_in, *[1] * len(layer.kernel))
            if node.op == "reshape" and min(np.atleast_1d(node.options["shape"]), default=0) > 0:
                return (prod(np.atleast_1d(node.options["shape"]).tolist()),)
            if node.op not in ELEMENTWISE | {"max_pool", "avg_pool", "global_avg_pool", "flatten"}:
                break
        raise ChainError(f"the joins of the network's input: {NEEDS_SHAPE}")

    def _reads(self, layer: Layer, labels: Labels) -> np.ndarray:
        """Labels that enter each input vertex of a layer, shape (alternatives, vertices)."""
        if layer.kind == "recurrent" or (layer.kind == "embedding" and self.view == "unit"):
            raise UnsupportedOpError(
                f"layer {layer.name!r} is of kind {layer.kind!r}, through which paths cannot be "
                f"followed in the {self.view} view"
            )
        if layer.kind == "embedding":
            return np.arange(layer.n_in)[None]
        if self.view == "unit":
            return labels.ids.reshape(len(labels.ids), -1)
        axes = 1 if labels.flat else labels.ids.ndim - 1
        if layer.kernel and axes != len(layer.kernel) + 1:
            raise ChainError(
                f"layer {layer.name!r} reads {len(layer.kernel)} spatial axes behind the channels, "
                f"but {self._named(labels)} gives {axes} axes in all; {NEEDS_SHAPE}"
            )
        if labels.flat:
            known = prod(labels.ids.shape[1:])
            fits, given = layer.n_in % known == 0, f"a multiple of {known}"
            ids = labels.unflattened(layer.n_in) if fits else labels.ids
        else:
            axis = 1 if layer.kernel else labels.ids.ndim - 1
            ids = labels.at_axis(axis, layer.n_in)
            fits, given = ids.shape[1] == layer.n_in, str(ids.shape[1])
        if not fits:
            raise ChainError(
                f"layer {layer.name!r} reads {layer.n_in} inputs, but {self._named(labels)} gives "
                f"{given}"
            )
        return np.repeat(ids, prod(layer.kernel) if self.view == "kernel" else 1, axis=1)

    def _outputs(self, node: Node, layer: Layer, read: Labels) -> Labels:
        """Labels of what a layer gives, after it has read `read`."""
        first = self.offsets[self.index[layer.name] + 1]
        if self.view == "unit":
            shape = self.shapes[node.name]
            return Labels.begin(first + np.arange(prod(shape)).reshape(shape))
        ids = first + np.arange(layer.n_out)
        if layer.kernel:
            dims = len(layer.kernel)
            return Labels.begin(ids.reshape(-1, *[1] * dims), [False, *[True] * dims])
        lead = read.ids.ndim - (1 if layer.kind == "embedding" else 2)
        lead = 0 if read.flat else lead
        return Labels.begin(ids.reshape(*[1] * lead, -1), [*[True] * lead, False])

    def _record(self, target: int, ids: np.ndarray) -> None:
        """Note the labels that enter each input vertex of `target`, (alternatives, vertices)."""
        self.rows[target] = ids.shape[1]
        rows = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)[ids >= 0]
        ids = ids[ids >= 0]
        sources = self._sources(ids)
        for source in np.unique(sources).tolist():
            here = sources == source
            pairs = np.stack([rows[here], ids[here] - self.offsets[source + 1]])
            self.found.setdefault((target, source), []).append(pairs)

    def _join(self, source: int, target: int) -> Join:
        rows, columns = np.concatenate(self.found[target, source], axis=1)
        n_in, n_out = self.rows[target], int(np.diff(self.offsets)[source + 1])
        pairs = np.unique(rows * n_out + columns)
        counts = np.bincount(pairs // n_out, minlength=n_in)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        ones = np.ones(len(pairs), dtype=bool)
        return Join(source, target, csr_array((ones, pairs % n_out, indptr), shape=(n_in, n_out)))

    def _sources(self, ids: np.ndarray) -> np.ndarray:
        """The layer that each label belongs to; -1: the input."""
        return np.searchsorted(self.offsets, ids, side="right") - 2

    def _named(self, labels: Labels) -> str:
        sources = np.unique(self._sources(labels.ids[labels.ids >= 0])).tolist()
        names = self.network.names
        return " and ".join("the input" if k < 0 else f"layer {names[k]!r}" for k in sources)
