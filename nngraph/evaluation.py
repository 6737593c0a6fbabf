"""Evaluation of a network's wiring in NumPy: outputs, activations, shapes, accuracy.

It exists so that metrics that need data work with no framework installed; it is no inference engine.
The module is not called ``forward`` because ``nngraph.forward`` is the function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod

import numpy as np

from ._errors import ChainError, GraphError, did_you_mean
from ._ops import apply_op, unsupported
from ._windows import apply_layer
from .network import Layer, Network, Node

_BATCH = 256  # examples evaluated together, fewer where they are large
_BATCH_BYTES = 2**28  # about what the activations of one batch may take
_HELD_BYTES = 2**28  # weights up to this are read once per call, larger ones once per batch


def forward(network: Network, x) -> np.ndarray:
    """The network's output for the examples `x`.

    Parameters
    ----------
    network : Network
        With wiring. Masks are applied: a masked weight counts as 0.
    x : array_like, shape (n, features) or (n, channels, *space)
        Examples first. Integers and bools are taken as float32, except where the network looks
        them up in an embedding.

    Returns
    -------
    ndarray, shape (n, ...)
        What the last node of the wiring gives; float32 where `x` and the weights are, float64
        where either is.

    Raises
    ------
    ChainError
        There is no wiring, or shapes do not fit; the message names the layer, what it needs and
        what it was given.
    UnsupportedOpError
        An op that cannot be evaluated, by name.
    GraphError
        `x` holds NaN or infinity.

    See Also
    --------
    nngraph.activations : every node's values.

    Notes
    -----
    Examples are evaluated in batches, and an activation is dropped once its last reader has run.
    Convolutions are one matrix product per group and example, over columns gathered tap by tap.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> bag = ng.from_tensors({"fc.weight": np.array([[1.0, -2.0]]), "fc.bias": np.array([0.5])})
    >>> ng.forward(ng.wire(bag, "fc,relu"), [[1.0, 0.0], [0.0, 1.0]])
    array([[1.5],
           [0. ]])
    """
    last = network.require_wiring("a forward pass")[-1].name
    return activations(network, x, nodes=[last])[last]


def activations(network: Network, x, *, nodes: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The values of the network's nodes for the examples `x`.

    Parameters
    ----------
    network : Network
        With wiring; masks are applied.
    x : array_like, shape (n, features) or (n, channels, *space)
        As for :func:`nngraph.forward`.
    nodes : iterable of str, optional
        Names of nodes of ``network.wiring``. Default: all of them, the input included, so that the
        values that enter each layer are those of ``node.inputs``.

    Returns
    -------
    dict of str to ndarray
        By node, in the order of the wiring; each of shape (n, ...).

    Raises
    ------
    ChainError, UnsupportedOpError, GraphError
        As for :func:`nngraph.forward`; an unknown node.

    See Also
    --------
    nngraph.stream_activations : batch by batch, for data that do not fit into memory.

    Notes
    -----
    All values asked for are kept: name the nodes where that is much. Arrays may share memory with
    `x` and with each other.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> bag = ng.from_tensors({"fc.weight": np.array([[1.0, -2.0]])})
    >>> ng.activations(ng.wire(bag, "fc,relu"), [[1.0, 1.0]])
    {'input': array([[1., 1.]]), 'fc': array([[-1.]]), 'relu': array([[0.]])}
    """
    run = _Run(network, nodes, "activations")
    x = run.examples(x)
    step = run.batch_size(x)
    if len(x) <= step:
        return run(x)
    kept: dict[str, np.ndarray] = {}
    for start in range(0, len(x), step):
        for name, values in run(x[start : start + step]).items():
            if start == 0:
                kept[name] = np.empty((len(x), *values.shape[1:]), values.dtype)
            kept[name][start : start + len(values)] = values
    return kept


def stream_activations(
    network: Network, batches: Iterable, *, nodes: Iterable[str] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """The values of the network's nodes, one batch after the other.

    Parameters
    ----------
    network : Network
        With wiring; masks are applied.
    batches : iterable of array_like
        Each as `x` of :func:`nngraph.forward`, and evaluated as a whole.
    nodes : iterable of str, optional
        As for :func:`nngraph.activations`.

    Yields
    ------
    dict of str to ndarray
        As :func:`nngraph.activations` gives, for each batch.

    Raises
    ------
    ChainError, UnsupportedOpError, GraphError
        As for :func:`nngraph.forward`.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.wire(ng.from_tensors({"fc.weight": np.array([[1.0, -2.0]])}), "fc,relu")
    >>> total = 0.0
    >>> for values in ng.stream_activations(net, ([[k, 0.0]] for k in range(4)), nodes=["relu"]):
    ...     total += values["relu"].sum()
    >>> float(total)
    6.0
    """
    run = _Run(network, nodes, "activations")
    for batch in batches:
        yield run(run.examples(batch))


def accuracy(network: Network, images, labels, masks: Mapping | None = None) -> float:
    """The fraction of examples whose largest output is the one of their label.

    Parameters
    ----------
    network : Network
        With wiring, and an output of one number per class; whether softmax comes last makes no
        difference.
    images : array_like, shape (n, features) or (n, channels, *space)
        As `x` of :func:`nngraph.forward`.
    labels : array_like of int, shape (n,)
        Classes, counted from 0.
    masks : mapping of str to ndarray of bool, optional
        Masks by layer, in place of those that the layers have; other layers keep theirs.

    Returns
    -------
    float
        In [0, 1]. Among equal outputs the first counts.

    Raises
    ------
    ChainError, UnsupportedOpError
        As for :func:`nngraph.forward`.
    GraphError
        No examples, labels that do not fit them or the classes, NaN.
    MaskError
        Masks that do not fit the layers.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.wire(ng.from_tensors({"fc.weight": np.eye(2)}), "fc")
    >>> ng.accuracy(net, [[1.0, 0.0], [0.2, 0.9], [3.0, 2.0]], [0, 1, 1]) == 2 / 3
    True
    """
    network.require_wiring("accuracy")
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise GraphError(
            f"labels must be at least one integer, one per example, got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if len(labels) != len(images):
        raise GraphError(f"{len(images)} examples but {len(labels)} labels")
    outputs = forward(network.with_masks(masks), images)
    if outputs.ndim != 2:
        raise GraphError(
            f"accuracy needs one output per class, but an example gives shape {outputs.shape[1:]}"
        )
    if np.isnan(outputs).any():
        raise GraphError("the network's outputs hold NaN; its numbers overflow for these examples")
    if labels.min() < 0 or labels.max() >= outputs.shape[1]:
        raise GraphError(
            f"labels must be 0 to {outputs.shape[1] - 1}, got {labels.min()} to {labels.max()}"
        )
    return float(np.mean(outputs.argmax(axis=1) == labels))


def output_shapes(network: Network, input_shape=None) -> dict[str, tuple[int, ...]]:
    """The shape of one example at every node, without evaluating anything.

    Parameters
    ----------
    network : Network
        With wiring. No weight is read.
    input_shape : tuple of int, optional
        The shape of one example at the input, where the wiring does not state it or to replace it.

    Returns
    -------
    dict of str to tuple of int
        By node, in the order of the wiring.

    Raises
    ------
    ChainError
        There is no wiring or no input shape, or shapes do not fit.
    UnsupportedOpError
        An op whose output cannot be known.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.wire(ng.from_tensors({"fc.weight": np.ones((3, 8))}), "flatten,fc")
    >>> ng.output_shapes(net, (2, 2, 2))
    {'input': (2, 2, 2), 'flatten': (8,), 'fc': (3,)}
    """
    run = _Run(network, None, "the shape of every node")
    shape = network.input_shape if input_shape is None else tuple(int(n) for n in input_shape)
    if shape is None:
        raise ChainError(
            "the shape of one example is not known; pass input_shape=(channels, height, width) or "
            'begin the chain with {"input": [channels, height, width]}'
        )
    if not shape or min(shape) < 1:
        raise ChainError(f"the shape of one example must be positive integers, got {shape}")
    return run.shapes(shape)


class _Run:
    """One evaluation of a wiring: which nodes are kept, and when the others are dropped."""

    def __init__(self, network: Network, nodes: Iterable[str] | None, purpose: str) -> None:
        self.wiring = network.require_wiring(purpose)
        self.layers = {layer.name: layer for layer in network}
        self.input_shape = network.input_shape
        names = [node.name for node in self.wiring]
        self.wanted = set(names if nodes is None else nodes)
        for name in self.wanted - set(names):
            raise ChainError(f"no node is named {name!r}{did_you_mean(name, names)}")
        self.readers = Counter(name for node in self.wiring for name in set(node.inputs))
        self.weight = _reader(network)
        used = {node.layer for node in self.wiring}
        self.keeps_integers = any(
            layer.kind == "embedding" and layer.name in used for layer in network
        )

    def examples(self, x) -> np.ndarray:
        """`x` as an array of numbers that the network takes."""
        x = np.asarray(x)
        if x.dtype.kind not in "fiub" or x.ndim < 2:
            raise GraphError(
                f"examples must be real numbers, examples first, got {x.dtype} of shape {x.shape}"
            )
        known = self.input_shape
        if known is not None and (x.ndim != len(known) + 1 or x.shape[1] != known[0]):
            single = "; give a single example as x[None]" if x.shape == known else ""
            raise ChainError(
                f"the network takes examples of shape {known}, got {x.shape[1:]}{single}"
            )
        if x.dtype.kind == "f":
            bad = x.size - np.count_nonzero(np.isfinite(x))
            if bad:
                raise GraphError(f"the examples hold {bad} NaN or infinite numbers; remove them")
            return x.astype(np.float32) if x.dtype.itemsize < 4 else x
        return x if self.keeps_integers else x.astype(np.float32)

    def batch_size(self, x: np.ndarray) -> int:
        """How many examples fit into memory together."""
        # The empty batch finds every misfit before any number is computed.
        largest = max(map(prod, self.shapes(x.shape[1:]).values()))
        return min(_BATCH, max(1, _BATCH_BYTES // (8 * 4 * largest)))

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shape of one example at every node: what the ops make of an empty batch."""
        dtype = np.int64 if self.keeps_integers else np.float32
        values = self._evaluate(np.empty((0, *shape), dtype), set(self.readers) | self.wanted)
        return {name: value.shape[1:] for name, value in values.items()}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The values of the nodes that are wanted."""
        return self._evaluate(x, self.wanted)

    def _evaluate(self, x: np.ndarray, wanted: set[str]) -> dict[str, np.ndarray]:
        left = Counter(self.readers)
        values: dict[str, np.ndarray] = {}
        for node in self.wiring:
            values[node.name] = self._step(node, x, values)
            for name in (*set(node.inputs), node.name):
                left[name] -= name != node.name
                if not left[name] and name not in wanted:
                    del values[name]
        return values

    def _step(self, node: Node, x: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        if node.op == "input":
            if node is not self.wiring[0]:
                raise unsupported(node)
            return x
        if node.layer is None:
            try:
                return apply_op(node, [values[name] for name in node.inputs])
            except ChainError as error:
                raise ChainError(f"node {node.name!r} ({node.op}): {error}") from None
        layer, value = self.layers[node.layer], values[node.inputs[0]]
        try:
            return apply_layer(layer, self.weight(layer) if len(value) else None, value)
        except ChainError as error:
            raise ChainError(f"{error}, from {self._origin(node.inputs[0])}") from None

    def _origin(self, name: str) -> str:
        """Where a value comes from, down to the layer that made it."""
        nodes = {node.name: node for node in self.wiring}
        at = nodes[name]
        while at.layer is None and at.inputs:
            at = nodes[at.inputs[0]]
        maker = f"layer {at.layer!r}" if at.layer else "the network's input"
        return maker if at.name == name else f"node {name!r} behind {maker}"


def _reader(network: Network) -> Callable[[Layer], np.ndarray]:
    """A function that gives a layer's weights with its mask applied."""
    held: dict[str, np.ndarray] = {}
    hold = sum(8 * layer.size for layer in network) <= _HELD_BYTES

    def read(layer: Layer) -> np.ndarray:
        if layer.name in held:
            return held[layer.name]
        weight = layer.array()
        if layer.mask is not None:
            weight = np.where(layer.mask, weight, 0)
        if hold:
            held[layer.name] = weight
        return weight

    return read
