"""Evaluation of a network's wiring in NumPy: outputs, activations, shapes, accuracy.

It exists so that what needs data works with no framework installed; it is no inference engine.
The module is not called ``forward`` because ``nngraph.forward`` is the function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ._errors import GraphError
from ._run import Run, output_shapes
from .network import Network

__all__ = ["accuracy", "activations", "forward", "output_shapes", "stream_activations"]


def forward(network: Network, x) -> np.ndarray:
    """The network's output for the examples `x`.

    Parameters
    ----------
    network : Network
        With wiring. Masks are applied: a masked weight counts as 0.
    x : array_like, shape (n, features) or ``(n, channels, *space)``
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


def activations(
    network: Network, x, *, nodes: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The values of the network's nodes for the examples `x`.

    Parameters
    ----------
    network : Network
        With wiring; masks are applied.
    x : array_like, shape (n, features) or ``(n, channels, *space)``
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
    run = Run(network, nodes, "activations")
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
    run = Run(network, nodes, "activations")
    for batch in batches:
        yield run(run.examples(batch))


def accuracy(network: Network, images, labels, masks: Mapping | None = None) -> float:
    """The fraction of examples whose largest output is the one of their label.

    Parameters
    ----------
    network : Network
        With wiring, and an output of one number per class; whether softmax comes last makes no
        difference.
    images : array_like, shape (n, features) or ``(n, channels, *space)``
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
    images = np.asarray(images)
    if images.ndim and len(labels) != len(images):
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
