"""One evaluation of a wiring: what is kept, what is dropped when, and the shapes of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import prod

import numpy as np

from ._errors import ChainError, GraphError, did_you_mean
from ._ops import apply_op, unsupported
from ._windows import apply_layer
from .network import Layer, Network, Node
from .parallel import single_blas_thread

_BATCH = 256  # examples evaluated together, fewer where they are large
_BATCH_BYTES = 2**28  # about what the activations of one batch may take
_HELD_BYTES = 2**28  # weights up to this are read once per call, larger ones once per batch


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
    run = Run(network, None, "the shape of every node")
    shape = network.input_shape if input_shape is None else tuple(int(n) for n in input_shape)
    if shape is None:
        raise ChainError(
            "the shape of one example is not known; pass input_shape=(channels, height, width) or "
            'begin the chain with {"input": [channels, height, width]}'
        )
    if not shape or min(shape) < 1:
        raise ChainError(f"the shape of one example must be positive integers, got {shape}")
    return run.shapes(shape)


def layer_inputs(network: Network, input_shape=None) -> dict[str, tuple[int, ...]]:
    """Shape of the examples that enter each layer that a node uses; one shape per layer."""
    shapes = output_shapes(network, input_shape)
    before: dict[str, tuple[int, ...]] = {}
    for node in network.require_wiring("the shapes that enter layers"):
        if node.layer is not None:
            shape = shapes[node.inputs[0]]
            if before.setdefault(node.layer, shape) != shape:
                raise ChainError(
                    f"layer {node.layer!r} is used on examples of shapes {before[node.layer]} and "
                    f"{shape}, so that it has no single unit view; take the kernel view"
                )
    return before


class Run:
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
        with single_blas_thread():  # the small products of a convolution crawl on busy threads
            return self._evaluate(x, self.wanted)

    def _evaluate(self, x: np.ndarray, wanted: set[str]) -> dict[str, np.ndarray]:
        left = Counter(self.readers)
        values: dict[str, np.ndarray] = {}
        for node in self.wiring:
            values[node.name] = self._step(node, x, values)
            left.subtract(set(node.inputs))
            for name in (*node.inputs, node.name):
                if not left[name] and name not in wanted:
                    values.pop(name, None)
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
