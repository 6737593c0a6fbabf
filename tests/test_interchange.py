"""NetworkX and scipy.sparse, there and back."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from joined import joined_networks
from scipy import sparse
from zoo import ZOO

import nngraph as ng
from nngraph.testing import layer_graphs, network_graphs, networks


def assert_same(one, two):
    assert type(one) is type(two) is ng.LayerGraph
    assert (one.shape, one.name, one.view) == (two.shape, two.name, two.view)
    assert one.is_sparse == two.is_sparse
    assert one.data.dtype == two.data.dtype
    for a, b in zip((*one.edges(), one.data), (*two.edges(), two.data), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.parameters is None) == (two.parameters is None)
    if one.parameters is not None:
        np.testing.assert_array_equal(one.parameters, two.parameters)


def assert_same_network(one, two):
    assert type(one) is type(two) is ng.NetworkGraph
    assert (one.names, one.view) == (two.names, two.view)
    for a, b in zip(one, two, strict=True):
        assert_same(a, b)
    for a, b in zip(one.joins, two.joins, strict=True):
        assert (a.source, a.target) == (b.source, b.target)
        np.testing.assert_array_equal(a.matrix.toarray(), b.matrix.toarray())


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_zoo_to_networkx_and_back(known):
    G = ng.to_networkx(known.graph)
    assert nx.is_bipartite(G)
    assert nx.number_connected_components(G) == known.components
    assert_same(ng.from_networkx(G), known.graph)


@given(layer_graphs(max_side=6))
def test_a_layer_there_and_back(g):
    G = ng.to_networkx(g)
    assert list(G) == list(range(g.n_in + g.n_out))
    assert [G.nodes[v]["bipartite"] for v in G] == [0] * g.n_in + [1] * g.n_out
    assert [G.nodes[v]["layer"] for v in G] == [0] * g.n_in + [1] * g.n_out
    assert G.number_of_edges() == g.n_edges
    assert all(type(w) is float for _, _, w in G.edges(data="weight"))
    assert G.name == g.name
    matrix = nx.to_numpy_array(G, nodelist=range(g.n_in + g.n_out))
    np.testing.assert_array_equal(matrix, ng.adjacency(g).toarray())
    assert_same(ng.from_networkx(G), g)
    assert_same(ng.from_networkx(ng.to_networkx(ng.from_networkx(G))), g)


@given(network_graphs(max_side=4))
def test_a_chain_shares_its_vertices(net):
    G = ng.to_networkx(net)
    sizes = [net[0].n_in, *(layer.n_out for layer in net)]
    assert len(G) == sum(sizes)
    assert [G.nodes[v]["layer"] for v in G] == [k for k, n in enumerate(sizes) for _ in range(n)]
    assert all(d["bipartite"] == d["layer"] % 2 for _, d in G.nodes(data=True))
    np.testing.assert_array_equal(
        nx.to_numpy_array(G, nodelist=range(len(G))), ng.adjacency(net).toarray()
    )
    assert_same_network(ng.from_networkx(G), net)


@settings(max_examples=150)
@given(joined_networks())
def test_joined_networks_there_and_back(net):
    G = ng.to_networkx(net)
    assert all(d["bipartite"] == d["layer"] % 2 for _, d in G.nodes(data=True))
    assert all(G.nodes[u]["bipartite"] != G.nodes[v]["bipartite"] for u, v in G.edges)
    assert_same_network(ng.from_networkx(G), net)


@settings(max_examples=30)
@given(networks())
def test_views_of_networks_there_and_back(network):
    for view in ("kernel", "channel", "unit"):
        graph = ng.to_graph(network, view)
        assert_same_network(ng.from_networkx(ng.to_networkx(graph)), graph)
    bag = ng.NetworkGraph(list(ng.to_graph(network)), joins=(), view="kernel")
    assert_same_network(ng.from_networkx(ng.to_networkx(bag)), bag)


def test_parameters_and_view_travel():
    g = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]], "c", parameters=[7, 0, 7], view="unit")
    G = ng.to_networkx(g)
    assert_same(ng.from_networkx(G), g)
    del G[0][2]["parameter"]
    with pytest.raises(ng.GraphError, match="'c' has no attribute 'parameter'"):
        ng.from_networkx(G)


def test_two_joins_between_the_same_vertices():
    eye = np.eye(2, dtype=bool)
    joins = [ng.Join(-1, 0, eye), ng.Join(-1, 0, ~eye), ng.Join(-1, 0, eye), ng.Join(0, 1, ~eye)]
    net = ng.NetworkGraph([np.ones((2, 2))], joins)
    back = ng.from_networkx(ng.to_networkx(net))
    assert_same_network(back, net)
    assert ng.path_counts(back).total == ng.path_counts(net).total == 12
    loop = ng.NetworkGraph([np.ones((2, 2))], [ng.Join(0, 0, eye)])
    with pytest.raises(ng.ChainError, match="joined to itself"):
        ng.to_networkx(loop)


def test_any_bipartite_graph_of_networkx():
    G = nx.davis_southern_women_graph()
    g = ng.from_networkx(G, weight=None)
    inputs = [v for v, side in G.nodes(data="bipartite") if side == 0]
    outputs = [v for v, side in G.nodes(data="bipartite") if side == 1]
    theirs = nx.bipartite.biadjacency_matrix(G, inputs, outputs).toarray()
    np.testing.assert_array_equal(g.toarray(), theirs.T)
    named = nx.Graph([("x", "b", {"weight": 2}), ("a", "x", {"weight": np.float32(0.5)})])
    nx.set_node_attributes(named, {"x": 1, "b": 0, "a": 0}, "bipartite")
    nx.set_node_attributes(named, "fc1", "layer")  # a name, not a number: bipartite counts
    np.testing.assert_array_equal(ng.from_networkx(named).toarray(), [[2.0, 0.5]])


def test_a_user_made_chain():
    G = nx.complete_multipartite_graph(2, 3, 1)  # node attribute: subset
    G.remove_edges_from([(u, v) for u, v in G.edges if {u, v} & {0, 1} and 5 in {u, v}])
    nx.set_node_attributes(G, dict(G.nodes(data="subset")), "layer")
    net = ng.from_networkx(G, weight=None)
    assert [layer.shape for layer in net] == [(3, 2), (1, 3)]
    assert ng.path_counts(net).total == 6


def bipartite(*edges, **graph):
    G = nx.Graph(edges, **graph)
    nx.set_node_attributes(G, {v: 0 if str(v).startswith("i") else 1 for v in G}, "bipartite")
    return G


def test_hostile_graphs():
    good = ("i0", "o0", {"weight": 1.0})
    with pytest.raises(TypeError, match=r"networkx.Graph is needed, got dict"):
        ng.from_networkx({})
    with pytest.raises(ng.GraphError, match="multigraph"):
        ng.from_networkx(nx.MultiGraph(bipartite(good)))
    with pytest.raises(ng.GraphError, match="to_undirected"):
        ng.from_networkx(nx.DiGraph(bipartite(good)))
    with pytest.raises(ng.GraphError, match=r"\('i0', 'i1'\) joins vertex sets 0 and 0"):
        ng.from_networkx(bipartite(good, ("i0", "i1", {"weight": 1.0})))
    with pytest.raises(ng.GraphError, match=r"\('o0', 'o0'\) joins vertex sets 1 and 1"):
        ng.from_networkx(bipartite(good, ("o0", "o0", {"weight": 1.0})))
    with pytest.raises(ng.GraphError, match="node 'a' has neither"):
        ng.from_networkx(nx.Graph([("a", "b")]))
    G = bipartite(good)
    G.nodes["o0"]["bipartite"] = 2
    with pytest.raises(ng.GraphError, match=r"numbered \[0, 2\]"):
        ng.from_networkx(G)
    G.nodes["o0"]["bipartite"] = 0
    with pytest.raises(ng.GraphError, match=r"numbered \[0\]; .* at least two"):
        ng.from_networkx(G)
    with pytest.raises(ng.GraphError, match=r"numbered \[\]; .* at least two"):
        ng.from_networkx(nx.Graph())
    G.nodes["o0"]["bipartite"] = True
    with pytest.raises(ng.GraphError, match="got True"):
        ng.from_networkx(G)
    for weight in (None, "1", True, 1j, [1.0]):
        with pytest.raises(ng.WeightError, match=r"\('i0', 'o0'\) has weight="):
            ng.from_networkx(bipartite(("i0", "o0", {"weight": weight})))
    with pytest.raises(ng.WeightError, match="has weight=None"):
        ng.from_networkx(bipartite(("i0", "o0")))
    with pytest.raises(ng.WeightError, match="no float can hold"):
        ng.from_networkx(bipartite(("i0", "o0", {"weight": 10**400})))
    for weight in (np.nan, np.inf):
        with pytest.raises(ng.WeightError, match="1 NaN or infinite"):
            ng.from_networkx(bipartite(("i0", "o0", {"weight": weight})))
    G = ng.to_networkx(ng.LayerGraph(np.ones((1, 1), np.float32)))
    G[0][1]["weight"] = 1e300
    with pytest.raises(ng.WeightError, match="infinite"):
        ng.from_networkx(G)


def test_a_stray_edge_in_a_joined_network():
    eye = np.eye(2, dtype=bool)
    G = ng.to_networkx(ng.NetworkGraph([np.eye(2)], [ng.Join(-1, 0, ~eye), ng.Join(0, 1, eye)]))
    G.add_edge(0, 1, weight=1.0)
    with pytest.raises(ng.GraphError, match=r"\(0, 1\) is neither of a layer nor of a join"):
        ng.from_networkx(G)


# --- scipy.sparse -----------------------------------------------------------------------------


@given(layer_graphs(max_side=8))
def test_scipy_there_and_back(g):
    for form in ("csr", "csc", "coo", "bsr", "dok", "lil"):
        for make in (sparse.csr_array, sparse.csr_matrix):
            other = make(g.tocsr()).asformat(form)
            if form in ("lil", "bsr", "dok") and (g.data == 0).any():
                continue  # SciPy itself drops stored zeros here, or adds some
            back = ng.LayerGraph(other, g.name)
            if form != "bsr":
                assert_same(back, g)
    wide = g.tocsr().copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert_same(ng.LayerGraph(wide, g.name), g)


def test_duplicates_are_summed_and_the_input_stays():
    place = ([0, 0, 1, 0], [1, 1, 0, 1])
    coo = sparse.coo_array((np.array([1.0, 2.0, 5.0, -3.0]), place), shape=(2, 2))
    g = ng.LayerGraph(coo)
    assert g.n_edges == 2  # 1 + 2 - 3: an edge of weight 0
    assert coo.nnz == 4
    indices = np.array([1, 0, 1])
    csr = sparse.csr_array((np.array([1.0, 2.0, 3.0]), indices, [0, 3, 3]), shape=(2, 2))
    assert ng.LayerGraph(csr).data.tolist() == [2.0, 4.0]
    assert indices.tolist() == csr.indices.tolist() == [1, 0, 1]
    assert csr.data.flags.writeable
