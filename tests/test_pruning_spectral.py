"""The pruning method `Spectral`: exact counts, connectivity, allocation, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nngraph as ng
from nngraph.testing import networks


def network(*shapes, seed=0, **options):
    rng = np.random.default_rng(seed)
    return ng.Network([
        ng.Layer(f"l{k}", rng.normal(size=shape), **options) for k, shape in enumerate(shapes)
    ])


def pieces(net, masks=None):
    """Components of each layer's kernel view, edges of weight 0 left out."""
    found = []
    for layer in net.with_masks(masks):
        graph = ng.layer_graph(layer)
        rows, columns = (ends[graph.data != 0] for ends in graph.edges())
        pattern = np.zeros(graph.shape, bool)
        pattern[rows, columns] = True
        found.append(ng.components(ng.from_mask(np.ones(graph.shape), pattern)).count)
    return found


def forests(net):
    graphs = [ng.layer_graph(layer) for layer in net]
    return [g.n_in + g.n_out - c for g, c in zip(graphs, pieces(net), strict=True)]


MIXED = network((20, 30), (8, 4, 3, 3), (10, 20))


def test_it_is_registered():
    row = next(row for row in ng.methods() if row["name"] == "spectral")
    assert row["needs"] == "nothing"
    assert "Laenen" in ng.cite(row["paper"])
    masks = ng.prune(MIXED, "spectral", density=0.2, rng=0)
    assert masks == ng.prune(MIXED, ng.Spectral(), density=0.2, rng=0)


@pytest.mark.parametrize("sampler", ["systematic", "topk"])
@pytest.mark.parametrize("backbone", [None, "forest"])
@pytest.mark.parametrize("budget", [
    "global", "uniform", "erdos_renyi", "erk", {"l0": 0.1, "l1": 0.3, "l2": 0.5},
    ng.Budget(minimum=5), ng.Budget("uniform", minimum=1),
])  # fmt: skip
def test_counts_are_exact(sampler, backbone, budget):
    method = ng.Spectral(sampler, backbone)
    least = getattr(budget, "minimum", 0)
    for density in (0.02, 0.05, 0.13, 0.4, 0.9, 1.0):
        masks = ng.prune(MIXED, method, density=density, budget=budget, rng=1)
        assert masks.kept == round(density * 1088)
        assert min(masks.table()["kept"]) >= least
        if budget not in ("global", ng.Budget(minimum=5)):
            same = ng.prune(MIXED, "random", density=density, budget=budget, rng=1)
            assert masks.table()["kept"] == same.table()["kept"]
    assert ng.prune(MIXED, method, density=0, rng=1).kept == 0


def test_densities_that_the_budget_sets():
    budget = {"l0": 0.1, "l1": 0.3, "l2": 0.5}
    masks = ng.prune(MIXED, "spectral", density=None, budget=budget, rng=0)
    assert masks.table()["kept"] == (60, 86, 100, 246)


@pytest.mark.parametrize("sampler", ["systematic", "topk"])
def test_connected_wherever_the_budget_allows(sampler):
    need = sum(forests(MIXED))
    for extra in (0, 1, 7, 300):
        density = (need + extra) / 1088
        masks = ng.prune(MIXED, ng.Spectral(sampler), density=density, rng=2)
        assert masks.kept == need + extra
        assert pieces(MIXED, masks) == [1, 1, 1]


def test_below_that_the_best_part_of_the_forests():
    forest = ng.prune(MIXED, "spectral", density=sum(forests(MIXED)) / 1088, rng=3)
    masks = ng.prune(MIXED, "spectral", density=0.05, rng=3)
    assert masks <= forest
    kept = masks.table()["kept"][:-1]
    shares = np.array(kept) / forests(MIXED)
    assert np.ptp(shares) < 0.03
    for layer, count in zip(MIXED, kept, strict=True):
        graph = ng.layer_graph(layer)
        leverage = ng.leverage_scores(ng.magnitude(graph))[:].reshape(layer.shape)
        cut = np.sort(leverage[forest[layer.name]])[-count]
        np.testing.assert_array_equal(masks[layer.name], forest[layer.name] & (leverage >= cut))


@given(networks(), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_any_network(net, density, seed):
    room = sum(layer.size if layer.mask is None else layer.mask.sum() for layer in net)
    covered = sum(layer.size for layer in net)
    density *= room / covered
    masks = ng.prune(net, "spectral", density=density, rng=seed)
    assert masks.kept == round(density * covered)
    if masks.kept >= sum(forests(net)):
        assert pieces(net, masks) == pieces(net)
    assert masks == ng.prune(net, "spectral", density=density, rng=seed)


def test_one_rate_for_all_layers():
    """Expected counts follow the leverages, that is vertices less one, up to full layers."""
    net = network((60, 90), (40, 60), (5, 40), seed=4)
    masks = ng.prune(net, ng.Spectral(backbone=None), density=0.1, rng=0)
    kept = np.array(masks.table()["kept"][:-1])
    expected = np.array([149, 99, 44]) * masks.kept / (149 + 99 + 44)
    np.testing.assert_allclose(kept, expected, rtol=0.1)


def test_the_scale_of_a_layer_does_not_matter():
    scaled = ng.Network([
        ng.Layer(layer.name, layer.array() * 2.0 ** (3 * k)) for k, layer in enumerate(MIXED)
    ])
    one, two = (ng.prune(net, "spectral", density=0.3, rng=5) for net in (MIXED, scaled))
    assert one == two


def test_seeds():
    one, other = (ng.prune(MIXED, "spectral", density=0.3, rng=seed) for seed in (0, 1))
    assert one != other
    generator = ng.prune(MIXED, "spectral", density=0.3, rng=np.random.default_rng(0))
    assert generator == one
    topk = [ng.prune(MIXED, ng.Spectral("topk"), density=0.3, rng=seed) for seed in (0, 1)]
    assert topk[0] == topk[1]


def test_float32_weights_give_the_mask_of_the_same_numbers():
    single = ng.Network([ng.Layer(x.name, x.array().astype(np.float32)) for x in MIXED])
    double = ng.Network([ng.Layer(x.name, x.array().astype(float)) for x in single])
    one, two = (ng.prune(net, "spectral", density=0.3, rng=5) for net in (single, double))
    assert one == two


def test_high_leverage_is_kept_more_often():
    weights = np.ones((10, 12))
    weights[:5] *= 1e-3
    weights[5:, 6:] *= 1e-3
    net = ng.Network([ng.Layer("fc", weights)])
    leverage = ng.leverage_scores(ng.LayerGraph(weights))[:].reshape(10, 12)
    hits = sum(
        ng.prune(net, ng.Spectral(backbone=None), density=1 / 3, rng=seed)["fc"].astype(float)
        for seed in range(400)
    )
    p = np.minimum(leverage * 40 / leverage.sum(), 1)
    if (p == 1).any():
        free = p < 1
        p[free] *= (40 - (~free).sum()) / p[free].sum()
    z = (hits - 400 * p) / np.sqrt(400 * p * (1 - p) + 1e-9)
    assert np.abs(z).max() < 4.5


def test_masks_groups_and_zero_weights():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 2, 3))
    weights[0] = 0
    mask = rng.random((6, 2, 3)) < 0.8
    net = ng.Network([
        ng.Layer("grouped", weights, groups=2), ng.Layer("masked", weights, mask=mask)
    ])
    allowed = 36 + mask.sum()
    positive = np.count_nonzero(weights) + np.count_nonzero(weights * mask)
    for kept in (positive - 3, positive, positive + 2, allowed):
        masks = ng.prune(net, "spectral", density=kept / 72, rng=0)
        assert masks.kept == kept
        assert not (masks["masked"] & ~mask).any()
        if kept >= positive:
            assert masks["grouped"][weights != 0].all()
            assert masks["masked"][mask & (weights != 0)].all()
        else:
            assert not masks["grouped"][0].any()
            assert pieces(net, masks) == pieces(net)
    with pytest.raises(ng.MaskError, match="lower the density"):
        ng.prune(net, "spectral", density=1.0)


def test_patterns_keep_the_highest_leverages():
    masks = ng.prune(MIXED, "spectral", density=None, budget="1:2", rng=0)
    assert masks.kept == 544
    layer = MIXED.layers[0]
    leverage = ng.leverage_scores(ng.magnitude(ng.layer_graph(layer)))[:].reshape(-1, 2)
    np.testing.assert_array_equal(
        masks["l0"].reshape(-1, 2).argmax(axis=1), leverage.argmax(axis=1)
    )
    rows = ng.prune(MIXED, "spectral", density=0.3, budget="rows", rng=0)
    assert all(len(np.unique(row)) == 1 for row in rows["l0"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_small_layers(shape):
    net = network(shape)
    assert ng.prune(net, "spectral", density=1.0, rng=0).kept == np.prod(shape)


def test_a_layer_of_zeros():
    net = ng.Network([ng.Layer("none", np.zeros((3, 4))), ng.Layer("some", np.ones((3, 4)))])
    masks = ng.prune(net, "spectral", density=0.5, rng=0)
    assert masks["some"].all()
    assert not masks["none"].any()


@pytest.mark.parametrize(("options", "message"), [
    ({"sampler": "sytematic"}, "no sampler 'sytematic'; did you mean 'systematic'"),
    ({"backbone": "tree"}, "no backbone 'tree'"),
    ({"scope": "network"}, "no scope 'network'"),
])  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(ng.MaskError, match=message):
        ng.Spectral(**options)
