"""Graphs to NetworkX and back, exactly."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from ._errors import ChainError, GraphError, WeightError
from .graph import Join, LayerGraph, NetworkGraph, as_layer_graph

if TYPE_CHECKING:
    import networkx


def to_networkx(graph: LayerGraph | NetworkGraph) -> networkx.Graph:
    """The graph as a NetworkX graph.

    Parameters
    ----------
    graph : LayerGraph or NetworkGraph

    Returns
    -------
    networkx.Graph
        Nodes are integers, one set of vertices after the other; isolated vertices are there too.
        Node attribute ``layer`` is the number of the vertex set, ``bipartite`` is ``layer % 2``; an
        edge has its ``weight`` as a Python float, and ``parameter`` where the layer has it. The
        graph's attributes hold name, type and view.

        The vertex sets of a layer are 0, its inputs, and 1, its outputs. A chain in which each
        layer's inputs are the outputs of the one before has the sets 0, 1, ..., L. In any other
        network layer k has the sets ``2 k`` and ``2 k + 1``, the network's input is set -1 and its
        output ``2 L``, and the entries of joins are edges with an attribute ``joins``.

    Raises
    ------
    ChainError
        A join from a layer to itself.

    Notes
    -----
    Cost: O(vertices + edges) Python objects, some 500 bytes each.

    Examples
    --------
    >>> import nngraph as ng
    >>> G = ng.to_networkx(ng.LayerGraph([[1.0, 2.0], [0.0, 3.0]], "fc"))
    >>> list(G.nodes(data="bipartite")), list(G.edges(data="weight"))
    ([(0, 0), (1, 0), (2, 1), (3, 1)], [(0, 2, 1.0), (1, 2, 2.0), (1, 3, 3.0)])
    """
    import networkx as nx

    G = nx.Graph()
    if not isinstance(graph, NetworkGraph):
        graph = as_layer_graph(graph)
        G.graph["name"] = graph.name
        _add_layer(G, 0, graph, _add_set(G, 0, graph.n_in), _add_set(G, 1, graph.n_out))
        return G
    G.graph.update(names=list(graph.names), view=graph.view)
    if _is_chain(graph):
        ends = _add_set(G, 0, graph[0].n_in)
        for k, layer in enumerate(graph):
            starts, ends = ends, _add_set(G, k + 1, layer.n_out)
            _add_layer(G, k, layer, starts, ends)
    else:
        _add_joined(G, graph)
    return G


def from_networkx(G: networkx.Graph, *, weight: str | None = "weight") -> LayerGraph | NetworkGraph:
    """The layer graph or network graph that a NetworkX graph describes.

    Parameters
    ----------
    G : networkx.Graph
        As :func:`to_networkx` gives it, or any graph whose nodes have an attribute ``bipartite``: 0
        for inputs, 1 for outputs; or ``layer``: 0, 1, ..., L with edges between consecutive ones
        only. Nodes may have any names; their order in `G` is kept.
    weight : str or None
        The edge attribute that holds the weight. None: each edge has weight 1.

    Returns
    -------
    LayerGraph or NetworkGraph
        A network graph if `G` came from one or has more than two values of ``layer``.

    Raises
    ------
    GraphError
        A directed graph or a multigraph, a node without the attributes, or an edge between
        vertices that no edge may join.
    WeightError
        An edge without a weight, or with one that is no finite number.

    Notes
    -----
    Cost: O(vertices + edges).

    Examples
    --------
    >>> import networkx as nx, nngraph as ng
    >>> G = nx.Graph([("a", "x", {"weight": 2.0}), ("b", "x", {"weight": 3.0})])
    >>> nx.set_node_attributes(G, {"a": 0, "b": 0, "x": 1}, "bipartite")
    >>> ng.from_networkx(G).toarray()
    array([[2., 3.]])
    """
    _check_kind(G)
    sets = _vertex_sets(G)
    if "joins" in G.graph:
        return _from_joined(G, sets, weight)
    numbers = sorted(sets)
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        raise GraphError(
            f"the vertex sets are numbered {numbers}; 0, 1, ... are needed, at least two of them, "
            "in the node attribute 'layer' (or 'bipartite': 0 for inputs, 1 for outputs)"
        )
    places = _places(sets)
    edges: dict[tuple[int, int], list] = {pair: [] for pair in pairwise(numbers)}
    for u, v, attributes in G.edges(data=True):
        (s, i), (t, j) = sorted((places[u], places[v]))
        if (s, t) not in edges:
            raise GraphError(
                f"the edge {(u, v)!r} joins vertex sets {s} and {t}; edges may only join "
                "consecutive ones (inputs with outputs)"
            )
        edges[s, t].append((j, i, _weight(attributes, weight, (u, v)), attributes))
    sizes = [len(sets[k]) for k in numbers]
    layers = [_layer(G, k, edges[k, k + 1], sizes[k : k + 2]) for k in numbers[:-1]]
    if "names" in G.graph or len(layers) > 1:
        return NetworkGraph(layers, names=G.graph.get("names"), view=G.graph.get("view"))
    return layers[0]


# -- to NetworkX -----------------------------------------------------------------------------


def _add_set(G, number: int, n: int) -> range:
    """Add n vertices to set `number`; their names."""
    nodes = range(len(G), len(G) + n)
    G.add_nodes_from(nodes, bipartite=number % 2, layer=number)
    return nodes


def _add_layer(G, k: int, graph: LayerGraph, inputs: range, outputs: range) -> None:
    to, come = graph.edges()
    columns = {"weight": graph.data.astype(np.float64).tolist()}
    if graph.parameters is not None:
        columns["parameter"] = graph.parameters.tolist()
    attributes = (
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    )
    ends = (come + inputs.start).tolist(), (to + outputs.start).tolist()
    G.add_edges_from(zip(*ends, attributes, strict=True))
    facts = {
        "name": graph.name, "dtype": graph.data.dtype.name, "view": graph.view,
        "parameters": graph.parameters is not None,
    }  # fmt: skip
    G.graph.setdefault("layers", []).append(facts)


def _is_chain(graph: NetworkGraph) -> bool:
    """Whether the joins are those that a chain has by default."""
    if [(j.source, j.target) for j in graph.joins] != [(k - 1, k) for k in range(len(graph) + 1)]:
        return False
    return all(
        j.matrix.shape[0] == j.matrix.shape[1] == j.matrix.nnz
        and np.array_equal(j.matrix.indices, np.arange(j.matrix.nnz))
        and np.diff(j.matrix.indptr).max() == 1
        for j in graph.joins
    )


def _add_joined(G, graph: NetworkGraph) -> None:
    last = len(graph)
    sources: dict[int, range] = {}
    targets: dict[int, range] = {}
    for k, layer in enumerate(graph):
        targets[k], sources[k] = _add_set(G, 2 * k, layer.n_in), _add_set(G, 2 * k + 1, layer.n_out)
        _add_layer(G, k, layer, targets[k], sources[k])
    G.graph["joins"] = []
    for number, join in enumerate(graph.joins):
        if join.source == join.target:
            raise ChainError(f"layer {join.source} is joined to itself, which NetworkX cannot show")
        n_in, n_out = join.matrix.shape
        if join.source < 0 and -1 not in sources:
            sources[-1] = _add_set(G, -1, n_out)
        if join.target == last and last not in targets:
            targets[last] = _add_set(G, 2 * last, n_in)
        G.graph["joins"].append((join.source, join.target))
        coo = join.matrix.tocoo()
        for i, j in zip(coo.row.tolist(), coo.col.tolist(), strict=True):
            u, v = sources[join.source][j], targets[join.target][i]
            held = G.edges[u, v]["joins"] if G.has_edge(u, v) else ()
            G.add_edge(u, v, joins=(*held, number))


# -- from NetworkX ---------------------------------------------------------------------------


def _check_kind(G) -> None:
    import networkx as nx

    if not isinstance(G, nx.Graph):
        raise TypeError(f"a networkx.Graph is needed, got {type(G).__name__}")
    if G.is_multigraph():
        raise GraphError("a multigraph has parallel edges; make them one edge in a networkx.Graph")
    if G.is_directed():
        raise GraphError("a directed graph is no layer graph; pass G.to_undirected()")


def _vertex_sets(G) -> dict[int, list[Hashable]]:
    """The nodes of each vertex set, in the order of the graph."""
    layered = all(_is_whole(number) for _, number in G.nodes(data="layer"))
    sets: dict[int, list[Hashable]] = {}
    for node, number in G.nodes(data="layer" if layered else "bipartite"):
        if not _is_whole(number):
            raise GraphError(
                f"node {node!r} has neither an integer 'layer' nor 'bipartite' (got {number!r}); "
                "set it with networkx.set_node_attributes: 0 for inputs, 1 for outputs"
            )
        sets.setdefault(int(number), []).append(node)
    return sets


def _is_whole(number) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _places(sets: Mapping[int, list]) -> dict[Hashable, tuple[int, int]]:
    return {node: (k, i) for k, nodes in sets.items() for i, node in enumerate(nodes)}


def _weight(attributes: Mapping, key: str | None, edge) -> float:
    if key is None:
        return 1.0
    value = attributes.get(key)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise WeightError(
            f"the edge {edge!r} has {key}={value!r}; a number is needed, or weight=None for "
            "weights of 1"
        )
    try:
        return float(value)
    except OverflowError:
        raise WeightError(f"the edge {edge!r} has a {key} that no float can hold") from None


def _layer(G, k: int, edges: list, sizes) -> LayerGraph:
    n_in, n_out = sizes
    known = G.graph.get("layers", [])
    facts: Mapping[str, Any] = known[k] if k < len(known) else {"name": G.graph.get("name", "")}
    edges = sorted(edges, key=lambda edge: edge[:2])
    rows, columns, data, attributes = zip(*edges, strict=True) if edges else ((), (), (), ())
    with np.errstate(over="ignore"):  # LayerGraph finds what overflowed
        data = np.array(data, dtype=np.float64).astype(facts.get("dtype", "float64"))
    place = (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64))
    parameters = None
    if facts.get("parameters"):
        parameters = [a.get("parameter") for a in attributes]
        if None in parameters:
            raise GraphError(f"an edge of layer {facts['name']!r} has no attribute 'parameter'")
        parameters = np.array(parameters, dtype=np.int64)
    return LayerGraph(
        coo_array((data, place), shape=(n_out, n_in)),
        facts.get("name", ""),
        parameters=parameters,
        view=facts.get("view"),
    )


def _from_joined(G, sets: Mapping[int, list], weight: str | None) -> NetworkGraph:
    last, places = len(G.graph["layers"]), _places(sets)
    edges: list[list] = [[] for _ in range(last)]
    entries: list[list] = [[] for _ in G.graph["joins"]]
    for u, v, attributes in G.edges(data=True):
        (s, i), (t, j) = sorted((places[u], places[v]))
        if "joins" not in attributes and s >= 0 and s % 2 == 0 and t == s + 1:
            edges[s // 2].append((j, i, _weight(attributes, weight, (u, v)), attributes))
            continue
        for number in attributes.get("joins", (-1,)):
            if not 0 <= number < len(entries):
                raise GraphError(f"the edge {(u, v)!r} is neither of a layer nor of a join")
            to_input = (i, j) if s % 2 == 0 else (j, i)
            entries[number].append(to_input)
    layers = [
        _layer(G, k, edges[k], (len(sets.get(2 * k, ())), len(sets.get(2 * k + 1, ()))))
        for k in range(last)
    ]
    joins = []
    for (source, target), pairs in zip(G.graph["joins"], entries, strict=True):
        shape = (len(sets[2 * target]), len(sets[2 * source + 1]))
        place = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        matrix = csr_array((np.ones(len(pairs), bool), tuple(place)), shape=shape)
        joins.append(Join(source, target, matrix))
    return NetworkGraph(layers, joins, names=G.graph["names"], view=G.graph["view"])
