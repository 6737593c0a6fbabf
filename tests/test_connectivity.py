"""Components, reachability, dead units, effective edges, and paths through whole networks."""

from __future__ import annotations

import copy
import pickle

import networkx as nx
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from joined import joined_networks
from zoo import ZOO

import nngraph as ng
from nngraph.testing import layer_graphs, network_graphs, networks

# --- one layer --------------------------------------------------------------------------------


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_zoo_components(known):
    found = ng.components(known.graph)
    assert found.count == known.components
    bare = ng.isolated(known.graph)
    assert bare.inputs.tolist() == np.flatnonzero(known.in_degrees == 0).tolist()
    assert bare.outputs.tolist() == np.flatnonzero(known.out_degrees == 0).tolist()


@given(layer_graphs(max_side=12))
def test_components_agree_with_networkx(g):
    found = ng.components(g)
    G = nx.Graph()
    G.add_nodes_from(range(g.n_in + g.n_out))
    outputs, inputs = g.edges()
    G.add_edges_from(zip(inputs.tolist(), (outputs + g.n_in).tolist(), strict=True))
    theirs = list(nx.connected_components(G))
    assert found.count == len(theirs)
    for part in theirs:
        assert len(set(found.labels[list(part)].tolist())) == 1
    _, first = np.unique(found.labels, return_index=True)
    assert (np.diff(first) > 0).all()  # numbered in the order of their first vertices
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(np.concatenate([found.inputs, found.outputs]), found.labels)
    table = found.table()
    assert sum(table["inputs"]) == g.n_in
    assert sum(table["outputs"]) == g.n_out


@given(layer_graphs(connected=True), layer_graphs(connected=False))
def test_strategies_keep_their_word(one, several):
    assert ng.components(one).count == 1
    assert ng.components(several).count > 1
    both = ng.ensembles.disjoint_union(one, several)
    assert ng.components(both).count == 1 + ng.components(several).count


@given(layer_graphs(max_side=8), st.randoms(use_true_random=False))
def test_components_do_not_depend_on_weights_or_labels(g, random):
    rows, columns = random.sample(range(g.n_out), g.n_out), random.sample(range(g.n_in), g.n_in)
    moved = ng.LayerGraph(g.tocsr()[rows][:, columns])
    assert ng.components(moved).count == ng.components(g).count
    assert ng.components(ng.LayerGraph(g.tocsr().T)).count == ng.components(g).count
    zero = g.with_data(np.zeros(g.n_edges))
    np.testing.assert_array_equal(ng.components(zero).labels, ng.components(g).labels)
    bare, theirs = ng.isolated(g), ng.isolated(moved)
    assert [len(side) for side in bare] == [len(side) for side in theirs]


def test_results_are_frozen_also_when_copied_and_pickled():
    found = ng.components(ng.LayerGraph(np.eye(3)))
    reached = ng.reachability(ng.NetworkGraph([np.eye(3)]))
    for result in (found, reached, ng.dead_units(reached), ng.path_counts(reached.network)):
        again = pickle.loads(pickle.dumps(result))  # noqa: S301
        for same in (result, again, copy.deepcopy(result)):
            with pytest.raises(AttributeError):
                same.count = 7
            arrays = [a for a in vars(same).values() if isinstance(a, np.ndarray)]
            parts = [p for p in vars(same).values() if isinstance(p, tuple)]
            arrays += [a for part in parts for a in part if isinstance(a, np.ndarray)]
            arrays += [a for p in parts for s in p if isinstance(s, tuple) for a in s]
            assert arrays
            assert not any(a.flags.writeable for a in arrays)


def test_a_layer_is_needed():
    for function in (ng.components, ng.isolated):
        with pytest.raises(TypeError, match="a LayerGraph is needed, got NetworkGraph"):
            function(ng.NetworkGraph([np.eye(2)]))
        with pytest.raises(ng.WeightError, match="2 NaN or infinite"):
            function(np.array([[np.nan, np.inf]]))


# --- the whole network ------------------------------------------------------------------------


@settings(max_examples=100)
@given(joined_networks())
def test_effective_edges_are_those_of_all_paths(net):
    on_path = {edge for path in reference.all_paths(net) for edge in path}
    reached = ng.reachability(net)
    table = ng.effective_edges(net)
    for k, graph in enumerate(net):
        outputs, inputs = graph.edges()
        edges = zip(outputs.tolist(), inputs.tolist(), strict=True)
        expected = np.array([(k, j, i) in on_path for j, i in edges], dtype=bool)
        np.testing.assert_array_equal(reached.edges(f"L{k}"), expected)
        assert reached.edges(k).dtype == bool
        assert table["effective_edges"][k] == expected.sum()
        assert table["edges"][k] == graph.n_edges
        assert table["collapsed"][k] == (not expected.any())
    dead = [name for name, n in zip(table["layer"], table["effective_edges"], strict=True) if not n]
    assert ng.layer_collapse(reached) == tuple(dead)
    pairs = sum(graph.n_in * graph.n_out for graph in net)
    assert ng.effective_sparsity(net) == pytest.approx(1 - len(on_path) / pairs)


@given(joined_networks())
def test_dead_units_are_on_no_path(net):
    on_path = {(k, j) for path in reference.all_paths(net) for k, j, _ in path}
    dead, reached = ng.dead_units(net), ng.reachability(net)
    for k, graph in enumerate(net):
        gone = np.union1d(dead.unreachable[k], dead.unused[k]).tolist()
        assert gone == [j for j in range(graph.n_out) if (k, j) not in on_path]
        assert dead.table()["dead"][k] == len(gone)
        # the definition of each, one step along
        alive = graph.pattern() & reached.from_input[k].inputs
        assert dead.unreachable[k].tolist() == np.flatnonzero(~alive.any(axis=1)).tolist()
    assert dead.table()["outputs"] == tuple(graph.n_out for graph in net)
    assert str(dead) == str(dead.table())


@given(network_graphs())
def test_a_chain_collapses_as_a_whole(net):
    collapsed = ng.layer_collapse(net)
    assert collapsed in ((), net.names)
    assert bool(collapsed) == (ng.path_counts(net).total == 0)


@settings(max_examples=40)
@given(networks(), st.sampled_from(["kernel", "channel", "unit"]))
def test_views_of_wired_networks(network, view):
    graph = ng.to_graph(network, view)
    reached, counts = ng.reachability(graph), ng.path_counts(graph)
    for k, layer in enumerate(graph):
        assert reached.n_effective[k] <= reached.n_edges[k] == layer.n_edges <= reached.n_pairs[k]
        np.testing.assert_array_equal(reached.edges(k), np.asarray(counts.edges(k)) > 0)


def test_lazy_layers_are_built_when_asked_for():
    built = []

    def layer():
        built.append(1)
        return ng.LayerGraph(np.eye(2), "lazy")

    joins = ng.NetworkGraph([np.eye(2)] * 2).joins
    net = ng.NetworkGraph([layer, layer], joins, names=["a", "b"])
    assert not built
    reached = ng.reachability(net)
    assert len(built) == 4  # forward and back
    ng.dead_units(reached), ng.effective_edges(reached), ng.effective_sparsity(reached)
    assert len(built) == 4


def test_sparsity_over_the_parameters_before_pruning():
    net = ng.NetworkGraph([np.eye(4)])
    assert ng.effective_sparsity(net) == 0.75
    assert ng.effective_sparsity(net, total=8) == 0.5
    with pytest.raises(ng.GraphError, match=r"total=3 .* 4 effective edges"):
        ng.effective_sparsity(net, total=3)


@pytest.mark.parametrize("function", [ng.reachability, ng.path_counts, ng.path_weights])
def test_joins_that_lead_nowhere(function):
    one, eye = np.ones((2, 2)), np.eye(2, dtype=bool)

    def net(*joins, layers=1):
        made = [ng.Join(s, t, eye if m is None else m) for s, t, m in joins]
        return ng.NetworkGraph([one] * layers, made)

    with pytest.raises(TypeError, match="needs a NetworkGraph, got LayerGraph"):
        function(ng.LayerGraph(one))
    with pytest.raises(ng.ChainError, match=r"how the layers join; load .* chain"):
        function(net())
    with pytest.raises(ng.ChainError, match="the input is joined to no layer"):
        function(net((0, 1, None)))
    with pytest.raises(ng.ChainError, match="the output is joined to no layer"):
        function(net((-1, 0, None)))
    with pytest.raises(ng.ChainError, match="from layer 4 to layer 0, and there are 1 layers"):
        function(net((-1, 0, None), (4, 0, None), (0, 1, None)))
    with pytest.raises(ng.ChainError, match=r"the input is of several sizes, {2, 3}"):
        function(net((-1, 0, None), (-1, 0, np.ones((2, 3), bool)), (0, 1, None)))
    with pytest.raises(ng.ChainError, match=r"the join from -1 to 0 has shape \(3, 2\)"):
        function(net((-1, 0, np.ones((3, 2), bool)), (0, 1, None)))
    with pytest.raises(ng.ChainError, match=r"the join from 0 to 1 has shape \(2, 3\)"):
        function(net((-1, 0, None), (0, 1, np.ones((2, 3), bool))))
    with pytest.raises(ng.ChainError, match=r"form a loop .*layer 0 -> layer 1 -> layer 0"):
        function(net((-1, 0, None), (0, 1, None), (1, 0, None), (1, 2, None), layers=2))
    with pytest.raises(ng.ChainError, match=r"form a loop .*: layer 0 -> layer 0"):
        function(net((-1, 0, None), (0, 0, None), (0, 1, None)))


def test_unknown_layers():
    found = ng.path_counts(ng.NetworkGraph([np.eye(2)]))
    for method in (found.edges, found.log2_edges, ng.reachability(found.network).edges):
        with pytest.raises(KeyError, match="no layer is named 'fc7'"):
            method("fc7")
        with pytest.raises(IndexError):
            method(1)
        assert len(method(-1)) == 2
