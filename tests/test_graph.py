"""LayerGraph, NetworkGraph, Join, EdgeValues: what they hold, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from scipy import sparse
from scipy.sparse import csr_array

import nngraph as ng
from nngraph.testing import layer_graphs, network_graphs


def pickled(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301


def buffers(graph):
    w = graph.weights
    arrays = [w] if isinstance(w, np.ndarray) else [w.data, w.indices, w.indptr]
    return arrays if graph.parameters is None else [*arrays, graph.parameters]


# --- LayerGraph: what it holds ------------------------------------------------------------------


@given(layer_graphs())
def test_one_graph_in_all_its_forms(g):
    pattern, dense, csr = g.pattern(), g.toarray(), g.tocsr()
    assert g.shape == (g.n_out, g.n_in) == dense.shape == csr.shape
    assert g.n_edges == pattern.sum() == csr.nnz == len(g.data)
    assert g.density == g.n_edges / dense.size
    assert g.is_sparse == (not pattern.all()) == isinstance(g.weights, csr_array)
    assert csr.has_canonical_format
    assert g.data.dtype == dense.dtype == csr.dtype
    outputs, inputs = g.edges()
    assert outputs.dtype == inputs.dtype == np.int64
    assert (np.diff(outputs * g.n_in + inputs) > 0).all()  # row-major
    np.testing.assert_array_equal(pattern[outputs, inputs], True)
    np.testing.assert_array_equal(dense[outputs, inputs], g.data)
    np.testing.assert_array_equal(csr.toarray(), dense)
    np.testing.assert_array_equal(np.asarray(g), dense)
    assert not dense[~pattern].any()


@given(layer_graphs())
def test_there_and_back(g):
    mask = ng.from_mask(g.toarray(), g.pattern(), g.name)
    for same in (ng.LayerGraph(g.tocsr()), mask, g.with_data(g.data), pickled(g), copy.deepcopy(g)):
        assert same.is_sparse == g.is_sparse
        assert same.data.dtype == g.data.dtype
        np.testing.assert_array_equal(same.pattern(), g.pattern())
        np.testing.assert_array_equal(same.data, g.data)
        assert not any(part.flags.writeable for part in buffers(same))
        with pytest.raises(ValueError, match="read-only"):
            same.data[:1] = 5.0


@given(layer_graphs())
def test_magnitude_and_squared_keep_edges(g):
    for function, expected in ((ng.magnitude, np.abs), (ng.squared, np.square)):
        found = function(g)
        np.testing.assert_array_equal(found.pattern(), g.pattern())
        np.testing.assert_array_equal(found.data, expected(g.data))
        assert (found.name, found.data.dtype) == (g.name, g.data.dtype)


def test_which_zeros_are_edges():
    dense = ng.LayerGraph(np.array([[1.0, 0.0], [-0.0, 2.0]]))
    assert dense.n_edges == 2
    stored = csr_array((np.array([1.0, 0.0]), ([0, 1], [0, 0])), shape=(2, 2))
    assert ng.LayerGraph(stored).n_edges == 2
    full = csr_array((np.zeros(4), ([0, 0, 1, 1], [0, 1, 0, 1])))
    assert not ng.LayerGraph(full).is_sparse
    assert ng.LayerGraph(full).n_edges == 4
    assert ng.from_mask(np.zeros((2, 2)), np.ones((2, 2), bool)).n_edges == 4
    assert ng.from_mask(np.ones((2, 2)), np.zeros((2, 2), bool)).n_edges == 0


@pytest.mark.parametrize(
    ("given_type", "kept"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), (np.longdouble, "f8"), (">f4", "f4"), (">f8", "f8")],
)
def test_types(given_type, kept):
    for weights in (np.ones((2, 3), given_type), np.eye(3, dtype=given_type)):
        assert ng.LayerGraph(weights).data.dtype == np.dtype(kept)
    if np.dtype(given_type).char in "fd" and np.dtype(given_type).isnative:
        assert ng.LayerGraph(csr_array(np.eye(3, dtype=given_type))).data.dtype == np.dtype(kept)
    assert ng.LayerGraph([[1, 2], [0, 3]]).data.dtype == np.float64


def test_edges_lie_in_row_major_order_whatever_the_memory():
    turned = np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3))
    turned.flags.writeable = False
    g = ng.LayerGraph(turned)
    assert g.data.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.shares_memory(g.data, g.weights)
    assert not g.data.flags.writeable
    assert ng.LayerGraph(turned[:, ::-1]).data.tolist() == [3, 2, 1, 6, 5, 4]


@pytest.mark.parametrize("make", [np.array, csr_array, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("weights", [np.eye(3), np.ones((2, 2))])
def test_the_input_is_neither_changed_nor_shared(make, weights):
    given_weights = make(weights)
    g = ng.LayerGraph(given_weights)
    data = given_weights if make is np.array else given_weights.data
    assert data.flags.writeable
    data[...] = 7.0
    np.testing.assert_array_equal(g.toarray(), weights)


def test_a_read_only_view_of_a_writable_array_is_copied():
    base = np.ones((3, 4))
    view = base[:2]
    view.flags.writeable = False
    graphs = [ng.LayerGraph(view), ng.LayerGraph(np.broadcast_to(base[0], (2, 4)))]
    base[:] = 5.0
    assert all((g.data == 1).all() for g in graphs)


def test_a_read_only_array_is_kept():
    weights = np.ones((3, 4))
    weights.flags.writeable = False
    assert np.shares_memory(ng.LayerGraph(weights).data, weights)
    g = ng.LayerGraph(csr_array(np.eye(3)))
    assert np.shares_memory(ng.LayerGraph(g.weights).data, g.data)


def test_with_data():
    g = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]], "fc", parameters=[5, 1, 1], view="unit")
    other = g.with_data(np.array([0.0, -1.0, 4.0]))
    assert other.toarray().tolist() == [[0, 0], [-1, 4]]
    assert other.n_edges == 3
    assert (other.name, other.view, other.parameters.tolist()) == ("fc", "unit", [5, 1, 1])
    assert ng.LayerGraph([[1.0, 2.0]]).with_data(np.zeros(2)).n_edges == 2
    with pytest.raises(ng.WeightError, match=r"3 edge weights are needed, got shape \(2,\)"):
        g.with_data(np.ones(2))
    with pytest.raises(ng.WeightError, match="1 NaN or infinite"):
        g.with_data(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ng.WeightError, match="int64"):
        g.with_data(np.array([1, 2, 3]))


def test_repr():
    g = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]], "fc")
    assert repr(g) == "<LayerGraph 'fc': 2 inputs, 2 outputs, 3 edges (0.75)>"
    assert repr(replace(g, name="")).startswith("<LayerGraph: 2 inputs")
    with pytest.raises(AttributeError):
        g.name = "other"
    assert len({g, replace(g)}) == 2  # compared and hashed by identity


# --- LayerGraph: what it refuses ----------------------------------------------------------------

HOSTILE = [
    (np.array([[1.0, np.nan]]), "1 NaN or infinite"),
    (np.array([[np.inf, -np.inf]]), "2 NaN or infinite"),
    (csr_array(np.array([[np.nan, 0.0]])), "1 NaN or infinite"),
    (np.array([[1, 2]]), "int64 numbers"),
    (csr_array(np.array([[1, 2]])), "int64 numbers"),
    (np.array([[True]]), r"bool numbers.*from_mask"),
    (csr_array(np.array([[True]])), "bool numbers"),
    (np.array([[1j]]), "complex128"),
    (np.array([["1.0"]]), "<U3"),
    (np.array([[1.0, None]]), "object"),
    ([[True, False]], "bool"),
    ([["1.0"]], "<U3"),
    ([[1.0, None]], "object"),
    ([[1.0], [2.0, 3.0]], "no rectangular array"),
    (None, "object"),
    (np.ones(3), r"shape \(3,\); two axes"),
    (1.0, r"shape \(\); two axes"),
    ([], r"shape \(0,\)"),
    (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
    (np.ones((0, 3)), r"shape \(0, 3\)"),
    (np.ones((3, 0)), r"shape \(3, 0\)"),
    (csr_array((0, 3)), r"shape \(0, 3\)"),
    (sparse.coo_array(np.ones(3)), r"shape \(3,\)"),
    (np.ma.masked_array([[1.0, 2.0]], [[True, False]]), "masked array; pass nngraph.from_mask"),
    (np.full((1, 1), np.longdouble("1e4000")), "1 NaN or infinite"),
]


@pytest.mark.parametrize(("weights", "message"), HOSTILE, ids=[m for _, m in HOSTILE])
def test_hostile_weights(weights, message):
    with pytest.raises(ng.WeightError, match=message):
        ng.LayerGraph(weights, "fc")
    with pytest.raises(ng.WeightError, match=r"layer graph 'fc'|layer 'fc'|the weights|has shape"):
        ng.LayerGraph(weights, "fc")


def test_sparse_arrays_put_together_wrongly():
    broken = csr_array(np.eye(3))
    broken.indices[:] = 99
    with pytest.raises(ng.WeightError, match="no valid sparse array"):
        ng.LayerGraph(broken)
    summed = sparse.coo_array((np.full(2, 3e38, np.float32), ([0, 0], [0, 0])), shape=(1, 2))
    with pytest.raises(ng.WeightError, match="infinite"):
        ng.LayerGraph(summed)


def test_sums_that_overflow_are_no_infinite_weights():
    assert ng.LayerGraph(np.full((2, 2), 1.7e308)).n_edges == 4
    assert ng.LayerGraph(np.full((2, 2), 3e38, np.float32)).n_edges == 4
    with pytest.raises(ng.WeightError, match="infinite"):
        ng.squared(ng.LayerGraph(np.full((2, 2), 3e38, np.float32)))


@pytest.mark.parametrize(
    "parameters", [[0], [0, 1, 2], [[0, 1]], [0.0, 1.0], [True, False], ["a", "b"], [0, None]]
)
def test_hostile_parameters(parameters):
    with pytest.raises(ng.WeightError, match=r"one integer per edge, shape \(2,\)"):
        ng.LayerGraph([[1.0, 2.0]], parameters=parameters)


@pytest.mark.parametrize(
    "mask", [[[1, 0]], [[1.0, 0.0]], [True, False], [[True], [False]], [[True, None]], None]
)
def test_hostile_masks(mask):
    with pytest.raises(ng.MaskError, match=r"must be bool of shape \(1, 2\)"):
        ng.from_mask([[1.0, 2.0]], mask)


def test_masks_of_no_layer():
    with pytest.raises(ng.WeightError, match="two axes"):
        ng.from_mask([1.0, 2.0], [True, False])
    with pytest.raises(ng.WeightError, match="two axes"):
        ng.from_mask(np.ones((0, 2)), np.ones((0, 2), bool))
    with pytest.raises(ng.WeightError, match="NaN"):
        ng.from_mask([[np.nan, 1.0]], [[False, True]])


def test_from_mask_shares_nothing():
    weights, mask = np.arange(4.0).reshape(2, 2), np.array([[True, True], [False, True]])
    g = ng.from_mask(weights, mask, "fc")
    weights[:], mask[:] = 9.0, True
    assert (g.data.tolist(), g.n_edges, g.name) == ([0.0, 1.0, 3.0], 3, "fc")


@pytest.mark.parametrize("wrong", [[[1.0]], "fc", None, 3])
def test_functions_of_graphs_want_graphs(wrong):
    with pytest.raises(TypeError, match="a LayerGraph is needed"):
        ng.magnitude(wrong)


# --- joins and networks -------------------------------------------------------------------------


def test_a_join_is_canonical_and_frozen():
    matrix = csr_array((np.array([True, False, True]), [1, 0, 0], [0, 2, 3]), shape=(2, 2))
    join = ng.Join(np.int64(-1), 0, matrix)
    assert type(join.source) is int
    assert join.matrix.indices.tolist() == [1, 0]
    matrix.data[:] = False
    assert join.matrix.nnz == 2
    for same in (join, pickled(join), copy.deepcopy(join)):
        assert not same.matrix.data.flags.writeable
        np.testing.assert_array_equal(same.matrix.toarray(), [[False, True], [True, False]])
    for wrong in (np.eye(2), np.ones(2, bool), csr_array(np.eye(2)), [[1, 0]]):
        with pytest.raises(ng.ChainError, match="join from 0 to 1 must be bool with two axes"):
            ng.Join(0, 1, wrong)
    for source, target in [(-2, 0), (0, -1)]:
        with pytest.raises(ng.ChainError, match=f"got {source} to {target}"):
            ng.Join(source, target, matrix)
    with pytest.raises(TypeError):
        ng.Join(0.5, 1, matrix)


@given(network_graphs())
def test_a_chain_is_joined_one_to_one(net):
    assert [(join.source, join.target) for join in net.joins] == [
        (k - 1, k) for k in range(len(net) + 1)
    ]
    sizes = [net[0].n_in, *(layer.n_out for layer in net)]
    for join, n in zip(net.joins, sizes, strict=True):
        np.testing.assert_array_equal(join.matrix.toarray(), np.eye(n, dtype=bool))
    again = pickled(net)
    assert again.names == net.names
    assert [layer.n_edges for layer in again] == [layer.n_edges for layer in net]
    assert not any(layer.data.flags.writeable for layer in again)


def test_names():
    net = ng.NetworkGraph([np.ones((2, 3)), ng.LayerGraph(np.ones((1, 2)), "head")])
    assert net.names == ("layer 0", "head")
    assert net["head"] is net[1] is net[-1]
    assert repr(net) == "<NetworkGraph: 2 layers, 3 joins, view None>"
    with pytest.raises(KeyError, match=r"no layer is named 'fc'; there are \['layer 0', 'head'\]"):
        net["fc"]
    with pytest.raises(ng.ChainError, match="2 layers but 1 names"):
        ng.NetworkGraph([np.ones((2, 3)), np.ones((1, 2))], names=["a"])
    with pytest.raises(IndexError):
        net[2]


def test_layers_that_do_not_fit():
    with pytest.raises(ng.ChainError, match=r"layer 0 \('layer 0'\) has 2 outputs .* 3 inputs"):
        ng.NetworkGraph([np.ones((2, 3)), np.ones((1, 3))])
    with pytest.raises(ng.ChainError, match="at least one layer"):
        ng.NetworkGraph([])
    with pytest.raises(TypeError, match="a LayerGraph is needed, got list"):
        ng.NetworkGraph([[[1.0]]])
    with pytest.raises(ng.ChainError, match=r"sparsifying needs .* chain=\[...\]"):
        ng.NetworkGraph([np.ones((1, 1))], joins=()).require_joins("sparsifying")


def test_lazy_layers_and_maps():
    built = []

    def layer():
        built.append(1)
        return ng.LayerGraph([[-1.0, 2.0]], "lazy")

    net = ng.NetworkGraph([layer], joins=(), names=["lazy"])
    absolute, square = ng.magnitude(net), ng.squared(net)
    assert not built
    assert absolute[0].data.tolist() == [1, 2]
    assert square["lazy"].data.tolist() == [1, 4]
    assert (absolute.names, absolute.view) == (net.names, net.view)
    assert len(built) == 2
    eager = ng.magnitude(ng.NetworkGraph([ng.LayerGraph([[-1.0, 2.0]])]))
    assert pickled(eager)[0].data.tolist() == [1, 2]


# --- edge values --------------------------------------------------------------------------------


@given(layer_graphs(max_side=6))
def test_edge_values_behave_as_an_array(g):
    values = np.arange(g.n_edges, dtype=np.float32)
    found = ng.EdgeValues(values, g, {"method": "exact"})
    values[:] = -1
    for same in (found, pickled(found), copy.deepcopy(found)):
        array = np.asarray(same)
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, np.arange(g.n_edges))
        assert not same.values.flags.writeable
        assert same.report["method"] == "exact"
        with pytest.raises(TypeError):
            same.report["method"] = "guess"
    assert len(found) == g.n_edges
    assert list(found) == list(range(g.n_edges))
    assert np.asarray(found, dtype=np.float32).dtype == np.float32
    own = np.array(found)
    own += 1  # a copy
    csr = found.tocsr()
    assert csr.nnz == g.n_edges
    assert csr.data.tolist() == list(range(g.n_edges))
    outputs, inputs = g.edges()
    np.testing.assert_array_equal(csr.toarray()[outputs, inputs], found)
    if g.n_edges:
        assert found[0] == 0
        assert "median" in repr(found)
    else:
        assert "no edges" in repr(found)


def test_edge_values_of_a_read_only_view_are_copied():
    base = np.ones(2)
    view = base[:]
    view.flags.writeable = False
    found = ng.EdgeValues(view, ng.LayerGraph([[1.0, 2.0]]))
    base[:] = 9
    assert np.asarray(found).tolist() == [1, 1]


def test_edge_values_in_pandas():
    pytest.importorskip("pandas")
    g = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]])
    frame = ng.EdgeValues([0.1, 0.2, 0.3], g).to_pandas()
    assert frame.to_dict("list") == {
        "output": [0, 1, 1], "input": [0, 0, 1], "weight": [1, 2, 3], "value": [0.1, 0.2, 0.3]
    }  # fmt: skip


def test_edge_values_of_another_number_of_edges():
    g = ng.LayerGraph([[1.0, 2.0]])
    for wrong in ([1.0], [[1.0, 2.0]], 1.0, []):
        with pytest.raises(ng.WeightError, match="2 edge values are needed, got shape"):
            ng.EdgeValues(wrong, g)


def test_edge_values_compute_as_their_array():
    graph = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]])
    values = ng.EdgeValues([0.25, np.inf, 0.75], graph)
    np.testing.assert_array_equal(values * graph.data, [0.25, np.inf, 2.25])
    np.testing.assert_array_equal(values == 0.25, [True, False, False])
    np.testing.assert_array_equal(np.minimum(values, values), values.values)
    np.testing.assert_array_equal(-values, [-0.25, -np.inf, -0.75])
    assert np.add.reduce(values) == np.inf
    assert "inf" in repr(values)
    with pytest.raises(TypeError):
        np.add(values, 1, out=values)
    assert values[0] == 0.25


# --- no edge is lost or invented -----------------------------------------------------------------


def test_a_complete_graph_keeps_its_zeros_when_it_is_replaced():
    g = ng.from_mask([[0.0, 1.0], [2.0, 0.0]], np.ones((2, 2), bool), "fc")
    for same in (g, pickled(g), copy.copy(g), copy.deepcopy(g)):
        named = replace(replace(same, name="other"), view="kernel")
        assert (named.name, named.view, named.n_edges) == ("other", "kernel", 4)
        assert np.shares_memory(named.weights, same.weights)
    # Other weights follow the rule for arrays: a zero is no edge.
    assert replace(g, weights=np.array([[0.0, 5.0]])).n_edges == 1
    assert replace(g, weights=g.weights.copy()).n_edges == 2
    assert replace(ng.LayerGraph([[1.0, 0.0]]), name="x").n_edges == 1
    with pytest.raises(TypeError, match=r"given a LayerGraph; use it as it is, or dataclasses"):
        ng.LayerGraph(g)


def test_with_data_of_any_kind():
    for g in (ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]]), ng.LayerGraph([[1.0, 2.0, 3.0]])):
        assert g.with_data(np.array([1, 2, 3], "f2")).data.dtype == np.float32
        assert g.with_data([1, 2, 3]).data.tolist() == [1, 2, 3]
        for wrong, message in (
            ([[1], [2, 3]], "no rectangular array"),
            (np.ma.masked_array([1.0, 2.0, 3.0], [True, False, False]), "masked array"),
            (np.full(3, np.finfo(np.longdouble).max), "3 NaN or infinite"),
        ):
            with pytest.raises(ng.WeightError, match=message):
                g.with_data(wrong)


def test_magnitude_shares_the_pattern():
    g = ng.LayerGraph([[-1.0, 0.0], [2.0, 3.0]])
    assert np.shares_memory(ng.magnitude(g).weights.indices, g.weights.indices)


def frozen_csr(data, indices, indptr, shape):
    parts = [np.array(data), np.array(indices, np.int32), np.array(indptr, np.int32)]
    for part in parts:
        part.flags.writeable = False
    return csr_array(tuple(parts), shape=shape)


def test_what_a_read_only_sparse_array_claims_is_not_believed():
    outside = frozen_csr([1.0, 2.0], [0, 9], [0, 1, 2], (2, 2))
    with pytest.raises(ng.WeightError, match="no valid sparse array: indices must be < 2"):
        ng.LayerGraph(outside)
    unsorted = frozen_csr([1.0, 2.0, 5.0], [1, 0, 1], [0, 2, 3], (2, 2))
    unsorted.has_canonical_format = True
    g = ng.LayerGraph(unsorted)
    assert g.weights.indices.tolist() == [0, 1, 1]
    assert g.toarray().tolist() == [[2, 1], [0, 5]]
    links = csr_array((np.ones(2, bool), np.array([0, 9]), np.array([0, 1, 2])), shape=(2, 2))
    with pytest.raises(ng.ChainError, match="from 0 to 1 is no valid sparse array"):
        ng.Join(0, 1, links)


def test_parameters_are_flat_indices():
    for wrong in ([-1, 0], np.array([2**64 - 1, 0], np.uint64)):
        with pytest.raises(ng.WeightError, match="flat indices, got -1"):
            ng.LayerGraph([[1.0, 2.0]], parameters=wrong)


def test_edge_values_are_real_numbers():
    g = ng.LayerGraph([[1.0, 2.0]])
    for wrong in ([1j, 2.0], ["a", "b"], [None, 1.0]):
        with pytest.raises(ng.WeightError, match="edge values are real numbers"):
            ng.EdgeValues(wrong, g)
    with pytest.raises(ng.WeightError, match="no rectangular array"):
        ng.EdgeValues([[1.0], [1.0, 2.0]], g)


def test_the_parts_of_a_sparse_array_stay_the_same_objects():
    given_weights = csr_array(np.eye(3))
    given_weights.data = np.concatenate([given_weights.data, [9.0]])
    given_weights.indices = np.concatenate([given_weights.indices, [7]])
    parts = given_weights.data, given_weights.indices, given_weights.indptr
    assert ng.LayerGraph(given_weights).n_edges == 3
    now = given_weights.data, given_weights.indices, given_weights.indptr
    assert all(a is b for a, b in zip(parts, now, strict=True))
