"""Singular values: right, inside their intervals, and the same whatever finds them."""

from __future__ import annotations

import pickle
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from zoo import ZOO

import nngraph as ng
from nngraph import ensembles
from nngraph.spectral import _bounds, _gram, _large, spectrum_metrics
from nngraph.spectral._matrix import Matrix
from nngraph.spectral.singular import solve
from nngraph.testing import layer_graphs

METHODS = ["gram", "gram-lanczos", "block-lanczos"]
SLACK = 1e-13  # of the oracle's largest value: NumPy's SVD has rounding errors of its own


@pytest.fixture
def sparse_kernel(monkeypatch):
    """Even the smallest sparse matrix takes the sparse Gram kernel."""
    monkeypatch.setattr(_gram, "_DENSE_ENTRIES", 0)
    monkeypatch.setattr(_gram, "_DENSE_SHARE", 2.0)


def check(found, truth, tolerance=1e-10):
    """Right values, from the largest down, and the truth inside the intervals."""
    scale = max(truth[0], np.finfo(float).tiny)
    assert found.values.shape == truth.shape == (len(found),)
    assert found.intervals.shape == (len(found), 2)
    np.testing.assert_allclose(found.values / scale, truth / scale, atol=tolerance)
    low, high = found.intervals.T
    assert np.all(low <= truth + SLACK * scale)
    assert np.all(truth <= high + SLACK * scale)
    assert np.all((low <= found.values) & (found.values <= high))
    assert found.index_certified == (found.failure_probability == 0)
    full = np.abs(truth[:, None] - found.values).min(axis=0)
    assert np.all(full <= found.residuals + SLACK * scale)


def by(method, graph, k, **options):
    """The hook behind singular_values, with the method named."""
    return solve(Matrix.of(graph), min(k, *graph.shape), method=method, **options)


def random_graph(shape, density, seed=0, *, signed=False, dtype=np.float64):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    mask = rng.random(shape) < density
    return ng.from_mask((values if signed else np.abs(values)).astype(dtype), mask)


# -- every method against the oracle -------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@given(layer_graphs(max_side=14), st.integers(1, 5))
def test_each_method_agrees_with_the_svd(method, g, k):
    k = min(k, *g.shape)
    check(by(method, g, k), reference.all_singular_values(g)[:k], 2e-8)


@given(layer_graphs(max_side=12), st.integers(1, 14))
def test_singular_values_agree_with_the_svd(g, k):
    found = ng.singular_values(g, k)
    check(found, reference.all_singular_values(g)[:k])
    assert found.index_certified


@pytest.mark.usefixtures("sparse_kernel")
@pytest.mark.parametrize("weights", ["signed", "unit"])
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_the_sparse_gram_kernel(weights, shape):
    g = random_graph(shape, 0.3, signed=True)
    if weights == "unit":
        g = g.with_data(np.ones(g.n_edges))
    truth = reference.all_singular_values(g)
    for method in ("gram", "gram-lanczos"):
        check(by(method, g, 3), truth[:3])
    index = g.weights.indices.astype(np.int64), g.weights.indptr.astype(np.int64)
    other = ng.LayerGraph(csr_array((g.data, *index), shape=shape))
    assert by("gram", other, 3).values.tolist() == by("gram", g, 3).values.tolist()


@pytest.mark.parametrize("known", ZOO, ids=str)
@pytest.mark.parametrize("method", [None, *METHODS])
def test_closed_forms(known, method):
    k = min(4, *known.graph.shape)
    check(by(method, known.graph, k), known.singular_values[:k], 1e-7)


@pytest.mark.parametrize("known", ZOO, ids=str)
def test_all_values_of_the_zoo(known):
    found = ng.singular_values(known.graph, k=1000)
    check(found, known.singular_values)


@pytest.mark.parametrize(
    ("shape", "density"), [((350, 500), 0.1), ((700, 330), 0.03), ((330, 340), 1)]
)
@pytest.mark.parametrize("signed", [False, True])
def test_middle_sizes_are_certified(shape, density, signed):
    g = random_graph(shape, density, signed=signed, dtype=np.float32)
    found = ng.singular_values(g, 3)
    assert found.method == "gram-lanczos"
    assert found.index_certified
    check(found, reference.all_singular_values(g)[:3], 1e-9)
    assert np.ptp(found.intervals, axis=1).max() < 1e-6 * found[0]


@pytest.mark.parametrize("density", [0.02, 1])
@pytest.mark.parametrize("shape", [(150, 260), (260, 150)])
def test_block_lanczos_at_a_size_where_it_must_stop_early(shape, density):
    g = random_graph(shape, density, dtype=np.float32)
    found = by("block-lanczos", g, 2)
    check(found, reference.all_singular_values(g)[:2], 1e-7)
    assert not found.index_certified
    assert found.failure_probability == _bounds.FAILURE


def test_large_layers_take_block_lanczos():
    g = ng.LayerGraph(csr_array(
        (np.r_[3.0, np.full(1599, 1.0)], (np.arange(1600), np.arange(1600))), shape=(1600, 1600)
    ))
    found = ng.singular_values(g, 2)
    assert found.method == "block-lanczos"
    np.testing.assert_allclose(found, [3, 1], rtol=1e-9)


# -- repeated and clustered values ---------------------------------------------------------------


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize(("copies", "k"), [(2, 2), (3, 2), (5, 4), (4, 6)])
def test_disjoint_copies_repeat_every_value(method, copies, k):
    one = random_graph((9, 11), 0.6, seed=3)
    g = ensembles.disjoint_union(*[one] * copies)
    truth = np.sort(np.tile(reference.all_singular_values(one), copies))[::-1][:k]
    check(by(method, g, k), truth, 1e-8)


def test_copies_of_a_middle_size_are_certified():
    one = random_graph((200, 210), 0.1)
    found = ng.singular_values(ensembles.disjoint_union(one, one), 2)
    assert found.index_certified
    check(found, reference.all_singular_values(one)[[0, 0]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("apart", [1e-3, 1e-7, 1e-12, 0])
def test_clusters(method, apart):
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((n, 40)))[0] for n in (40, 55))
    truth = np.r_[5, 4, 4 * (1 - apart), np.linspace(3.5, 0.1, 37)]
    g = ng.LayerGraph(left * truth @ right.T)
    check(by(method, g, 3), truth[:3], 1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_far_apart_values_keep_their_digits_or_say_so(method):
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((n, 30)))[0] for n in (30, 35))
    truth = np.r_[1, 1e-7, np.full(28, 1e-9)]
    found = by(method, ng.LayerGraph(left * truth @ right.T), 2)
    low, high = found.intervals[1]
    assert low <= 1e-7 * (1 + 1e-6)
    assert high >= 1e-7 * (1 - 1e-6)
    if method == "gram":
        assert found.method == "svd"
        np.testing.assert_allclose(found[1], 1e-7, rtol=1e-6)


def test_the_limit_of_the_basis_raises_with_the_best(monkeypatch):
    monkeypatch.setattr(_large, "_LEAST_COLUMNS", 8)
    monkeypatch.setattr(_large, "_MOST_COLUMNS", 8)
    g = ensembles.cycle(300)
    with pytest.raises(ng.ConvergenceError, match="too close together") as caught:
        by("block-lanczos", g, 2)
    best = caught.value.best
    assert best.intervals[0, 0] <= 2 <= best.intervals[0, 1] * (1 + 1e-12)
    assert best.values[0] > 1.5


def test_weights_too_small_to_have_all_digits():
    for weight in (1e-310, 1e-320, 5e-324):
        found = ng.singular_values(ng.LayerGraph(np.full((2, 3), weight)), k=1)
        low, high = found.intervals[0]
        truth = Fraction(weight) ** 2 * 6
        assert Fraction(low) ** 2 <= truth <= Fraction(high) ** 2


# -- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@given(layer_graphs(max_side=10))
def test_transposition(method, g):
    turned = ng.LayerGraph(csr_array(g.tocsr().T))
    one, two = by(method, g, 2).values, by(method, turned, 2).values
    # Block Lanczos drops directions below sqrt(1e-11) of sigma_1, each side its own.
    limit = 4e-6 if method == "block-lanczos" else 1e-7
    np.testing.assert_allclose(one, two, atol=limit * max(one[0], 1e-300))


@given(layer_graphs(max_side=10), st.sampled_from([2.0**-90, -3.0, 2.0**80]))
def test_scaling(g, factor):
    if g.weights.dtype == np.float32:
        g = ng.LayerGraph(g.tocsr().astype(np.float64))
    one, two = ng.singular_values(g), ng.singular_values(g.with_data(g.data * factor))
    expected = abs(factor) * one.values
    np.testing.assert_allclose(two.values, expected, rtol=1e-9, atol=1e-12 * expected[0])


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("method", METHODS)
def test_huge_and_tiny_weights(size, method):
    g = random_graph((20, 25), 0.5, signed=True)
    truth = reference.all_singular_values(g)[:2] * size
    check(by(method, g.with_data(g.data * size), 2), truth, 1e-8)


@given(layer_graphs(max_side=8, sparse=True))
def test_interlacing_when_a_vertex_goes(g):
    whole = ng.singular_values(g, 8)
    rest = ng.LayerGraph(g.tocsr()[: g.n_out - 1] if g.n_out > 1 else g.tocsr())
    assert np.all(np.asarray(ng.singular_values(rest, len(whole)))
                  <= whole.values[: min(rest.shape)] + 1e-12 * whole[0])


@given(layer_graphs(max_side=8))
def test_isolated_vertices_add_zeros_only(g):
    padded = np.zeros((g.n_out + 2, g.n_in + 3))
    padded[1:-1, 2:-1] = g.toarray()
    mask = np.zeros(padded.shape, bool)
    mask[1:-1, 2:-1] = g.pattern()
    more = ng.from_mask(padded, mask)
    k = min(g.shape)
    found = np.asarray(ng.singular_values(more, k + 2))
    np.testing.assert_allclose(found[:k], ng.singular_values(g, k), atol=1e-9 * found[0])
    assert found[k:].tolist() == [0, 0]
    for metric in (ng.ramanujan_bound, ng.ramanujan_gap, ng.eigengap, ng.stable_rank):
        one, two = metric(g), metric(more)
        assert one.reason == two.reason
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-9 * max(found[0], 1))


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_weights_are_taken_exactly(method):
    g = random_graph((25, 40), 0.4, dtype=np.float32)
    wide = ng.LayerGraph(g.tocsr().astype(np.float64))
    np.testing.assert_allclose(by(method, g, 2), by(method, wide, 2), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_equal_graphs_give_equal_bits(method):
    g = random_graph((30, 45), 0.3)
    one, two, other = by(method, g, 3), by(method, g, 3), by(method, g, 3, rng=5)
    assert one.intervals.tobytes() == two.intervals.tobytes()
    assert one.values.tobytes() == two.values.tobytes()
    np.testing.assert_allclose(other, one, rtol=1e-7)


def test_stored_zeros_are_edges_of_the_pattern_and_nothing_else():
    g = ng.from_mask(np.diag([2.0, 0, 0]), np.ones((3, 3), bool))
    np.testing.assert_allclose(ng.singular_values(g, 3), [2, 0, 0], atol=1e-12)
    assert ng.ramanujan_gap(g) == pytest.approx(2 * sqrt(2))
    zero = g.with_data(np.zeros(9))
    assert np.asarray(ng.singular_values(zero, 3)).tolist() == [0, 0, 0]
    reasons = {ng.stable_rank(zero).reason, ng.normalized_lambda2(zero).reason}
    assert reasons == {"all weights are zero"}


def test_one_edge_and_no_edge():
    one = ng.singular_values(ng.LayerGraph([[0.0, 0.0], [-3.0, 0.0]]))
    assert one.values.tolist() == [3, 0]
    assert one.method == "closed form"
    none = ng.singular_values(ng.LayerGraph(np.zeros((2, 3))), 5)
    assert none.values.tolist() == [0, 0]
    assert none.intervals.tolist() == [[0, 0], [0, 0]]
    assert none.index_certified


@pytest.mark.parametrize("k", [0, -1, 1.5, "two", None])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ng.GraphError, match="positive integer"):
        ng.singular_values(ng.LayerGraph(np.ones((2, 2))), k)


def test_the_result_is_an_array_and_frozen():
    found = ng.singular_values(ng.LayerGraph(np.diag([1.0, 2.0])))
    assert list(found) == [2, 1] == [found[0], found[1]]
    assert len(found) == 2
    with pytest.raises(ValueError, match="read-only"):
        found.values[0] = 1
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert again.values.tolist() == [2, 1]


# -- the bounds themselves -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cholesky_proves_what_is_true_only(dtype):
    rng = np.random.default_rng(0)
    half = rng.standard_normal((30, 40))
    gram = np.asfortranarray(np.tril(half @ half.T), dtype=dtype)
    values, vectors = np.linalg.eigh(half @ half.T)
    for m in (0, 1, 3):
        top, truth = (vectors[:, 30 - m :], values[30 - m :]), values[29 - m]
        bound = _bounds.below(gram, *top, truth * 1.01)
        assert truth < bound < truth * 1.02
        assert _bounds.below(gram, *top, truth * 0.99) is None


@pytest.mark.parametrize(
    ("index", "block", "products"), [(1, 1, 4), (1, 3, 2), (2, 2, 4), (2, 4, 2)]
)
def test_the_random_start_fails_as_seldom_as_it_says(index, block, products):
    rng = np.random.default_rng(4)
    truth = np.r_[1.0, 0.99, np.linspace(0.9, 0, 58)]
    matrix = np.diag(truth)
    failure, runs = 0.1, 300
    factor = _bounds.stretch(index, block, products, 60, failure)
    starts = (rng.standard_normal((60, block)) for _ in range(runs))
    ritz = [reference.block_krylov_values(matrix, s, products, index)[-1] for s in starts]
    assert np.count_nonzero(np.array(ritz) * factor < truth[index - 1]) <= 2 * failure * runs
    assert 1 < _bounds.stretch(index, block, 50, 60, failure) < 1.2
    assert _bounds.stretch(index, block, products, 60, 1e-6) > factor


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_coupled_is_an_eigenvalue(theta, coupling, tau):
    truth = np.linalg.eigvalsh([[theta, coupling], [coupling, tau]])[1]
    assert _bounds.coupled(theta, coupling, tau) == pytest.approx(truth, abs=1e-13)


# -- metrics -------------------------------------------------------------------------------------


@given(layer_graphs(max_side=9, weights="nonnegative"))
def test_metrics_against_the_oracle(g):
    sigma = reference.all_singular_values(g)
    live = [int(n) for n in (g.pattern().any(axis=1).sum(), g.pattern().any(axis=0).sum())]
    pattern = np.linalg.svd(g.pattern().astype(float), compute_uv=False)
    found = spectrum_metrics(g)
    assert found["certified"]
    if not g.n_edges:
        names = set(found) - {"certified", "reasons"}
        assert set(found["reasons"]) == names
        assert all(np.isnan(found[name]) for name in names)
        return
    assert found["sigma_1"] == pytest.approx(sigma[0], rel=1e-12)
    bound = reference.average_degree_bound(g)
    assert found["ramanujan_bound"] == pytest.approx(bound, rel=1e-12)
    if sigma[0]:
        rank = (g.data.astype(float) ** 2).sum() / sigma[0] ** 2
        assert found["stable_rank"] == pytest.approx(rank, rel=1e-10)
    if min(live) < 2:
        assert {"sigma_2", "eigengap", "ramanujan_gap", "lambda_2"} <= set(found["reasons"])
        return
    assert found["sigma_2"] == pytest.approx(sigma[1], rel=1e-8, abs=1e-12 * sigma[0])
    assert found["eigengap"] == pytest.approx(sigma[0] - sigma[1], abs=1e-10 * sigma[0])
    assert found["ramanujan_gap"] == pytest.approx(bound - pattern[1], abs=1e-10)
    if "lambda_2" not in found["reasons"]:
        truth = reference.second_laplacian_eigenvalue(g)
        assert found["lambda_2"] == pytest.approx(truth, abs=1e-9)


@given(layer_graphs(max_side=8, weights="nonnegative"))
def test_the_functions_and_the_metrics_of_a_report_are_one(g):
    found = spectrum_metrics(g)
    functions = {
        "eigengap": ng.eigengap, "stable_rank": ng.stable_rank, "lambda_2": ng.normalized_lambda2,
        "ramanujan_bound": ng.ramanujan_bound, "ramanujan_gap": ng.ramanujan_gap,
    }
    for name, function in functions.items():
        metric = function(g)
        np.testing.assert_allclose(found[name], metric, rtol=1e-9, atol=1e-9)
        assert found["reasons"].get(name, "") == metric.reason
        if not metric.reason:
            assert metric.interval[0] <= metric <= metric.interval[1]
            assert metric.certified


def test_normalized_lambda2_of_large_scaled_matrices():
    """The scaled rows and columns of the sparse and dense products."""
    for density in (0.3, 1):
        g = random_graph((40, 60), density)
        matrix = Matrix.of(g).normalized()
        truth = 1 - reference.second_laplacian_eigenvalue(g)
        for turned in (matrix, matrix.transpose()) if density < 1 else (matrix,):
            for method in METHODS:
                found = solve(turned, 2, method=method)
                np.testing.assert_allclose(found, [1, truth], rtol=1e-7)


@pytest.mark.usefixtures("sparse_kernel")
def test_normalized_lambda2_of_a_pattern_by_the_sparse_kernel():
    g = random_graph((20, 30), 0.4)
    ones = g.with_data(np.ones(g.n_edges))
    truth = reference.second_laplacian_eigenvalue(ones)
    assert ng.normalized_lambda2(ones) == pytest.approx(truth, abs=1e-10)


def test_ramanujan_graphs_and_others():
    assert ng.ramanujan_gap(ensembles.projective_plane(5)) > 0
    two = ensembles.disjoint_union(*[ensembles.projective_plane(3)] * 2)
    assert ng.ramanujan_gap(two) < 0
    assert ng.eigengap(two) == pytest.approx(0, abs=1e-12)
    g = ensembles.cycle(6)
    assert ng.ramanujan_gap(g, bound=lambda graph: 5.0) == pytest.approx(5 - sqrt(3))
    with pytest.raises(ng.GraphError, match="universal"):
        ng.ramanujan_gap(g, bound="universal")


def test_negative_weights_need_a_choice():
    g = ng.LayerGraph([[1.0, -2.0], [3.0, 4.0]])
    for function in (ng.normalized_lambda2, spectrum_metrics):
        with pytest.raises(ng.NegativeWeightError, match="magnitude"):
            function(g)
    assert ng.normalized_lambda2(ng.magnitude(g)) > 0


def test_metric_is_a_frozen_float():
    metric = ng.eigengap(ensembles.projective_plane(2))
    assert metric.value == float(metric) == 3 - sqrt(2) or abs(metric - 3 + sqrt(2)) < 1e-12
    assert f"{metric:.3f}" == str(round(metric, 3)) == "1.586"
    assert repr(metric).startswith("Metric(1.5857864")
    assert repr(ng.Metric(2.0)) == "Metric(2)"
    assert "certified=False" in repr(ng.Metric(2.0, interval=(1, 3), certified=False))
    assert str(metric) == repr(float(metric))
    with pytest.raises(AttributeError, match="frozen"):
        metric.reason = "other"
    again = pickle.loads(pickle.dumps(metric))  # noqa: S301
    assert (again, again.interval) == (metric, metric.interval)
    assert np.asarray([metric]).dtype == np.float64


def test_dense_small_layers_load_no_numba():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, nngraph as ng\n"
        "from nngraph.spectral import spectrum_metrics\n"
        "spectrum_metrics(ng.LayerGraph(np.random.default_rng(0).random((64, 576))))\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
