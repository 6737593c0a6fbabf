"""Ensembles: closed forms, exact degrees and counts, and uniformity of the random ones."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from zoo import ZOO

import nngraph as ng
from nngraph import ensembles
from nngraph.testing import layer_graphs


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_zoo_singular_values(known):
    found = np.linalg.svd(known.graph.toarray().astype(float), compute_uv=False)
    np.testing.assert_allclose(found, known.singular_values, atol=1e-6)
    if known.ramanujan and min(known.graph.shape) > 1:
        bound = sum(np.sqrt(d[0] - 1) for d in (known.in_degrees, known.out_degrees))
        assert known.singular_values[1] <= bound + 1e-9


@pytest.mark.parametrize(
    ("graph", "theirs"),
    [
        (ensembles.cycle(5), nx.cycle_graph(10)),
        (ensembles.path(7), nx.path_graph(7)),
        (ensembles.path(2), nx.path_graph(2)),
        (ensembles.star(4), nx.star_graph(4)),
        (ensembles.hypercube(4), nx.hypercube_graph(4)),
        (ensembles.projective_plane(2), nx.heawood_graph()),
        (ensembles.complete(3, 5), nx.complete_bipartite_graph(3, 5)),
    ],
    ids=str,
)
def test_they_are_the_graphs_of_networkx(graph, theirs):
    assert (graph.data == 1).all()
    assert nx.is_isomorphic(ng.to_networkx(graph), theirs)


@pytest.mark.parametrize("q", [2, 3, 5, 7, 13])
def test_two_points_of_a_projective_plane_lie_on_one_line(q):
    w = ensembles.projective_plane(q).toarray()
    n = q * q + q + 1
    np.testing.assert_array_equal(w @ w.T, q * np.eye(n) + 1)
    np.testing.assert_array_equal(w.T @ w, q * np.eye(n) + 1)


@pytest.mark.parametrize(("q", "blocks"), [(2, 2), (3, 3), (5, 2), (7, 4)])
def test_array_codes_are_biregular_of_girth_six(q, blocks):
    g = ensembles.array_code(q, blocks)
    assert g.shape == (blocks * q, q * q)
    w = g.toarray()
    assert set(w.sum(axis=0)) == {blocks}
    assert set(w.sum(axis=1)) == {q}
    overlaps = w @ w.T
    assert overlaps[~np.eye(len(w), dtype=bool)].max() <= 1


@given(
    st.integers(1, 12), st.integers(1, 12),
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 1e-9])), st.integers(0, 2**32),
)  # fmt: skip
def test_erdos_renyi_has_the_exact_number_of_edges(n_out, n_in, density, seed):
    g = ensembles.erdos_renyi(n_out, n_in, density=density, rng=seed)
    assert g.shape == (n_out, n_in)
    assert g.n_edges == round(density * n_out * n_in)
    assert (g.data == 1).all()
    again = ensembles.erdos_renyi(n_out, n_in, density=density, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(again.toarray(), g.toarray())


@pytest.mark.parametrize("edges", [1, 2, 3, 4, 5])
def test_erdos_renyi_is_uniform(edges):
    rng = np.random.default_rng(edges)
    counts = Counter()
    for _ in range(2000):
        g = ensembles.erdos_renyi(2, 3, density=edges / 6, rng=rng)
        counts[tuple(np.flatnonzero(g.toarray()).tolist())] += 1
    seen = [counts[key] for key in combinations(range(6), edges)]
    assert sum(seen) == 2000
    assert chisquare(seen).pvalue > 1e-4


def test_independent_edges():
    rng = np.random.default_rng(0)
    totals = np.zeros((3, 4))
    counts = []
    for _ in range(1000):
        g = ensembles.erdos_renyi(3, 4, density=0.3, iid=True, rng=rng)
        totals += g.toarray()
        counts.append(g.n_edges)
    assert abs(totals / 1000 - 0.3).max() < 0.07
    assert np.var(counts) == pytest.approx(12 * 0.3 * 0.7, rel=0.2)
    assert ensembles.erdos_renyi(3, 4, density=1.0, iid=True).n_edges == 12


@given(st.data())
def test_random_biregular_has_exact_degrees(data):
    n_out, n_in = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    step = n_in // np.gcd(n_in, n_out)
    degree = step * data.draw(st.integers(0, n_in // step))
    seed = data.draw(st.integers(0, 2**32))
    g = ensembles.random_biregular(n_out, n_in, out_degree=degree, rng=seed)
    assert g.n_edges == n_out * degree
    assert set(ng.degrees(g).outputs.tolist()) == {degree}
    assert set(ng.degrees(g).inputs.tolist()) == {n_out * degree // n_in}
    assert (g.data == 1).all()
    again = ensembles.random_biregular(n_out, n_in, out_degree=degree, rng=seed)
    np.testing.assert_array_equal(again.toarray(), g.toarray())
    if degree > 0:
        largest = np.linalg.norm(g.toarray(), 2)
        assert largest == pytest.approx(np.sqrt(degree * n_out * degree / n_in))


def test_random_biregular_reaches_all_graphs():
    rng = np.random.default_rng(0)
    counts = Counter(
        ensembles.random_biregular(4, 4, out_degree=2, rng=rng).pattern().tobytes()
        for _ in range(3000)
    )
    assert len(counts) == 90  # 2-regular bipartite graphs on 4 + 4 labelled vertices
    assert max(counts.values()) < 4 * 3000 / 90


def test_large_and_awkward_random_graphs():
    for shape, degree in [((512, 4608), 2304), ((4608, 512), 255), ((64, 64), 32)]:
        g = ensembles.random_biregular(*shape, out_degree=degree, rng=1)
        assert set(ng.degrees(g).inputs.tolist()) == {shape[0] * degree // shape[1]}
    g = ensembles.erdos_renyi(1000, 1000, density=0.7, rng=0)
    assert g.n_edges == 700_000


@given(st.lists(layer_graphs(max_side=4), min_size=1, max_size=4))
def test_disjoint_union_is_block_diagonal(parts):
    union = ensembles.disjoint_union(*parts)
    assert union.n_edges == sum(part.n_edges for part in parts)
    assert union.shape == tuple(map(sum, zip(*(part.shape for part in parts), strict=True)))
    np.testing.assert_array_equal(union.data, np.concatenate([part.data for part in parts]))
    row = column = 0
    for part in parts:
        block = union.toarray()[row : row + part.n_out, column : column + part.n_in]
        np.testing.assert_array_equal(block, part.toarray())
        row, column = row + part.n_out, column + part.n_in
    assert ng.components(union).count == sum(ng.components(part).count for part in parts)
    if all(part.data.dtype == np.float32 for part in parts):
        assert union.data.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensembles.complete(0, 3), "n_out must be an integer of at least 1, got 0"),
        (lambda: ensembles.complete(2.0, 3), r"n_out must be an integer .* got 2\.0"),
        (lambda: ensembles.complete(True, 3), "got True"),
        (lambda: ensembles.star(-1), "leaves must be an integer of at least 1"),
        (lambda: ensembles.path(1), "n must be an integer of at least 2"),
        (lambda: ensembles.cycle(1), "n must be an integer of at least 2"),
        (lambda: ensembles.hypercube(0), "dimension"),
        (lambda: ensembles.hypercube(27), "26 is the most"),
        (lambda: ensembles.disjoint_union(), "at least one graph"),
        (lambda: ensembles.projective_plane(4), "prime number, got 4; the one below is 3"),
        (lambda: ensembles.projective_plane(1), "q must be an integer of at least 2"),
        (lambda: ensembles.array_code(6, 2), "prime number, got 6; the one below is 5"),
        (lambda: ensembles.array_code(5, 6), "at most 5 blocks, got 6"),
        (lambda: ensembles.array_code(5, 1), "blocks must be an integer of at least 2"),
        (lambda: ensembles.erdos_renyi(2, 2, density=1.5), "between 0 and 1, got 1.5"),
        (lambda: ensembles.erdos_renyi(2, 2, density=np.nan), "between 0 and 1, got nan"),
        (lambda: ensembles.erdos_renyi(2, 2, density="half"), "between 0 and 1, got 'half'"),
        (lambda: ensembles.erdos_renyi(2, 2, density=True), "between 0 and 1, got True"),
        (lambda: ensembles.erdos_renyi("2", 2, density=0.5), "n_out must be an integer"),
        (lambda: ensembles.erdos_renyi(2**32, 2**31, density=0), "2\\^63 pairs or more"),
        (lambda: ensembles.random_biregular(2**32, 2**31, out_degree=0), "2\\^63 pairs"),
        (lambda: ensembles.projective_plane(10**18 + 9), "too large"),
        (lambda: ensembles.random_biregular(4, 6, out_degree=4), r"nearest that do are \[3, 6\]"),
        (lambda: ensembles.random_biregular(4, 6, out_degree=9), r"nearest that do are \[6\]"),
        (lambda: ensembles.random_biregular(4, 6, out_degree=-1), "out_degree must be an integer"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ng.GraphError, match=message):
        call()
