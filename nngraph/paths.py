"""How many paths lead through a network, and the weight that they carry."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log2

import numpy as np

from ._canonical import FrozenArrays
from ._errors import GraphError
from ._sweeps import Flow, position, push
from .edge_values import EdgeValues
from .graph import LayerGraph, NetworkGraph, require_nonnegative
from .tables import Table


@dataclass(frozen=True, eq=False)
class PathSums(FrozenArrays):
    """Sums over the paths from a network's input to its output.

    Parameters
    ----------
    network : NetworkGraph
    weighted : bool
        Whether a path counts with the product of its weights, or as 1.
    total : int or float
        Over all paths. Counts are exact Python ints of any size.
    arriving : tuple of ndarray, shape (n_in,) each
        For each layer, over the paths from the network's input to each input vertex. Counts are
        int64, or Python ints in an object array where they may not fit.
    leaving : tuple of ndarray, shape (n_out,) each
        For each layer, over the paths from each output vertex to the network's output.
    crossing : tuple of int or float
        For each layer, over the paths that run through it: the total in a plain chain, less beside
        a skip connection.
    """

    network: NetworkGraph
    weighted: bool
    total: int | float
    arriving: tuple[np.ndarray, ...]
    leaving: tuple[np.ndarray, ...]
    crossing: tuple[int | float, ...]

    @property
    def log2_total(self) -> float:
        """The binary logarithm of the total; minus infinity where no path leads through."""
        return _log2(self.total)

    def edges(self, layer: int | str) -> EdgeValues:
        """Sum over the paths through each edge of a layer.

        Counts up to 2^53 are exact; what is larger than any float64 (1.8e308) is infinite.
        """
        k = position(self.network, layer)
        graph = self.network[k]
        with np.errstate(over="ignore", invalid="ignore"):
            values = _pairs(graph, np.multiply, _floats(self.arriving[k]), _floats(self.leaving[k]))
            if self.weighted:
                values = values * graph.data
            else:
                values[np.isnan(values)] = 0.0  # 0 paths times more than a float64 can hold
        values.flags.writeable = False  # so that it is not copied
        return EdgeValues(values, graph, self._report())

    def log2_edges(self, layer: int | str) -> EdgeValues:
        """The binary logarithm of :meth:`edges`, which no number of paths overflows."""
        k = position(self.network, layer)
        graph = self.network[k]
        values = _pairs(graph, np.add, _logs(self.arriving[k]), _logs(self.leaving[k]))
        if self.weighted:
            values = values + _logs(graph.data)
        values.flags.writeable = False  # so that it is not copied
        return EdgeValues(values, graph, self._report())

    def table(self) -> Table:
        """One row per layer: log2 of the sum over the paths through it, and its share of all."""
        shares = [part / self.total if self.total else 0.0 for part in self.crossing]
        columns = {
            "layer": self.network.names,
            "log2_paths": [_log2(part) for part in self.crossing],
            "share": shares,
        }
        return Table(columns)

    def _report(self) -> dict:
        method = "path weights" if self.weighted else "path counts"
        return {"method": method, "log2_total": self.log2_total}

    def __repr__(self) -> str:
        what = "sum of path weights" if self.weighted else "number of paths"
        return f"<PathSums: {what} 2^{self.log2_total:.6g} through {len(self.network)} layers>"


def path_counts(network: NetworkGraph) -> PathSums:
    """Number of paths from a network's input to its output, in all, per vertex and per edge.

    Parameters
    ----------
    network : NetworkGraph
        With joins. A path is a sequence of joined vertices and edges, of weight 0 or not.

    Returns
    -------
    PathSums
        ``total`` is an exact Python int.

    Raises
    ------
    ChainError
        The joins are unknown, do not fit the layers, form a loop, or miss the input or the output.

    Notes
    -----
    Cost: O(edges + entries of the joins), each layer built twice; O(vertices) for a complete layer.
    Counts beyond 2^62 are added as Python ints, which is some ten times slower.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.array([[1.0, 0.0], [1.0, 1.0]]), np.ones((3, 2))])
    >>> paths = ng.path_counts(net)
    >>> paths.total, np.asarray(paths.edges(1))
    (9, array([1., 2., 1., 2., 1., 2.]))
    """
    flow = Flow.of(network, "counting paths")

    def cross(k: int, graph: LayerGraph, values: np.ndarray, back: bool) -> np.ndarray:
        return push(graph.weights, values, back)

    there = flow.forward(np.ones(flow.n_input, np.int64), cross)
    home = flow.backward(np.ones(flow.n_output, np.int64), cross)
    crossing = tuple(map(_dot, there.outputs, home.outputs))
    total = _dot(there.end, np.ones_like(there.end))
    return PathSums(network, False, total, there.inputs, home.outputs, crossing)


def path_weights(network: NetworkGraph) -> PathSums:
    """Sum of the products of weights along the paths from a network's input to its output.

    Parameters
    ----------
    network : NetworkGraph
        With joins and weights >= 0. Joins count as 1.

    Returns
    -------
    PathSums
        ``total`` is a float.

    Raises
    ------
    NegativeWeightError
        A weight is negative; take :func:`magnitude` or :func:`squared` first.
    ChainError
        As for :func:`path_counts`.
    GraphError
        A sum that float64 cannot hold; scale the weights, which multiplies the sums.

    Notes
    -----
    With absolute weights, ``edges`` is the SynFlow score of each parameter; in a plain chain its
    sum over any layer is the total (Tanaka et al. 2020, arXiv:2006.05467, theorem 1). With squared
    weights the total is the squared path norm (Neyshabur et al. 2015, arXiv:1503.00036). Cost:
    O(edges + entries of the joins), each layer built twice.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> net = ng.NetworkGraph([np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 3.0]])])
    >>> paths = ng.path_weights(net)
    >>> paths.total, np.asarray(paths.edges(0))
    (8.0, array([2., 3., 3.]))
    """
    flow = Flow.of(network, "weighing paths")

    def cross(k: int, graph: LayerGraph, values: np.ndarray, back: bool) -> np.ndarray:
        if not back:
            require_nonnegative(graph, "the weight of paths")
        return (graph.weights.T if back else graph.weights) @ values

    with np.errstate(over="ignore", invalid="ignore"):
        there = flow.forward(np.ones(flow.n_input), cross)
        home = flow.backward(np.ones(flow.n_output), cross)
        crossing = tuple(map(_dot, there.outputs, home.outputs))
        total = _dot(there.end, np.ones_like(there.end))
    if not all(np.isfinite(v).all() for v in (*there.outputs, *home.inputs, total, crossing)):
        raise GraphError(
            "a sum over paths is larger than 1.8e308; scale the weights (sums are multiplied with "
            "the product of the scales) or take nngraph.path_counts"
        )
    return PathSums(network, True, total, there.inputs, home.outputs, crossing)


def _pairs(graph: LayerGraph, combine: np.ufunc, at_inputs, at_outputs) -> np.ndarray:
    """A value of each edge's input combined with one of its output, in edge order."""
    if not graph.is_sparse:
        return combine.outer(at_outputs, at_inputs).ravel()
    w = graph.weights
    return combine(np.repeat(at_outputs, np.diff(w.indptr)), at_inputs[w.indices])


def _dot(first: np.ndarray, second: np.ndarray) -> int | float:
    """The inner product, exact for counts."""
    if first.dtype.kind == "f":
        return float(first @ second)
    return sum(a * b for a, b in zip(first.tolist(), second.tolist(), strict=True))


def _floats(values: np.ndarray) -> np.ndarray:
    """As float64, infinite where it cannot hold a Python int."""
    if values.dtype != object:
        return values.astype(np.float64)
    return np.array([float(v) if v.bit_length() < 1024 else inf for v in values])


def _logs(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.array([_log2(v) for v in values])
    found = np.full(values.shape, -inf)
    np.log2(values, out=found, where=values > 0, dtype=np.float64)
    return found


def _log2(value: int | float) -> float:
    return log2(value) if value > 0 else -inf
