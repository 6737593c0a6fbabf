"""Numbers of paths and sums of their weights, against every path one by one."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import reference
from hypothesis import given
from joined import joined_networks
from scipy.sparse import csr_array

import nngraph as ng
from nngraph.testing import network_graphs


@given(joined_networks())
def test_path_counts_are_those_of_all_paths(net):
    paths = reference.all_paths(net)
    through = Counter(edge for path in paths for edge in path)
    found = ng.path_counts(net)
    assert found.total == len(paths)
    assert isinstance(found.total, int)
    assert found.log2_total == (math.log2(len(paths)) if paths else -math.inf)
    for k, graph in enumerate(net):
        edges = zip(*(side.tolist() for side in graph.edges()), strict=True)
        expected = np.array([through[k, j, i] for j, i in edges])
        np.testing.assert_array_equal(found.edges(k), expected)
        np.testing.assert_allclose(np.exp2(found.log2_edges(k)), expected, rtol=1e-12)
        assert found.crossing[k] == expected.sum()


@given(joined_networks(weights="nonnegative"))
def test_path_weights_are_sums_of_products(net):
    dense = [graph.toarray().astype(float) for graph in net]
    weight, through = 0.0, Counter()
    for path in reference.all_paths(net):
        product = math.prod(dense[k][j, i] for k, j, i in path)
        weight += product
        for edge in path:
            through[edge] += product
    found = ng.path_weights(net)
    assert found.total == pytest.approx(weight, rel=1e-9)
    for k, graph in enumerate(net):
        edges = zip(*(side.tolist() for side in graph.edges()), strict=True)
        expected = np.array([through[k, j, i] for j, i in edges])
        np.testing.assert_allclose(found.edges(k), expected, rtol=1e-9)
        np.testing.assert_allclose(np.exp2(found.log2_edges(k)), expected, rtol=1e-9)
        assert found.crossing[k] == pytest.approx(expected.sum(), rel=1e-9)


@given(network_graphs(weights="unit"))
def test_unit_weights_count_paths_and_a_chain_conserves_them(net):
    counts, weights = ng.path_counts(net), ng.path_weights(net)
    assert weights.total == counts.total
    assert set(counts.crossing) == {counts.total}
    assert set(counts.table()["share"]) == {1.0 if counts.total else 0.0}
    for k in range(len(net)):
        np.testing.assert_array_equal(weights.edges(k), counts.edges(k))
        assert np.asarray(weights.edges(k)).sum() == counts.total


def test_a_complete_chain():
    sizes = [5, 7, 3, 4]
    net = ng.NetworkGraph([np.ones(shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)])
    assert ng.path_counts(net).total == math.prod(sizes)
    assert ng.effective_sparsity(net) == 0
    assert not any(map(len, ng.dead_units(net).unreachable + ng.dead_units(net).unused))


def test_huge_counts_are_exact_ints():
    net = ng.NetworkGraph([np.ones((10, 10))] * 400)
    counts = ng.path_counts(net)
    assert counts.total == 10**401
    assert counts.log2_total == pytest.approx(401 * math.log2(10))
    assert counts.arriving[0].dtype == np.int64
    assert counts.arriving[-1].dtype == object
    assert counts.arriving[-1][0] == 10**399
    assert np.isposinf(counts.edges(200)).all()  # more than a float64 holds
    np.testing.assert_allclose(counts.log2_edges(200), 399 * math.log2(10))
    assert "2^1332.09" in repr(counts)
    assert len(counts.table()) == 400


def test_counts_at_the_edge_of_int64_are_exact():
    rng = np.random.default_rng(0)
    layers = [ng.LayerGraph((rng.random((6, 6)) < 0.8).astype(float)) for _ in range(60)]
    for depth in (20, 27, 28, 29, 30, 31, 60):
        vector = np.ones(6, object)
        for layer in layers[:depth]:
            vector = layer.pattern().astype(int).astype(object) @ vector
        counts = ng.path_counts(ng.NetworkGraph(layers[:depth]))
        assert counts.total == sum(vector)
        assert set(counts.crossing) == {counts.total}


def test_no_edge_times_too_many_paths_is_none():
    many = [np.ones((10, 10))] * 400
    half = np.concatenate([np.ones((10, 5)), np.zeros((10, 5))], axis=1)
    first = ng.LayerGraph(csr_array(half.T))
    net = ng.NetworkGraph([*many, first, ng.LayerGraph(csr_array(1 - half))])
    counts = ng.path_counts(net)
    assert counts.total == 0
    assert not np.asarray(counts.edges(400)).any()
    assert np.isneginf(counts.log2_edges(400)).all()


def test_overflowing_weights_say_so():
    net = ng.NetworkGraph([np.full((2, 2), 1e200)] * 2)
    with pytest.raises(ng.GraphError, match=r"larger than 1.8e308; scale"):
        ng.path_weights(net)
    with pytest.raises(ng.NegativeWeightError, match="magnitude"):
        ng.path_weights(ng.NetworkGraph([-np.ones((2, 2))]))


def test_layers_need_not_come_in_their_order():
    chain = [np.array([[1.0, 1.0]]), np.array([[1.0], [0.0]])]
    eye = {n: np.eye(n, dtype=bool) for n in (1, 2)}
    straight = ng.path_counts(ng.NetworkGraph(chain))
    joins = [ng.Join(-1, 1, eye[2]), ng.Join(1, 0, eye[1]), ng.Join(0, 2, eye[2])]
    turned = ng.path_counts(ng.NetworkGraph(chain[::-1], joins))
    assert turned.total == straight.total == 2
    np.testing.assert_array_equal(turned.edges(1), straight.edges(0))
