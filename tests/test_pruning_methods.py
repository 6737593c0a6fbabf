"""The registry, `prune`, and the baselines."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nngraph as ng
from nngraph.pruning import registry, resolve, respect_masks

BASELINES = [ng.Magnitude(), ng.Random(), ng.Uniform(), ng.ErdosRenyi(), ng.ERK()]
BUDGETS = ["global", "uniform", "erdos_renyi", "erk", "rows", "columns", "1:2"]


def network(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = {"conv": (6, 4, 3, 3), "depthwise": (6, 1, 2, 2), "emb": (30, 8), "fc": (5, 24)}
    kinds = {"emb": "embedding"}
    return ng.Network([
        ng.Layer(
            name, rng.standard_normal(shape).astype(dtype), kind=kinds.get(name),
            groups=6 if name == "depthwise" else 1,
        )
        for name, shape in shapes.items()
    ])


@pytest.mark.parametrize("method", BASELINES, ids=lambda m: m.name)
def test_exact_nested_and_repeatable(method):
    net = network()
    covered = sum(layer.size for layer in net)
    dense = None
    for density in (1, 0.7, 0.31, 0.05, 0):
        masks = ng.prune(net, method, density=density, rng=3)
        assert tuple(masks) == net.names
        assert masks.kept == round(density * covered)
        assert masks == ng.prune(net, method.name, density=density, rng=3)
        assert masks == ng.prune(net, type(method), density=density, rng=np.random.default_rng(3))
        assert dense is None or masks <= dense
        dense = masks
        net.with_masks(masks)  # they fit
    assert pickle.loads(pickle.dumps(method)) == method  # noqa: S301


@pytest.mark.parametrize("method", BASELINES, ids=lambda m: m.name)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_or_a_reason(method, budget):
    net = network()
    own = getattr(method, "allocation", None)
    if own is not None and budget in BUDGETS[:4] and budget not in ("global", own):
        with pytest.raises(ng.MaskError, match=f"'{method.name}' shares parameters out by itself"):
            ng.prune(net, method, density=0.3, budget=budget)
        return
    masks = ng.prune(net, method, density=0.3, budget=budget, rng=0)
    assert 0.2 < masks.density <= 0.3 + 1e-3
    assert ng.prune(net, method, density=0.3, budget=ng.Budget(budget), rng=0) == masks


def test_own_allocation_is_the_budget_of_that_name():
    net = network()
    for method in (ng.Uniform(), ng.ErdosRenyi(), ng.ERK()):
        masks = ng.prune(net, method, density=0.2, rng=1)
        assert masks == ng.prune(net, "random", density=0.2, budget=method.name, rng=1)
        assert masks == ng.prune(net, method, density=0.2, budget=method.name, rng=1)
        least = ng.prune(net, method, density=0.2, budget=ng.Budget(minimum=20), rng=1)
        assert all(mask.sum() >= 20 for mask in least.values())


def test_magnitude_keeps_the_largest():
    net = network()
    masks = ng.prune(net, "magnitude", density=0.4)
    weights = np.concatenate([abs(layer.array()).ravel() for layer in net])
    kept = np.concatenate([masks[name].ravel() for name in net.names])
    assert weights[kept].min() > weights[~kept].max()
    for layer in net:
        each = ng.prune(net, "magnitude", density=0.4, budget="uniform")[layer.name]
        assert abs(each.sum() - 0.4 * layer.size) <= 1
        assert abs(layer.array())[each].min() > abs(layer.array())[~each].max()


def test_magnitude_does_not_depend_on_precision():
    single = network(dtype=np.float32)
    double = ng.Network([replace(layer, weight=layer.array().astype(float)) for layer in single])
    for budget in BUDGETS:
        masks = ng.prune(single, "magnitude", density=0.37, budget=budget)
        assert masks == ng.prune(double, "magnitude", density=0.37, budget=budget)
    assert all(s.dtype == np.float32 for s in ng.Magnitude().scores(single, None).values())


def test_random_subsets_are_equally_likely():
    net = ng.Network([ng.Layer("a", np.ones((2, 2))), ng.Layer("b", np.ones((1, 2)))])
    draws = [ng.prune(net, "random", density=0.5, rng=seed) for seed in range(2000)]
    subsets = [np.flatnonzero(np.concatenate([m.ravel() for m in d.values()])) for d in draws]
    found, counts = np.unique(subsets, axis=0, return_counts=True)
    assert len(found) == 20  # 6 choose 3
    chi2 = ((counts - 100) ** 2 / 100).sum()
    assert chi2 < 50  # 19 degrees of freedom: probability 1e-4


def test_random_rows_are_chosen_evenly_whatever_their_length():
    net = ng.Network([ng.Layer("long", np.ones((4, 50))), ng.Layer("short", np.ones((4, 1)))])
    masks = [ng.prune(net, "random", density=0.5, budget="rows", rng=seed) for seed in range(200)]
    long = np.mean([m["long"][:, 0].mean() for m in masks])
    short = np.mean([m["short"].mean() for m in masks])
    assert long == pytest.approx(0.45, abs=0.1)  # the row that does not fit ends the draw
    assert short == pytest.approx(0.45, abs=0.1)


def test_random_streams_are_one_per_layer():
    net = network()
    whole = ng.prune(net, "uniform", density=0.3, rng=5)
    for count in (1, 2, 3):
        part = ng.Network(net.layers[:count])
        masks = ng.prune(part, "random", density=None, rng=5, budget={
            name: whole[name].mean() for name in part.names
        })
        assert all((masks[name] == whole[name]).all() for name in part.names)
    assert ng.prune(net, "random", density=0.3) != ng.prune(net, "random", density=0.3)


def test_prune_changes_nothing_and_takes_lazy_layers(tmp_path):
    net = network()
    before = [layer.array().copy() for layer in net]
    path = tmp_path / "fc.npy"
    np.save(path, net["fc"].array())
    stored = ng.StoredArray.at(path, (5, 24), "<f8", offset=128)
    lazy = ng.Network([*net.layers[:3], replace(net["fc"], weight=stored)])
    for method in BASELINES:
        masks = ng.prune(net, method, density=0.2, rng=0)
        assert masks == ng.prune(lazy, method, density=0.2, rng=0)
    assert all((layer.array() == w).all() for layer, w in zip(net, before, strict=True))
    assert all(layer.mask is None for layer in net)


@settings(max_examples=20)
@given(st.sampled_from(BASELINES), st.floats(0, 0.4), st.sampled_from([0.4, 0.6]))
def test_what_is_absent_stays_absent_and_counts(method, density, first):
    net = network()
    covered = sum(layer.size for layer in net)
    once = net.with_masks(ng.prune(net, "random", density=first, rng=0))
    twice = ng.prune(once, method, density=density, rng=1)
    assert twice <= ng.Masks({layer.name: layer.mask for layer in once})
    assert twice.covered == covered
    assert twice.kept == round(density * covered)
    with pytest.raises(ng.MaskError, match="absent already"):
        ng.prune(once, method, density=0.9, rng=1)


def test_rounds_of_magnitude_pruning_equal_one():
    net = network()
    rounds = net
    for density in (0.8, 0.5, 0.2):
        rounds = rounds.with_masks(ng.prune(rounds, "magnitude", density=density))
    one = ng.prune(net, "magnitude", density=0.2)
    assert one == ng.Masks({layer.name: layer.mask for layer in rounds})


# --- the registry --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """A method for tests, which gives what it is told to."""

    given: object = None
    name: ClassVar[str] = "test_scored"
    needs: ClassVar[str] = "data"
    summary: ClassVar[str] = "what it is told to"

    def scores(self, network, data):
        return self.given


@dataclass(frozen=True)
class Masked:
    """The same for methods that give masks."""

    given: object = None
    name: ClassVar[str] = "test_masked"
    needs: ClassVar[str] = "gradients"
    summary: ClassVar[str] = "what it is told to"

    def masks(self, network, budget, *, density, data, rng):
        return self.given


@pytest.fixture
def small():
    mask = np.array([[True, False], [True, True]])
    return ng.Network([ng.Layer("fc", np.ones((2, 2)), mask=mask)])


def test_the_table_of_methods():
    table = ng.methods()
    assert {"magnitude", "random", "uniform", "erdos_renyi", "erk"} <= set(table["name"])
    assert list(table["name"]) == sorted(table["name"])
    assert set(table["needs"]) <= {"nothing", "data", "gradients"}
    papers = set(table["paper"]) - {None}
    assert papers >= {"han2015", "mocanu2018", "evci2020"}
    assert all(paper in ng.cite(paper) for paper in papers)
    assert resolve("erk") == ng.ERK() == resolve(ng.ERK) == resolve(ng.ERK())


def test_register(monkeypatch):
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    assert ng.register(Scored) is Scored
    ng.register(Scored)
    assert "test_scored" in ng.methods()["name"]
    assert resolve("test_scored") == Scored()

    @dataclass(frozen=True)
    class Other(Scored):
        pass

    with pytest.raises(ng.MaskError, match="'test_scored' is registered already"):
        ng.register(Other)
    Other.needs = "luck"
    with pytest.raises(ng.MaskError, match="needs is 'luck'"):
        ng.register(Other)
    Other.needs, Other.masks = "data", Masked.masks
    with pytest.raises(ng.MaskError, match="not both"):
        ng.register(Other)
    Other.summary = None
    with pytest.raises(ng.MaskError, match="no string 'summary'"):
        ng.register(Other)


def test_unknown_methods():
    with pytest.raises(ng.MaskError, match=r"named 'magnitud'; did you mean 'magnitude'\?"):
        ng.prune(network(), "magnitud", density=0.5)
    with pytest.raises(ng.MaskError, match="no pruning method: it has no string 'name'"):
        ng.prune(network(), 3, density=0.5)


def test_data_that_is_needed(small):
    with pytest.raises(ng.MaskError, match="'test_scored' needs example inputs"):
        ng.prune(small, Scored(), density=0.5)
    with pytest.raises(ng.MaskError, match="'test_masked' needs gradients"):
        ng.prune(small, Masked(), density=0.5)


def test_scores_of_a_method_are_checked(small):
    scores = np.array([[1.0, 9.0], [2.0, 3.0]])
    masks = ng.prune(small, Scored({"fc": scores}), density=0.5, data=1)
    assert masks["fc"].astype(int).tolist() == [[0, 0], [1, 1]]
    for given_, message in [
        ({"fc": scores, "more": scores}, r"scores for \['more'\]"),
        ({}, r"missing: \['fc'\]"),
        ({"fc": scores[:1]}, r"layer 'fc' has shape \(2, 2\), but its scores \(1, 2\)"),
        ({"fc": scores * np.nan}, "NaN"),
    ]:
        with pytest.raises(ng.MaskError, match=message):
            ng.prune(small, Scored(given_), density=0.5, data=1)
    whole = respect_masks(small, {"fc": np.array([[1, 2], [3, 4]])})["fc"]
    assert whole.tolist() == [[1, -np.inf], [3, 4]]


def test_masks_of_a_method_are_checked(small):
    good = np.array([[True, False], [False, False]])
    assert (ng.prune(small, Masked({"fc": good}), density=0.5, data=1)["fc"] == good).all()
    for given_, message in [
        ({"fc": good, "more": good}, r"gave masks for \['more'\]"),
        ({"fc": good[:1]}, "but its mask"),
        ({"fc": ~good}, "absent already"),
        ({"fc": good * 1.0}, "must be bool"),
    ]:
        with pytest.raises(ng.MaskError, match=message):
            ng.prune(small, Masked(given_), density=0.5, data=1)


def test_networks_and_densities_that_cannot_be():
    with pytest.raises(ng.MaskError, match="no layers"):
        ng.prune(ng.Network([]), "magnitude", density=0.5)
    with pytest.raises(TypeError, match="a Network is needed, got dict"):
        ng.prune({}, "magnitude", density=0.5)
    for density in (None, -1, 2, float("nan"), "all"):
        with pytest.raises(ng.MaskError, match="density"):
            ng.prune(network(), "random", density=density)
    bad = ng.Network([ng.Layer("fc", np.full((2, 2), np.nan))])
    with pytest.raises(ng.WeightError, match="'fc' holds 4 NaN"):
        ng.prune(bad, "magnitude", density=0.5)


def test_layers_of_one_parameter_count_once_and_get_one_mask():
    weight, own = np.arange(1.0, 13.0).reshape(3, 4), np.ones((4, 3), bool)
    own[3, 2] = False
    turned = ng.Layout.permuted((3, 4), (1, 0))
    tied = ng.Layer("out", weight.T, path="in", layout=turned, mask=own)
    net = ng.Network([ng.Layer("in", weight), ng.Layer("b", np.full((2, 2), 6.5)), tied])
    masks = ng.prune(net, "magnitude", density=0.5)
    assert masks["in"].tolist() == [[False] * 4, [False] * 2 + [True] * 2, [True] * 3 + [False]]
    assert masks["b"].sum() == 3  # 8 of 16
    np.testing.assert_array_equal(masks["out"], masks["in"].T)
    share = {"in": 0.25, "b": 0.5, "out": 0.25}
    masks = ng.prune(net, "random", density=None, budget=share, rng=0)
    assert [masks[name].sum() for name in share] == [3, 2, 3]
    with pytest.raises(ng.MaskError, match=r"missing: \['out'\]"):
        ng.prune(net, "random", density=None, budget={"in": 0.25, "b": 0.5})
