"""Degrees, strengths, adjacency, Laplacians, incidence, and the glued graph of a chain."""

from __future__ import annotations

import pickle

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from zoo import ZOO

import nngraph as ng
from nngraph.testing import layer_graphs, network_graphs, networks

KINDS = ["combinatorial", "normalized", "signless"]


def block(graph):
    """The dense adjacency matrix."""
    w = graph.toarray().astype(float)
    return np.block([[np.zeros((graph.n_in,) * 2), w.T], [w, np.zeros((graph.n_out,) * 2)]])


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_zoo_degrees_and_strengths(known):
    degrees, strengths = ng.degrees(known.graph), ng.strengths(known.graph)
    assert degrees.inputs.tolist() == known.in_degrees.tolist()
    assert degrees.outputs.tolist() == known.out_degrees.tolist()
    np.testing.assert_allclose(strengths.inputs, known.graph.toarray().sum(axis=0))
    np.testing.assert_allclose(strengths.outputs, known.graph.toarray().sum(axis=1))


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_zoo_spectra(known):
    eigenvalues = np.linalg.eigvalsh(ng.adjacency(known.graph).toarray().astype(float))
    found = eigenvalues[::-1][: len(known.singular_values)]
    np.testing.assert_allclose(found, known.singular_values, atol=1e-6)
    pattern = known.graph.with_data(np.ones(known.graph.n_edges))
    flat = np.linalg.eigvalsh(ng.laplacian(pattern).toarray())
    assert np.count_nonzero(flat < 1e-9) == known.components


@given(layer_graphs(max_side=8))
def test_degrees_and_strengths_are_sums(g):
    degrees, strengths = ng.degrees(g), ng.strengths(g)
    assert degrees.inputs.dtype == degrees.outputs.dtype == np.int64
    assert strengths.inputs.dtype == strengths.outputs.dtype == np.float64
    assert degrees.inputs.tolist() == g.pattern().sum(axis=0).tolist()
    assert degrees.outputs.tolist() == g.pattern().sum(axis=1).tolist()
    dense = g.toarray().astype(float)
    np.testing.assert_allclose(strengths.inputs, dense.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(strengths.outputs, dense.sum(axis=1), atol=1e-9)


@given(layer_graphs(max_side=8))
def test_adjacency(g):
    a = ng.adjacency(g)
    assert isinstance(a, csr_array)
    assert a.has_canonical_format
    assert a.dtype == g.data.dtype
    assert a.nnz == 2 * g.n_edges  # stored zeros are edges
    np.testing.assert_array_equal(a.toarray(), block(g))


@given(layer_graphs(max_side=8, weights="nonnegative"), st.sampled_from(KINDS))
def test_laplacian_laws(g, kind):
    laplacian = ng.laplacian(g, kind)
    dense, a = laplacian.toarray(), block(g)
    strength = a.sum(axis=1)
    assert laplacian.dtype == np.float64
    assert laplacian.nnz == 2 * g.n_edges + len(a)
    np.testing.assert_array_equal(dense, dense.T)
    assert np.linalg.eigvalsh(dense).min() > -1e-9 * max(strength.max(), 1)
    bare = strength == 0
    assert not dense[bare].any()
    if kind == "combinatorial":
        np.testing.assert_allclose(dense, np.diag(strength) - a, atol=1e-9)
        np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-9)
    elif kind == "signless":
        np.testing.assert_allclose(dense, np.diag(strength) + a, atol=1e-9)
    else:
        np.testing.assert_array_equal(np.diag(dense), ~bare)
        np.testing.assert_allclose(dense @ np.sqrt(strength), 0, atol=1e-9)
        assert np.linalg.eigvalsh(dense).max() < 2 + 1e-9


@given(layer_graphs(max_side=6, weights="positive"))
def test_laplacians_agree_with_networkx(g):
    G, order = nx.Graph(), range(g.n_in + g.n_out)
    G.add_nodes_from(order)
    outputs, inputs = g.edges()
    G.add_weighted_edges_from(zip(inputs, outputs + g.n_in, g.data.astype(float), strict=True))
    theirs = nx.laplacian_matrix(G, order).toarray()
    np.testing.assert_allclose(ng.laplacian(g).toarray(), theirs, rtol=1e-12)
    if g.n_edges:
        theirs = nx.normalized_laplacian_matrix(G, order).toarray()
        np.testing.assert_allclose(ng.laplacian(g, "normalized").toarray(), theirs, atol=1e-12)


@given(layer_graphs(max_side=8, weights="nonnegative"))
def test_laplacian_is_incidence_times_its_transpose(g):
    for kind, oriented in [("combinatorial", True), ("signless", False)]:
        b = ng.incidence(g, weighted=True, oriented=oriented)
        assert b.shape == (g.n_in + g.n_out, g.n_edges)
        assert b.nnz == 2 * g.n_edges
        product = (b @ b.T).toarray()
        np.testing.assert_allclose(product, ng.laplacian(g, kind).toarray(), atol=1e-9)
    plain = ng.incidence(g)
    assert set(plain.data.tolist()) <= {-1.0, 1.0}
    outputs, inputs = g.edges()
    edges = np.arange(g.n_edges)
    assert (plain.toarray()[inputs, edges] == -1).all()
    assert (plain.toarray()[outputs + g.n_in, edges] == 1).all()


@given(layer_graphs(max_side=6), st.randoms(use_true_random=False))
def test_relabelling_and_transposition(g, random):
    rows, columns = random.sample(range(g.n_out), g.n_out), random.sample(range(g.n_in), g.n_in)
    moved = ng.LayerGraph(g.tocsr()[rows][:, columns])
    assert ng.degrees(moved).inputs.tolist() == ng.degrees(g).inputs[columns].tolist()
    order = np.concatenate([columns, np.array(rows) + g.n_in])
    np.testing.assert_array_equal(
        ng.adjacency(moved).toarray(), ng.adjacency(g).toarray()[order][:, order]
    )
    turned = ng.LayerGraph(g.tocsr().T)
    assert ng.degrees(turned).inputs.tolist() == ng.degrees(g).outputs.tolist()
    order = np.concatenate([np.arange(g.n_in, g.n_in + g.n_out), np.arange(g.n_in)])
    np.testing.assert_array_equal(
        ng.adjacency(turned).toarray(), ng.adjacency(g).toarray()[order][:, order]
    )


@given(network_graphs(max_side=4, weights="nonnegative"))
def test_a_chain_is_one_graph(net):
    n = net[0].n_in + sum(layer.n_out for layer in net)
    a = ng.adjacency(net)
    assert a.shape == (n, n)
    assert a.nnz == 2 * sum(layer.n_edges for layer in net)
    start = 0
    for layer in net:
        middle = start + layer.n_in
        part = a[middle : middle + layer.n_out, start:middle]
        np.testing.assert_array_equal(part.toarray(), layer.toarray())
        start = middle
    b = ng.incidence(net, weighted=True)
    np.testing.assert_allclose((b @ b.T).toarray(), ng.laplacian(net).toarray(), atol=1e-9)


@given(networks(kind="convnet"))
def test_the_taps_of_a_channel_are_glued_and_their_conductances_add(network):
    network = ng.Network(network.layers, network.wiring)
    graph = ng.magnitude(ng.to_graph(network, "kernel"))
    glued = ng.glue(graph)
    for layer, one, whole in zip(network, glued, graph, strict=True):
        assert one.n_out == whole.n_out
        np.testing.assert_allclose(ng.strengths(one).outputs, ng.strengths(whole).outputs)
        if layer.kernel:
            assert one.n_in == layer.n_in
            channels = ng.to_graph(network, "channel", norm="l1")[layer.name]
            np.testing.assert_allclose(one.toarray(), channels.toarray(), rtol=1e-6)
            np.testing.assert_array_equal(one.pattern(), channels.pattern())


def test_gluing_keeps_cancelled_edges_and_vertices_without_taps():
    taps = np.array([[True, False, False], [True, False, False], [False, False, True]])
    joins = [ng.Join(-1, 0, taps), ng.Join(0, 1, np.eye(1, dtype=bool))]
    for weights, edges in [([[1.0, -1.0, 2.0]], [0, 2]), ([[1.0, -1.0, 0.0]], [0])]:
        glued = ng.glue(ng.NetworkGraph([ng.LayerGraph(weights)], joins))[0]
        assert glued.toarray()[0, 0] == 0
        assert np.flatnonzero(glued.pattern()[0]).tolist() == edges


def test_gluing_errors():
    one = ng.LayerGraph(np.ones((2, 2)))
    eye = np.eye(2, dtype=bool)
    with pytest.raises(ng.ChainError, match="gluing layers needs to know"):
        ng.adjacency(ng.NetworkGraph([one], joins=()))
    skip = [ng.Join(-1, 0, eye), ng.Join(-1, 1, eye), ng.Join(0, 1, eye), ng.Join(1, 2, eye)]
    with pytest.raises(ng.ChainError, match=r"layer 1 \('layer 1'\) reads the input, layer 0"):
        ng.laplacian(ng.NetworkGraph([one, one], skip))
    pooled = [ng.Join(-1, 0, ~np.zeros((2, 2), bool)), ng.Join(0, 1, eye)]
    with pytest.raises(ng.ChainError, match=r"input 0 of layer 0 .* reads 2 vertices"):
        ng.incidence(ng.NetworkGraph([one], pooled))
    with pytest.raises(ng.ChainError, match="reads nothing"):
        ng.glue(ng.NetworkGraph([one, one], [ng.Join(-1, 0, eye), ng.Join(0, 2, eye)]))


def test_signed_weights_need_a_remedy():
    g = ng.LayerGraph([[-1.0, 2.0]], "fc")
    for function in (ng.laplacian, lambda g: ng.incidence(g, weighted=True)):
        with pytest.raises(ng.NegativeWeightError, match=r"'fc'.*magnitude"):
            function(g)
        function(ng.magnitude(g))
        function(ng.squared(g))
    with pytest.raises(ng.NegativeWeightError, match="fc"):
        ng.laplacian(ng.NetworkGraph([g]))
    assert ng.incidence(g).nnz == 4
    assert ng.adjacency(g).min() == -1


def test_unknown_kinds_and_types():
    g = ng.LayerGraph([[1.0]])
    with pytest.raises(ng.GraphError, match="did you mean 'normalized'"):
        ng.laplacian(g, "normalised")
    for function in (ng.degrees, ng.strengths, ng.adjacency, ng.laplacian, ng.incidence):
        with pytest.raises(TypeError, match="a LayerGraph is needed, got list"):
            function([[1.0]])
        with pytest.raises(ng.WeightError, match="int64"):
            function(np.ones((2, 2), int))


def test_results_are_the_callers_own_and_inputs_stay():
    g = ng.LayerGraph(csr_array(np.array([[1.0, 0.0], [2.0, 3.0]])))
    before = pickle.dumps(g)
    for function in (ng.adjacency, ng.laplacian, ng.incidence):
        function(g).data[:] = 7.0
    ng.degrees(g).inputs[:] = 7
    assert pickle.dumps(g) == before
