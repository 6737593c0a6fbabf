"""Effective resistance: closed forms, laws, oracles, and weights that break other libraries."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import exact_resistances, full_laplacian, pinv_resistances, spanning_trees
from scipy.sparse import csr_array

import nngraph as ng
from nngraph.resistance import component, exact, pieces, reduction
from nngraph.testing import layer_graphs


def values(weights) -> np.ndarray:
    """Resistances of a layer's edges as a full array, NaN where there is no edge."""
    found = ng.effective_resistance(ng.LayerGraph(weights))
    full = np.full(found.graph.shape, np.nan)
    full[found.graph.edges()] = found.values
    return full


def random_layer(shape, seed=0, density=1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.abs(rng.normal(size=shape)) * (rng.random(shape) < density)


# -- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 5), (3, 4), (4, 3), (40, 70), (70, 40)])
@pytest.mark.parametrize("c", [1.0, 0.3])
def test_complete_graphs(m, n, c):
    expected = (m + n - 1) / (m * n * c)
    np.testing.assert_allclose(values(np.full((m, n), c)), expected, rtol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 10, 201])
def test_paths(n):
    w = np.random.default_rng(n).uniform(0.1, 10, n - 1)
    path = ng.ensembles.path(n).with_data(w)
    np.testing.assert_array_equal(ng.effective_resistance(path)[:], 1 / w)
    along = [k // 2 if k % 2 == 0 else path.n_in + k // 2 for k in range(n)]
    matrix = ng.resistance_matrix(path)[np.ix_(along, along)]
    place = np.concatenate([[0], np.cumsum(1 / w)])
    np.testing.assert_allclose(matrix, np.abs(place - place[:, None]), rtol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_even_cycles(n):
    found = ng.effective_resistance(ng.ensembles.cycle(n))[:]
    np.testing.assert_allclose(found, (2 * n - 1) / (2 * n), rtol=1e-12)


def test_bridges_have_leverage_one():
    """Two 4-cycles joined by an edge."""
    weights = np.zeros((4, 4))
    weights[:2, :2] = weights[2:, 2:] = 1
    weights[0, 3] = 1e-3
    leverage = ng.leverage_scores(ng.LayerGraph(weights)).tocsr().toarray()
    assert leverage[0, 3] == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(leverage[:2, :2], 3 / 4, rtol=1e-14)


# -- oracles ---------------------------------------------------------------------------------


@given(layer_graphs(weights="nonnegative"))
def test_as_the_pseudo_inverse(graph):
    matrix = pinv_resistances(graph.toarray())
    rows, columns = graph.edges()
    expected = matrix[graph.n_in + rows, columns]
    np.testing.assert_allclose(ng.effective_resistance(graph)[:], expected, rtol=1e-8)
    np.testing.assert_allclose(ng.resistance_matrix(graph), matrix, rtol=1e-8, atol=1e-300)


LINKED = np.zeros((14, 9))
LINKED[:7, :5] = random_layer((7, 5), 1)
LINKED[7:, 5:] = random_layer((7, 4), 2)
_rng = np.random.default_rng(0)
ILL = {
    "gaussian": random_layer((14, 9)),
    "log-uniform 1e-12 to 1": 10 ** _rng.uniform(-12, 0, (9, 14)),
    "one row and one column x 1e-12": random_layer((14, 9))
    * np.where(np.arange(14) == 3, 1e-12, 1)[:, None]
    * np.where(np.arange(9) == 2, 1e-12, 1),
    **{
        f"two clusters joined by {link:g}": LINKED + link * (np.arange(126) == 8).reshape(14, 9)
        for link in (1e-10, 1e-15, 1e-40)
    },
    "log-uniform 1e-150 to 1e150": 10 ** _rng.uniform(-150, 150, (6, 7)),
    "the same, sparse": 10 ** _rng.uniform(-150, 150, (7, 6)) * (random_layer((7, 6), 5, 0.6) > 0),
    "float32's range": (10 ** _rng.uniform(-44, 38, (7, 6))).astype(np.float32),
}


@pytest.mark.parametrize("name", ILL)
def test_many_digits(name):
    """Within 1e-12 of mpmath, by the certified way and by elimination."""
    weights = ILL[name]
    digits = 60 + int(2 * np.ptp(np.log10(weights[weights > 0])))
    expected = np.where(weights > 0, exact_resistances(weights, digits), np.nan)
    np.testing.assert_allclose(values(weights), expected, rtol=1e-12)
    np.testing.assert_allclose(values(weights.T), expected.T, rtol=1e-12)


@pytest.mark.parametrize("name", ILL)
def test_many_digits_by_elimination(name, monkeypatch):
    certified = values(ILL[name])
    monkeypatch.setattr(reduction, "AMPLIFICATION_LIMIT", 0.0)
    assert ng.effective_resistance(ng.LayerGraph(ILL[name])).report["method"] == "gth"
    np.testing.assert_allclose(values(ILL[name]), certified, rtol=2e-12)


def test_leverage_is_the_share_of_spanning_trees():
    weights = np.array([[1.0, 2.0, 0.5], [3.0, 0.0, 1.0], [0.2, 1.0, 0.0]])
    total, share = 0.0, np.zeros_like(weights)
    for weight, edges in spanning_trees(weights):
        total += weight
        for edge in edges:
            share[edge] += weight
    found = ng.leverage_scores(ng.LayerGraph(weights)).tocsr().toarray()
    np.testing.assert_allclose(found, share / total, rtol=1e-13)
    assert ng.spanning_tree_count(ng.LayerGraph(weights)) == pytest.approx(np.log(total), abs=1e-13)


# -- laws ------------------------------------------------------------------------------------


@given(layer_graphs(weights="nonnegative"))
def test_foster_and_bounds(graph):
    found = ng.effective_resistance(graph)
    w, R = graph.data.astype(float), found.values
    positive = ng.LayerGraph(csr_array(np.where(graph.toarray() > 0, graph.toarray(), 0)))
    vertices, count = graph.n_in + graph.n_out, ng.components(positive).count
    assert found.report["components"] == count
    assert found.report["foster_defect"] <= 1e-10 * vertices
    assert np.sum(w[w > 0] * R[w > 0]) == pytest.approx(vertices - count, abs=1e-10 * vertices)
    leverage = ng.leverage_scores(graph)[:]
    assert (leverage >= 0).all()
    assert (leverage <= 1).all()
    assert ((leverage == 0) == (w == 0)).all()
    inputs, outputs = ng.strengths(ng.LayerGraph(graph.tocsr().astype(float)))
    rows, columns = (ends[w > 0] for ends in graph.edges())
    at_ends = 1 / outputs[rows] + 1 / inputs[columns]
    lower = at_ends - 2 * w[w > 0] / outputs[rows] / inputs[columns]
    assert (R[w > 0] >= lower * (1 - 1e-9) - 1e-12 * at_ends).all()
    assert (R[w > 0] * w[w > 0] <= 1 + 1e-9).all()


@given(layer_graphs(weights="positive"), st.integers(-40, 40), st.booleans())
def test_scaling_by_a_power_of_two_is_exact(graph, k, single):
    if single:
        graph = ng.LayerGraph(graph.tocsr().astype(np.float32))
    scaled = graph.with_data(graph.data * graph.data.dtype.type(2.0**k))
    R, Q = ng.effective_resistance(graph)[:], ng.effective_resistance(scaled)[:]
    np.testing.assert_array_equal(Q, R / 2.0**k)
    np.testing.assert_array_equal(
        ng.leverage_scores(graph)[:], ng.leverage_scores(scaled)[:]
    )


@given(layer_graphs(weights="nonnegative"))
def test_transposition(graph):
    turned = ng.effective_resistance(ng.LayerGraph(graph.tocsr().T.tocsr())).tocsr().T.tocsr()
    np.testing.assert_allclose(ng.effective_resistance(graph).tocsr().data, turned.data, rtol=1e-9)


@given(layer_graphs(weights="positive", connected=True, max_side=8), st.randoms())
def test_one_edge_more_conductance(graph, random):
    """Rayleigh, the parallel law, and the exact rank-one change of every resistance."""
    if not graph.n_edges:
        return
    e, delta = random.randrange(graph.n_edges), graph.data.mean()
    weights = graph.data.astype(float)
    weights[e] += delta
    before = ng.effective_resistance(graph)[:]
    after = ng.effective_resistance(graph.with_data(weights))[:]
    assert (after <= before * (1 + 1e-9)).all()
    assert 1 / after[e] == pytest.approx(1 / before[e] + delta, rel=1e-8)
    green = np.linalg.pinv(full_laplacian(graph.toarray()), hermitian=True)
    rows, columns = graph.edges()
    potentials = green[graph.n_in + rows] - green[columns]
    transfer = potentials[:, graph.n_in + rows[e]] - potentials[:, columns[e]]
    expected = before - delta * transfer**2 / (1 + delta * before[e])
    np.testing.assert_allclose(after, expected, rtol=1e-6, atol=1e-9 * before.max())


def test_series_and_parallel_paths():
    """Two inputs between two outputs: 1/(1/a + 1/b) beside 1/(1/c + 1/d)."""
    a, b, c, d = 2.0, 3.0, 5.0, 7.0
    matrix = ng.resistance_matrix(np.array([[a, c], [b, d]]))
    between_outputs = 1 / (a * b / (a + b) + c * d / (c + d))
    assert matrix[2, 3] == pytest.approx(between_outputs, rel=1e-14)


@given(layer_graphs(weights="nonnegative", max_side=10))
def test_resistance_is_a_metric(graph):
    matrix = ng.resistance_matrix(graph)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 0).all()
    with np.errstate(invalid="ignore"):
        detour = (matrix[:, :, None] + matrix[None, :, :]).min(axis=1)
    assert (matrix <= detour * (1 + 1e-9)).all()
    rows, columns = graph.edges()
    np.testing.assert_allclose(
        ng.effective_resistance(graph)[:], matrix[graph.n_in + rows, columns], rtol=1e-9
    )
    assert ng.kirchhoff_index(graph) == pytest.approx(np.triu(matrix).sum(), rel=1e-12)


def test_known_counts_of_spanning_trees():
    for m, n in ((1, 1), (3, 4), (6, 2), (30, 50)):
        expected = (n - 1) * np.log(m) + (m - 1) * np.log(n)
        graph = ng.ensembles.complete(m, n)
        assert ng.spanning_tree_count(graph) == pytest.approx(expected, rel=1e-13, abs=1e-14)
        scaled = graph.with_data(graph.data * 4)
        expected += (m + n - 1) * np.log(4)
        assert ng.spanning_tree_count(scaled) == pytest.approx(expected, rel=1e-13, abs=1e-14)
    assert ng.spanning_tree_count(ng.ensembles.cycle(7)) == pytest.approx(np.log(14))
    assert ng.spanning_tree_count(ng.ensembles.path(9)) == pytest.approx(0, abs=1e-14)
    assert ng.spanning_tree_count(np.array([[1.0, 0.0]])) == -np.inf


def test_spanning_trees_by_elimination(monkeypatch):
    graph = ng.LayerGraph(random_layer((40, 60), 3, 0.3))
    expected = ng.spanning_tree_count(graph)
    monkeypatch.setattr(reduction, "AMPLIFICATION_LIMIT", 0.0)
    assert ng.spanning_tree_count(graph) == pytest.approx(expected, rel=1e-13)


# -- several components, zeros, and small things ---------------------------------------------


def test_components_isolated_vertices_and_zero_weights():
    weights = np.zeros((5, 6))
    weights[:2, :2] = [[1, 2], [3, 4]]
    weights[2:4, 3:5] = [[1, 1], [1, 0]]
    mask = weights > 0
    mask[0, 3] = True  # between components
    mask[3, 4] = True  # inside one: from output 3 over inputs and output 2 to input 4
    mask[4, 5] = True  # between isolated vertices
    found = ng.effective_resistance(ng.from_mask(weights, mask))
    full = found.tocsr().toarray()
    assert full[0, 3] == full[4, 5] == np.inf
    assert full[3, 4] == pytest.approx(3, rel=1e-14)
    alone = values(weights[:2, :2])
    np.testing.assert_allclose(full[:2, :2], alone, rtol=1e-14)
    assert found.report["components"] == 5
    leverage = ng.leverage_scores(ng.from_mask(weights, mask))
    assert np.isfinite(leverage[:]).all()
    assert leverage[:].sum() == pytest.approx(6)
    matrix = ng.resistance_matrix(ng.from_mask(weights, mask))
    assert np.isinf(matrix[0, 3])
    assert np.isfinite(matrix[:2, 6:8]).all()


@pytest.mark.parametrize("weights", [
    csr_array((3, 4)), csr_array((np.zeros(2), [0, 1], [0, 1, 2, 2]), shape=(3, 4)),
])  # fmt: skip
def test_no_edge_that_conducts(weights):
    graph = ng.LayerGraph(weights)
    found = ng.effective_resistance(graph)
    assert np.isinf(found[:]).all()
    assert len(found) == graph.n_edges
    assert found.report["components"] == 7
    assert found.report["foster_defect"] == 0
    assert (ng.leverage_scores(graph)[:] == 0).all()
    assert ng.kirchhoff_index(graph) == np.inf
    assert ng.spanning_tree_count(graph) == -np.inf


def test_one_edge():
    assert ng.effective_resistance(np.array([[4.0]]))[:] == [0.25]
    assert ng.effective_resistance(csr_array([[0.0, 4.0]]))[:] == [0.25]
    assert ng.kirchhoff_index(np.array([[4.0]])) == 0.25


def test_float32_gives_the_answer_of_the_same_numbers():
    for density in (1.0, 0.3):
        weights = random_layer((30, 50), 7, density).astype(np.float32)
        np.testing.assert_array_equal(values(weights), values(weights.astype(float)))


# -- the ways through the code ---------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
@pytest.mark.parametrize("light", [1, 4, 1000])
@pytest.mark.parametrize("density", [0.05, 0.4])
def test_light_and_heavy_vertices(shape, light, density, monkeypatch):
    """Pairs of edges, full rows, and both beside each other; blocks of a few rows."""
    weights = random_layer(shape, 11, density)
    weights[:, 0] = weights[2] = 1.0  # hubs
    expected = values(weights)
    monkeypatch.setattr(pieces, "SMALL", 0)
    monkeypatch.setattr(pieces, "LIGHT", light)
    monkeypatch.setattr(component, "PAIR_BLOCK", 50)
    monkeypatch.setattr(component, "LEAST_BLOCK", 7)
    monkeypatch.setattr(component, "MOST_BLOCK", 7)
    np.testing.assert_allclose(values(weights), expected, rtol=1e-12)


@pytest.mark.parametrize("q", [2, 31, 32, 33, 65, 130])
def test_blocks_of_elimination_and_panels(q, monkeypatch):
    weights = random_layer((q, q + 3), q)
    expected = values(weights)
    monkeypatch.setattr(reduction, "AMPLIFICATION_LIMIT", 0.0)
    np.testing.assert_allclose(values(weights), expected, rtol=1e-12)


def test_the_certificate_decides():
    good = ng.effective_resistance(ng.LayerGraph(ILL["gaussian"])).report
    assert good["method"] == "exact"
    assert 1 <= good["amplification"] < 3
    bad = ng.effective_resistance(ng.LayerGraph(ILL["two clusters joined by 1e-10"])).report
    assert bad["method"] == "gth"
    assert bad["amplification"] > 1e9


def test_fosters_defect_decides_too(monkeypatch):
    expected = values(ILL["gaussian"])
    wrong = reduction._by_cholesky

    def spoil(array):
        found = wrong(array)
        return found._replace(resistances=found.resistances * 1.001)

    monkeypatch.setattr(reduction, "_by_cholesky", spoil)
    graph = ng.LayerGraph(ILL["gaussian"])
    assert ng.effective_resistance(graph).report["method"] == "gth"
    np.testing.assert_allclose(values(ILL["gaussian"]), expected, rtol=1e-12)


def test_no_numba_where_the_certificate_passes():
    code = (
        "import sys, numpy as np, nngraph as ng\n"
        "ng.effective_resistance(ng.LayerGraph(np.ones((64, 576))))\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- what breaks other libraries -------------------------------------------------------------


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1),
    st.sampled_from([0.3, 0.7, 1.0]), st.sampled_from([150, 300]),
)  # fmt: skip
def test_finite_weights_never_give_nan(n_out, n_in, seed, density, decades):
    rng = np.random.default_rng(seed)
    weights = 10 ** rng.uniform(-decades, decades, (n_out, n_in))
    weights *= rng.random((n_out, n_in)) < density
    found = ng.effective_resistance(ng.LayerGraph(csr_array(weights)))
    assert not np.isnan(found[:]).any()
    assert (found[:] > 0).all()
    leverage = ng.leverage_scores(found.graph)[:]
    assert not np.isnan(leverage).any()
    if decades == 150:
        assert found.report["foster_defect"] < 1e-12
        assert (leverage > 0).all()
        assert np.isfinite(found[:]).all()


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e300, 1.7e308])
def test_the_ends_of_the_floating_point_range(size):
    with np.errstate(over="ignore"):
        expected = np.float64(0.5) / size
    found = values(np.full((3, 4), size))
    if size >= 1e-300:
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not np.isnan(found).any()


def test_a_singular_laplacian_is_never_inverted():
    """PyGSP inverts it and is wrong by 2 to 14 %."""
    weights = random_layer((10, 30), 4)
    exact_values = exact_resistances(weights, 40)
    assert np.abs(values(weights) / exact_values - 1).max() < 1e-13


def test_weights_count():
    """NetworKit's approximations ignore them."""
    weights = np.ones((4, 5))
    weights[0, 0] = 100
    found = values(weights)
    assert found[0, 0] < 0.01
    assert found[1, 1] == pytest.approx(pinv_resistances(weights)[6, 1], rel=1e-12)


# -- results and errors ----------------------------------------------------------------------


def test_the_result_is_frozen_and_the_input_unchanged():
    for weights in (random_layer((5, 7)), random_layer((7, 5)), random_layer((5, 7), density=0.5)):
        graph = ng.LayerGraph(weights)
        before = graph.data.copy()
        found = ng.effective_resistance(graph)
        with pytest.raises(ValueError, match="read-only"):
            found.values[0] = 1
        np.testing.assert_array_equal(graph.data, before)
        with pytest.raises(TypeError):
            found.report["method"] = "none"


@pytest.mark.parametrize("function", [
    ng.effective_resistance, ng.leverage_scores, ng.resistance_matrix, ng.kirchhoff_index,
    ng.spanning_tree_count,
])  # fmt: skip
def test_bad_input(function):
    with pytest.raises(ng.NegativeWeightError, match=r"nngraph\.magnitude"):
        function(ng.LayerGraph([[1.0, -2.0]], "fc"))
    with pytest.raises(ng.NegativeWeightError, match="'fc'"):
        function(ng.LayerGraph(csr_array([[0.0, -2.0]]), "fc"))
    with pytest.raises(ng.WeightError, match="NaN"):
        function(np.array([[1.0, np.nan]]))
    with pytest.raises(TypeError, match="LayerGraph is needed"):
        function(ng.NetworkGraph([np.ones((2, 2))]))


def test_a_matrix_too_large(monkeypatch):
    monkeypatch.setattr(exact, "MATRIX_LIMIT", 6)
    with pytest.raises(ng.GraphError, match=r"at most 6 vertices.*effective_resistance"):
        ng.resistance_matrix(np.ones((3, 4)))
    assert ng.resistance_matrix(np.ones((3, 3))).shape == (6, 6)
