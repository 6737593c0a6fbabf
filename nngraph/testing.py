"""Hypothesis strategies for graphs and networks, for your own property tests (extra ``test``).

What they draw is small and often nasty: vertices without edges, several components, edges of weight
0, a single edge, equal weights, float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import GraphError, did_you_mean
from .bags import from_tensors
from .chains import wire
from .graph import LayerGraph, NetworkGraph, from_mask
from .network import Network
from .tables import require

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

WEIGHTS = ("positive", "signed", "unit", "nonnegative")


def layer_graphs(
    *,
    max_side: int = 20,
    weights: str = "signed",
    sparse: bool | None = None,
    connected: bool | None = None,
    dtype: Any = None,
    shape: tuple[int, int] | None = None,
) -> SearchStrategy[LayerGraph]:
    """A Hypothesis strategy for layer graphs.

    Parameters
    ----------
    max_side : int
        Most vertices on a side.
    weights : {"signed", "positive", "unit", "nonnegative"}
        Weights are 0 or have absolute values from 2^-10 to 2^10; ``"signed"`` and ``"nonnegative"``
        have edges of weight 0 now and then, ``"positive"`` never, ``"unit"`` has only ones.
    sparse : bool, optional
        True: some pair is no edge, so that ``weights`` is a ``csr_array``. False: complete graphs.
    connected : bool, optional
        True: one component and no isolated vertex. False: several components.
    dtype : {"float32", "float64"}, optional
        Default: either.
    shape : (n_out, n_in), optional
        Default: any up to `max_side`.

    Returns
    -------
    hypothesis.strategies.SearchStrategy

    Raises
    ------
    MissingExtraError
        Hypothesis is not installed.
    GraphError
        An unknown kind of weights, or options that no graph meets.

    Notes
    -----
    Where neither option forbids it, a graph may have no edge at all.

    Examples
    --------
    >>> from hypothesis import given
    >>> from nngraph.testing import layer_graphs
    >>> @given(layer_graphs(max_side=5, weights="positive"))
    ... def test_weights_are_positive(g):
    ...     assert (g.data > 0).all()
    >>> test_weights_are_positive()
    """
    st = require("hypothesis.strategies", "test")
    if weights not in WEIGHTS:
        raise GraphError(f"no weights are called {weights!r}{did_you_mean(weights, WEIGHTS)}")
    if connected is False and sparse is False:
        raise GraphError("a complete graph is connected; drop connected=False or sparse=False")
    least = 2 if sparse or connected is False else 1
    tree = bool(sparse and connected)  # and not all pairs: two vertices at least on each side
    if max_side < least or (shape and (shape[0] * shape[1] < least or (tree and 1 in shape))):
        raise GraphError(f"no graph of this size has sparse={sparse} and connected={connected}")

    @st.composite
    def build(draw) -> LayerGraph:
        n_out, n_in = shape or draw(_shapes(st, max_side, least, tree=tree))
        mask = draw(_patterns(st, n_out, n_in, sparse, connected))
        kind = np.dtype(dtype or draw(st.sampled_from(["float64", "float32"])))
        values = np.zeros((n_out, n_in), kind)
        values[mask] = draw(_weights(st, int(mask.sum()), weights, kind))
        return from_mask(values, mask, draw(st.sampled_from(["", "fc"])))

    return build()


def network_graphs(
    *,
    max_layers: int = 4,
    max_side: int = 8,
    weights: str = "signed",
    sparse: bool | None = None,
    dtype: Any = None,
) -> SearchStrategy[NetworkGraph]:
    """A Hypothesis strategy for network graphs that are chains.

    Parameters
    ----------
    max_layers : int
        Most layers.
    max_side : int
        Most vertices of a set.
    weights, sparse, dtype
        As for :func:`layer_graphs`.

    Returns
    -------
    hypothesis.strategies.SearchStrategy

    Raises
    ------
    MissingExtraError
        Hypothesis is not installed.
    GraphError
        As for :func:`layer_graphs`.

    Examples
    --------
    >>> from hypothesis import given
    >>> from nngraph.testing import network_graphs
    >>> @given(network_graphs(max_layers=3))
    ... def test_layers_fit(net):
    ...     assert all(a.n_out == b.n_in for a, b in zip(net, list(net)[1:]))
    >>> test_layers_fit()
    """
    st = require("hypothesis.strategies", "test")
    options = {"weights": weights, "sparse": sparse, "dtype": dtype}
    layer_graphs(max_side=max_side, **options)  # checks the options
    least = 2 if sparse else 1

    @st.composite
    def build(draw) -> NetworkGraph:
        sizes = draw(st.lists(st.integers(least, max_side), min_size=2, max_size=max_layers + 1))
        shapes = zip(sizes[1:], sizes[:-1], strict=True)
        layers = [draw(layer_graphs(shape=shape, **options)) for shape in shapes]
        return NetworkGraph(layers, names=[f"fc{k}" for k in range(len(layers))])

    return build()


def networks(
    *, kind: str | None = None, max_side: int = 5, masked: bool | None = None
) -> SearchStrategy[Network]:
    """A Hypothesis strategy for small wired networks: MLPs and convolutional networks.

    Parameters
    ----------
    kind : {"mlp", "convnet"}, optional
        Default: either. A convnet has one or two convolutions (stride, padding, dilation, groups),
        activations, perhaps batch norms and a pooling, then a linear layer; an MLP may have a skip
        connection.
    max_side : int
        Most units or channels of a layer.
    masked : bool, optional
        Whether some layers have masks. Default: either.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        The networks state their input shape.

    Raises
    ------
    MissingExtraError
        Hypothesis is not installed.
    GraphError
        An unknown kind.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> import nngraph as ng
    >>> from nngraph.testing import networks
    >>> @settings(max_examples=10)
    ... @given(networks(kind="mlp"))
    ... def test_outputs(net):
    ...     x = np.zeros((2, *net.input_shape))
    ...     assert ng.forward(net, x).shape == (2, net.layers[-1].n_out)
    >>> test_outputs()
    """
    st = require("hypothesis.strategies", "test")
    kinds = {"mlp": _mlp, "convnet": _convnet}
    if kind is not None and kind not in kinds:
        raise GraphError(f"no network is of kind {kind!r}{did_you_mean(kind, kinds)}")

    @st.composite
    def build(draw) -> Network:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        make = kinds[kind or draw(st.sampled_from(["mlp", "convnet"]))]
        tensors, chain = make(draw, st, max_side, rng)
        network = wire(from_tensors(tensors), chain)
        masks = {}
        for layer in network:
            if draw(st.booleans()) if masked is None else masked:
                masks[layer.name] = rng.random(layer.shape) < draw(st.sampled_from([0.5, 0.8, 0.2]))
        return network.with_masks(masks)

    return build()


# -- parts of graphs -------------------------------------------------------------------------


def _shapes(st, max_side: int, least_pairs: int, *, tree: bool):
    sides = st.tuples(st.integers(1, max_side), st.integers(1, max_side))
    if tree:
        return sides.filter(lambda shape: min(shape) > 1)
    return sides.filter(lambda shape: shape[0] * shape[1] >= least_pairs)


def _patterns(st, n_out: int, n_in: int, sparse: bool | None, connected: bool | None):
    """Strategy for bool arrays, True where there is an edge."""

    @st.composite
    def build(draw) -> np.ndarray:
        if sparse is False:
            return np.ones((n_out, n_in), bool)
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        density = draw(st.sampled_from([0.5, 0.2, 0.9, 0.05, 0.0, 1.0]))
        mask = rng.random((n_out, n_in)) < density
        shape = draw(st.sampled_from(["plain", "blocks", "bare", "one edge"]))
        if shape == "blocks":
            here, there = (np.arange(n) < draw(st.integers(0, n)) for n in (n_out, n_in))
            mask &= here[:, None] == there
        elif shape == "bare":
            mask &= (rng.random(n_out) < 0.7)[:, None] & (rng.random(n_in) < 0.7)
        elif shape == "one edge":
            mask[:] = False
            mask[rng.integers(n_out), rng.integers(n_in)] = True
        if connected:
            _connect(mask, rng)
        elif connected is False:
            _cut_off(mask, rng)
        if sparse and mask.all():
            mask[-1, -1] = False
        return mask

    return build()


def _connect(mask: np.ndarray, rng) -> None:
    """Add a random spanning tree: each vertex of c0 r0 c1 r1 ... is joined with an earlier one."""
    rows, columns = rng.permutation(mask.shape[0]), rng.permutation(mask.shape[1])
    mask[rows[0], columns[0]] = True
    for i in range(1, len(rows)):
        mask[rows[i], rng.choice(columns[: i + 1])] = True
    for j in range(1, len(columns)):
        mask[rng.choice(rows[:j]), columns[j]] = True


def _cut_off(mask: np.ndarray, rng) -> None:
    """Take all edges from one vertex of a side that has another."""
    n_out, n_in = mask.shape
    if n_in == 1 or (n_out > 1 and rng.random() < 0.5):
        mask[rng.integers(n_out)] = False
    else:
        mask[:, rng.integers(n_in)] = False


def _weights(st, n: int, weights: str, dtype: np.dtype):
    """Strategy for n weights; the same ones come up again and again."""
    arrays = require("hypothesis.extra.numpy", "test").arrays
    if weights == "unit":
        return st.just(np.ones(n, dtype))
    width = 8 * dtype.itemsize
    sizes = st.one_of(st.just(1.0), st.floats(2.0**-10, 2.0**10, width=width))
    if weights == "signed":
        sizes = st.one_of(sizes, sizes.map(lambda w: -w))
    if weights != "positive":
        sizes = st.one_of(sizes, sizes, sizes, st.just(0.0))
    return arrays(dtype, n, elements=sizes, fill=sizes)


# -- parts of networks -----------------------------------------------------------------------


def _linear(tensors: dict, name: str, n_in: int, n_out: int, rng) -> None:
    tensors[f"{name}.weight"] = rng.normal(size=(n_out, n_in))
    tensors[f"{name}.bias"] = rng.normal(size=n_out)


def _mlp(draw, st, max_side: int, rng) -> tuple[dict, list]:
    sizes = draw(st.lists(st.integers(1, max_side), min_size=2, max_size=4))
    tensors: dict[str, np.ndarray] = {}
    chain: list = [{"input": [sizes[0]]}]
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        _linear(tensors, f"fc{k}", n_in, n_out, rng)
        op = draw(st.sampled_from(["relu", "tanh", "sigmoid"]))
        chain += [f"fc{k}", {"op": op, "name": f"act{k}"}]
    if draw(st.booleans()):  # a residual block at the end
        _linear(tensors, "skipped", n_out, n_out, rng)
        add = {"op": "add", "inputs": [f"act{k}", "skipped"]}
        return tensors, [*chain, "skipped", add, "relu"]
    return tensors, chain[:-1]


def _convnet(draw, st, max_side: int, rng) -> tuple[dict, list]:
    channels, size = draw(st.integers(1, 2)), draw(st.integers(4, 6))
    tensors: dict[str, np.ndarray] = {}
    chain: list = [{"input": [channels, size, size]}]
    for k in range(draw(st.integers(1, 2))):
        groups = draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
        n_out = groups * draw(st.integers(1, max(max_side // groups, 1)))
        kernel, stride = draw(st.integers(1, min(2, size))), draw(st.integers(1, 2))
        padding = draw(st.integers(0, 1))
        dilation = draw(st.integers(1, 2)) if size > 2 else 1
        tensors[f"conv{k}.weight"] = rng.normal(size=(n_out, channels // groups, kernel, kernel))
        chain += [
            {"layer": f"conv{k}", "stride": stride, "padding": padding, "dilation": dilation,
             "groups": groups},
            draw(st.sampled_from(["relu", "gelu"])),
        ]  # fmt: skip
        if draw(st.booleans()):
            names = ("weight", "bias", "running_mean", "running_var")
            tensors |= {f"bn{k}.{name}": rng.uniform(0.5, 2.0, n_out) for name in names}
            chain.append(f"bn{k}")
        size = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        channels = n_out
    if size > 1 and draw(st.booleans()):
        chain.append({"op": draw(st.sampled_from(["max_pool", "avg_pool"])), "kernel": 2})
        size //= 2
    _linear(tensors, "fc", channels * size * size, draw(st.integers(1, max_side)), rng)
    return tensors, [*chain, "flatten", "fc"]
