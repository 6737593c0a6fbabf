"""What is connected with what: components of a layer, and paths through the whole network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ._canonical import FrozenArrays
from ._errors import GraphError
from ._sweeps import Flow, position, push
from .graph import LayerGraph, NetworkGraph, as_layer_graph
from .matrices import Sides, degrees
from .tables import Table


@dataclass(frozen=True, eq=False)
class Components(FrozenArrays):
    """The connected components of a layer graph.

    Parameters
    ----------
    count : int
        Number of components; an isolated vertex is one of its own.
    labels : ndarray of int64, shape (n_in + n_out,)
        Component of each vertex, inputs first, then outputs, numbered in the order in which their
        first vertices come.
    n_in : int
        Number of inputs.
    """

    count: int
    labels: np.ndarray
    n_in: int

    @property
    def inputs(self) -> np.ndarray:
        """Component of each input."""
        return self.labels[: self.n_in]

    @property
    def outputs(self) -> np.ndarray:
        """Component of each output."""
        return self.labels[self.n_in :]

    def table(self) -> Table:
        """One row per component: its number of inputs and of outputs."""
        sizes = [np.bincount(side, minlength=self.count) for side in (self.inputs, self.outputs)]
        columns = {"component": range(self.count), "inputs": sizes[0], "outputs": sizes[1]}
        return Table(columns)

    def __repr__(self) -> str:
        return f"<Components: {self.count} of {len(self.labels)} vertices>"


def components(graph: LayerGraph) -> Components:
    """The connected components of a layer graph.

    Parameters
    ----------
    graph : LayerGraph
        Weights do not matter: an edge of weight 0 connects.

    Returns
    -------
    Components
        ``count`` and ``labels``.

    Notes
    -----
    Cost: O(edges) by ``scipy.sparse.csgraph.connected_components``; O(vertices) for a complete
    layer.

    Examples
    --------
    >>> import nngraph as ng
    >>> c = ng.components(ng.LayerGraph([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    >>> c.count, c.labels
    (3, array([0, 1, 2, 0, 1]))
    >>> print(c.table())
    component  inputs  outputs
            0       1        1
            1       1        1
            2       1        0
    """
    from scipy.sparse.csgraph import connected_components

    graph = as_layer_graph(graph)
    n = graph.n_in + graph.n_out
    if not graph.is_sparse:
        return Components(1, np.zeros(n, np.int64), graph.n_in)
    w = graph.weights
    # Rows of the inputs are empty: one direction of each edge is enough for weak connection.
    indptr = np.concatenate([np.zeros(graph.n_in, w.indptr.dtype), w.indptr])
    directed = csr_array((np.ones(w.nnz), w.indices, indptr), shape=(n, n))
    count, labels = connected_components(directed, connection="weak")
    return Components(int(count), labels.astype(np.int64), graph.n_in)


def isolated(graph: LayerGraph) -> Sides:
    """The vertices without an edge.

    Parameters
    ----------
    graph : LayerGraph

    Returns
    -------
    Sides
        ``(inputs, outputs)``, two sorted int64 arrays of indices.

    Notes
    -----
    Cost: O(edges); O(vertices) for a complete layer.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.isolated(ng.LayerGraph([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    Sides(inputs=array([2]), outputs=array([], dtype=int64))
    """
    return Sides(*(np.flatnonzero(count == 0) for count in degrees(graph)))


@dataclass(frozen=True, eq=False)
class Reachability(FrozenArrays):
    """Which vertices the network's input reaches, and which reach its output.

    Parameters
    ----------
    network : NetworkGraph
        The network that was searched.
    from_input, to_output : tuple of Sides of ndarray of bool
        For each layer, whether a path leads from the network's input to its inputs and outputs, and
        from these to the network's output.
    n_edges, n_effective, n_pairs : tuple of int
        For each layer, its edges, those on a path from input to output, and ``n_out * n_in``.
    """

    network: NetworkGraph
    from_input: tuple[Sides, ...]
    to_output: tuple[Sides, ...]
    n_edges: tuple[int, ...]
    n_effective: tuple[int, ...]
    n_pairs: tuple[int, ...]

    def edges(self, layer: int | str) -> np.ndarray:
        """Whether each edge of a layer lies on a path from input to output, in edge order."""
        k = position(self.network, layer)
        graph, live, wanted = self.network[k], self.from_input[k].inputs, self.to_output[k].outputs
        if not graph.is_sparse:
            return np.outer(wanted, live).ravel()
        w = graph.weights
        return np.repeat(wanted, np.diff(w.indptr)) & live[w.indices]

    def __repr__(self) -> str:
        return (
            f"<Reachability: {sum(self.n_effective)} of {sum(self.n_edges)} edges of "
            f"{len(self.network)} layers lie on a path from input to output>"
        )


def reachability(network: NetworkGraph) -> Reachability:
    """Search a network from its input forward and from its output back.

    Parameters
    ----------
    network : NetworkGraph
        With joins; sums, concatenations and skip connections are followed.

    Returns
    -------
    Reachability

    Raises
    ------
    ChainError
        The joins are unknown, do not fit the layers, form a loop, or miss the input or the output.

    Notes
    -----
    An edge of weight 0 leads on, as every edge does. Biases and norms are no edges: a unit that
    nothing reaches may still put out a constant. Cost: O(edges + entries of the joins), each layer
    built twice; O(vertices) for a complete layer.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])])
    >>> r = ng.reachability(net)
    >>> r
    <Reachability: 2 of 3 edges of 2 layers lie on a path from input to output>
    >>> r.edges(0)
    array([ True, False])
    """
    flow = Flow.of(network, "following paths")
    counts: dict[int, tuple[int, int, int]] = {}

    def cross(k: int, graph: LayerGraph, values: np.ndarray, back: bool) -> np.ndarray:
        if back:
            on_path = push(graph.weights, live[k].astype(np.int64), False)[values]
            counts[k] = graph.n_edges, int(on_path.sum()), graph.n_in * graph.n_out
        return push(graph.weights, values, back)

    there = flow.forward(np.ones(flow.n_input, bool), cross)
    live = there.inputs
    home = flow.backward(np.ones(flow.n_output, bool), cross)
    return Reachability(
        network,
        tuple(map(Sides, there.inputs, there.outputs)),
        tuple(map(Sides, home.inputs, home.outputs)),
        *zip(*(counts[k] for k in range(len(network))), strict=True),
    )


@dataclass(frozen=True, eq=False)
class DeadUnits(FrozenArrays):
    """Outputs of layers that lie on no path from the network's input to its output.

    Parameters
    ----------
    names : tuple of str
        The layers.
    n_out : tuple of int
        Their numbers of outputs.
    unreachable : tuple of ndarray of int64
        For each layer, the outputs that no path from the network's input reaches: they put out a
        constant.
    unused : tuple of ndarray of int64
        For each layer, the outputs from which no path leads to the network's output: nobody
        listens.
    """

    names: tuple[str, ...]
    n_out: tuple[int, ...]
    unreachable: tuple[np.ndarray, ...]
    unused: tuple[np.ndarray, ...]

    def table(self) -> Table:
        """One row per layer: outputs, unreachable, unused, and dead (the one or the other)."""
        pairs = list(zip(self.unreachable, self.unused, strict=True))
        return Table({
            "layer": self.names,
            "outputs": self.n_out,
            "unreachable": [len(first) for first, _ in pairs],
            "unused": [len(second) for _, second in pairs],
            "dead": [len(np.union1d(*pair)) for pair in pairs],
        })

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def dead_units(network: NetworkGraph | Reachability) -> DeadUnits:
    """The outputs of each layer that lie on no path from the network's input to its output.

    Parameters
    ----------
    network : NetworkGraph or Reachability
        A :class:`nngraph.connectivity.Reachability` saves searching the network again.

    Returns
    -------
    DeadUnits

    Raises
    ------
    ChainError
        As for :func:`reachability`.

    Notes
    -----
    Cost: that of :func:`reachability`.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> first = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    >>> ng.dead_units(ng.NetworkGraph([first, np.array([[1.0, 1.0, 0.0]])]))
    layer    outputs  unreachable  unused  dead
    layer 0        3            1       1     2
    layer 1        1            0       0     0
    """
    found = _searched(network)
    return DeadUnits(
        found.network.names,
        tuple(len(sides.outputs) for sides in found.from_input),
        tuple(np.flatnonzero(~sides.outputs) for sides in found.from_input),
        tuple(np.flatnonzero(~sides.outputs) for sides in found.to_output),
    )


def effective_edges(network: NetworkGraph | Reachability) -> Table:
    """How many edges of each layer lie on a path from the network's input to its output.

    Parameters
    ----------
    network : NetworkGraph or Reachability

    Returns
    -------
    Table
        One row per layer: ``layer``, ``edges``, ``effective_edges``, ``density`` and
        ``effective_density`` (over ``n_out * n_in``), ``collapsed`` (no edge is effective).

    Raises
    ------
    ChainError
        As for :func:`reachability`.

    See Also
    --------
    reachability : ``reachability(network).edges(layer)`` tells which edges they are.

    Notes
    -----
    Cost: that of :func:`reachability`. Vysogorets & Kempe (2023), Connectivity matters: neural
    network pruning through the lens of effective sparsity, JMLR 24.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])])
    >>> ng.effective_edges(net)
    layer    edges  effective_edges  density  effective_density  collapsed
    layer 0      2                1      0.5               0.25         no
    layer 1      1                1      0.5                0.5         no
    """
    found = _searched(network)
    pairs = np.array(found.n_pairs)
    return Table({
        "layer": found.network.names,
        "edges": found.n_edges,
        "effective_edges": found.n_effective,
        "density": np.array(found.n_edges) / pairs,
        "effective_density": np.array(found.n_effective) / pairs,
        "collapsed": [n == 0 for n in found.n_effective],
    })


def effective_sparsity(
    network: NetworkGraph | Reachability, *, total: int | None = None
) -> float:
    """The fraction of parameters that lie on no path from the network's input to its output.

    Parameters
    ----------
    network : NetworkGraph or Reachability
    total : int, optional
        Number of parameters before pruning. Default: the sum of ``n_out * n_in``; say it where that
        counts pairs that never had a parameter (groups, the unit view).

    Returns
    -------
    float
        ``1 - effective edges / total``: at least the sparsity of the masks.

    Raises
    ------
    ChainError
        As for :func:`reachability`.
    GraphError
        A `total` below the number of effective edges.

    Notes
    -----
    Cost: that of :func:`reachability`.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])])
    >>> round(ng.effective_sparsity(net), 3)
    0.667
    """
    found = _searched(network)
    effective = sum(found.n_effective)
    total = sum(found.n_pairs) if total is None else total
    if total < max(effective, 1):
        raise GraphError(
            f"total={total} parameters cannot hold the {effective} effective edges; it is the "
            "number of parameters before pruning"
        )
    return 1 - effective / total


def layer_collapse(network: NetworkGraph | Reachability) -> tuple[str, ...]:
    """The layers none of whose edges lies on a path from the network's input to its output.

    Parameters
    ----------
    network : NetworkGraph or Reachability

    Returns
    -------
    tuple of str
        Their names, in the network's order. In a plain chain all layers collapse or none does.

    Raises
    ------
    ChainError
        As for :func:`reachability`.

    Notes
    -----
    Cost: that of :func:`reachability`.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> first = ng.LayerGraph([[1.0], [0.0]], "first")
    >>> ng.layer_collapse(ng.NetworkGraph([first, np.array([[0.0, 1.0]])]))
    ('first', 'layer 1')
    """
    found = _searched(network)
    counts = zip(found.network.names, found.n_effective, strict=True)
    return tuple(name for name, n in counts if n == 0)


def _searched(network: NetworkGraph | Reachability) -> Reachability:
    return network if isinstance(network, Reachability) else reachability(network)
