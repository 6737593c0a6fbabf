"""Graphs whose singular values, components and degrees are known in closed form.

Parametrise over it with ``@pytest.mark.parametrize("known", ZOO, ids=str)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, cos, pi, sqrt

import numpy as np
from scipy.sparse import csr_array

import nngraph as ng
from nngraph import ensembles


@dataclass(frozen=True, eq=False)
class Known:
    """A graph and what is true of it.

    ``singular_values`` are all min(n_out, n_in) of the signed weights, from the largest down, and
    degrees those of each vertex. ``ramanujan``: connected, biregular, and the second singular value
    is at most sqrt(in_degree - 1) + sqrt(out_degree - 1); None where nothing is said.
    """

    name: str
    graph: ng.LayerGraph
    singular_values: np.ndarray
    components: int
    in_degrees: np.ndarray
    out_degrees: np.ndarray
    ramanujan: bool | None = None

    def __str__(self) -> str:
        return self.name


def known(name, graph, values, components, degrees, ramanujan=None) -> Known:  # noqa: PLR0917
    """`values` maps a singular value to how often it comes, or lists them; zeros are filled in.

    `degrees` are those of inputs and of outputs, one number or one per vertex.
    """
    if isinstance(values, dict):
        values = [value for value, times in values.items() for _ in range(times)]
    values = sorted(values, reverse=True)
    values += [0.0] * (min(graph.shape) - len(values))
    assert len(values) == min(graph.shape), name
    sides = (
        np.broadcast_to(degree, n)
        for degree, n in zip(degrees, (graph.n_in, graph.n_out), strict=True)
    )
    return Known(name, graph, np.array(values), components, *sides, ramanujan)


def _complete(n_out, n_in):
    graph = ensembles.complete(n_out, n_in)
    return known(f"K{n_out},{n_in}", graph, [sqrt(n_out * n_in)], 1, (n_out, n_in), True)


def _path(n):
    graph = ensembles.path(n)
    values = [2 * cos(pi * k / (n + 1)) for k in range(1, n // 2 + 1)]
    ends = np.full(n, 2)
    ends[[0, -1]] = 1
    return known(f"path{n}", graph, values, 1, (ends[::2], ends[1::2]))


def _cycle(n):
    values = [abs(2 * cos(pi * k / n)) for k in range(n)]
    return known(f"cycle{2 * n}", ensembles.cycle(n), values, 1, (2, 2))


def _hypercube(d):
    values = {float(d - 2 * i): comb(d, i) for i in range((d + 1) // 2)}
    return known(f"hypercube{d}", ensembles.hypercube(d), values, 1, (d, d))


def _plane(q):
    n = q * q + q + 1
    values = {q + 1.0: 1, sqrt(q): n - 1}
    return known(f"plane{q}", ensembles.projective_plane(q), values, 1, (q + 1, q + 1), True)


def _array(q, blocks):
    values = {sqrt(blocks * q): 1, sqrt(q): blocks * (q - 1)}
    graph = ensembles.array_code(q, blocks)
    return known(f"array{q},{blocks}", graph, values, 1, (blocks, q), True)


def _union(*parts):
    graph = ensembles.disjoint_union(*(part.graph for part in parts))
    values = np.concatenate([part.singular_values for part in parts]).tolist()
    name, components = "+".join(p.name for p in parts), sum(p.components for p in parts)
    inputs = np.concatenate([p.in_degrees for p in parts])
    outputs = np.concatenate([p.out_degrees for p in parts])
    return known(name, graph, values, components, (inputs, outputs))


def _isolated():
    """K_{2,3} with two inputs and an output that have no edge."""
    weights = np.zeros((3, 5))
    weights[:2, 1:4] = 1
    graph = ng.LayerGraph(weights, "isolated")
    return known("isolated", graph, [sqrt(6)], 4, ([0, 2, 2, 2, 0], [3, 3, 0]))


def _rank_one(dtype):
    u, v = np.array([1.0, 2.0, -4.0], dtype), np.array([0.5, 1.0, 2.0, 8.0], dtype)
    value = sqrt(21.0) * sqrt(69.25)
    name = f"rank1-{np.dtype(dtype)}"
    return known(name, ng.LayerGraph(np.outer(u, v)), [value], 1, (3, 4))


def _diagonal():
    """A matching with weights 3, -2, 0, 1: the edge of weight 0 is stored."""
    weights = csr_array((np.array([3.0, -2.0, 0.0, 1.0]), ([0, 1, 2, 3], [0, 1, 2, 3])))
    return known("diagonal", ng.LayerGraph(weights), [3.0, 2.0, 1.0], 4, (1, 1))


def _hadamard():
    two = np.array([[1.0, 1.0], [1.0, -1.0]])
    return known("hadamard4", ng.LayerGraph(np.kron(two, two)), {2.0: 4}, 1, (4, 4))


def _edgeless():
    return known("edgeless", ng.LayerGraph(np.zeros((2, 3))), [], 5, (0, 0))


ZOO = [
    *(_complete(*shape) for shape in [(1, 1), (1, 6), (6, 1), (3, 4), (5, 2)]),
    *map(_path, [2, 3, 6, 7]),
    *map(_cycle, [2, 3, 4, 6]),
    *map(_hypercube, [1, 2, 3, 4]),
    *map(_plane, [2, 3, 5]),
    *(_array(*size) for size in [(3, 2), (5, 3)]),
    _union(_plane(3), _plane(3)),
    _union(_complete(2, 3), _cycle(3), _complete(1, 1), _edgeless()),
    _isolated(),
    _rank_one("float64"),
    _rank_one("float32"),
    _diagonal(),
    _hadamard(),
    _edgeless(),
]
