"""Budgets: what they parse, and how they share counts out over layers."""

from __future__ import annotations

import pickle
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import real_allocation, webster

import nngraph as ng
from nngraph.pruning import check_nm
from nngraph.pruning.apportionment import apportion

SHAPES = {"stem": (16, 3, 3, 3), "conv": (32, 16, 3, 3), "point": (8, 32, 1, 1), "fc": (10, 72)}
NAMED = ["uniform", "erdos_renyi", "erk"]


@st.composite
def divisions(draw):
    """A total, shares (some of them 0), capacities and minima that fit together."""
    layers = draw(st.integers(1, 6))
    shares = draw(st.lists(st.integers(0, 30), min_size=layers, max_size=layers))
    capacities = draw(st.lists(st.integers(0, 25), min_size=layers, max_size=layers))
    minima = [draw(st.integers(0, min(3, capacity))) for capacity in capacities]
    room = sum(
        most if share else least
        for share, most, least in zip(shares, capacities, minima, strict=True)
    )
    return draw(st.integers(sum(minima), room)), shares, capacities, minima


@given(divisions())
def test_apportionment_takes_the_first_arrivals(division):
    assert apportion(*division).tolist() == webster(*division)


@given(divisions())
def test_no_count_falls_when_the_total_rises(division):
    total, *rest = division
    if total > sum(rest[-1]):
        assert (apportion(total - 1, *rest) <= apportion(total, *rest)).all()


def test_apportionment_is_exact_in_ties_and_at_size():
    # All layers tie at every arrival: the earlier layers are served first.
    assert apportion(10, [7] * 4, [100] * 4, [0] * 4).tolist() == [3, 3, 2, 2]
    assert apportion(2, [7] * 3, [1] * 3, [0] * 3).tolist() == [1, 1, 0]
    shares = [Fraction(1, 10), Fraction(3, 10), Fraction(6, 10)]
    assert apportion(100, shares, [1000] * 3, [0] * 3).tolist() == [10, 30, 60]
    sizes = [10**9 + 7, 3 * 10**9, 12345, 1]
    counts = apportion(sum(sizes) // 3, sizes, sizes, [0] * 4)
    assert counts.sum() == sum(sizes) // 3
    assert np.abs(counts - np.array(sizes) / 3).max() <= 1.5


@given(st.floats(0.001, 1), st.sampled_from(NAMED))
def test_allocations_follow_their_definition(density, allocation):
    """Against a bisection for epsilon with saturated layers, up to the rounding of the counts."""
    sizes = {name: prod(shape) for name, shape in SHAPES.items()}
    ratio = {
        "uniform": lambda o, i, *k: 1.0,
        "erdos_renyi": lambda o, i, *k: (o + i) / (o * i),
        "erk": lambda *dims: sum(dims) / prod(dims),
    }[allocation]
    shares = [ratio(*shape) * sizes[name] for name, shape in SHAPES.items()]
    masks = ng.Masks.from_scores(
        {name: np.zeros(shape) for name, shape in SHAPES.items()},
        density=density, budget=allocation,
    )
    total = round(density * sum(sizes.values()))
    wanted = real_allocation(total, shares, list(sizes.values()))
    kept = np.array([np.count_nonzero(mask) for mask in masks.values()])
    assert kept.sum() == total
    assert np.abs(kept - wanted).max() <= (len(SHAPES) + 1) / 2


def test_erk_fills_small_layers_and_gives_the_rest_to_others():
    net = ng.Network([ng.Layer(name, np.ones(shape)) for name, shape in SHAPES.items()])
    table = ng.prune(net, ng.ERK(), density=0.3, rng=0).table()
    densities = dict(zip(table["layer"], table["density"], strict=True))
    assert densities["point"] > densities["conv"]
    assert densities["total"] == pytest.approx(0.3, abs=1e-4)
    # By hand: 1,100 edges in the ratio of 10 + 90 to 100 + 900.
    shapes = {"a": np.zeros((10, 90)), "b": np.zeros((100, 900))}
    masks = ng.Masks.from_scores(shapes, density=1100 / 90900, budget="erk")
    assert [int(mask.sum()) for mask in masks.values()] == [100, 1000]


def test_given_densities():
    scores = {"a": np.zeros((10, 10)), "b": np.zeros((10, 20))}
    densities = {"b": 0.4, "a": 0.1}
    masks = ng.Masks.from_scores(scores, density=None, budget=densities)
    assert [int(mask.sum()) for mask in masks.values()] == [10, 80]
    # The same total asked for, and half of it: the ratio stays.
    assert ng.Masks.from_scores(scores, density=0.3, budget=densities) == masks
    half = ng.Masks.from_scores(scores, density=0.15, budget=densities)
    assert [int(mask.sum()) for mask in half.values()] == [5, 40]
    nothing = ng.Masks.from_scores(scores, density=None, budget={"a": 0, "b": 1})
    assert [int(mask.sum()) for mask in nothing.values()] == [0, 200]
    with pytest.raises(ng.MaskError, match="only 200 may be kept"):
        ng.Masks.from_scores(scores, density=0.9, budget={"a": 0, "b": 1})
    with pytest.raises(ng.MaskError, match=r"missing: \['b'\]"):
        ng.Masks.from_scores(scores, density=0.9, budget={"a": 0.5})
    with pytest.raises(ng.MaskError, match=r"\['c'\], but the layers are"):
        ng.Masks.from_scores(scores, density=0.9, budget={"a": 0.5, "b": 0.5, "c": 0.5})
    absent = {"a": np.full((10, 10), -np.inf), "b": np.zeros((10, 20))}
    with pytest.raises(ng.MaskError, match="layer 'a': 10 parameters are asked for and 0 may"):
        ng.Masks.from_scores(absent, density=None, budget=densities)


@pytest.mark.parametrize(
    ("text", "allocation", "pattern"),
    [
        ("global", "global", None),
        ("uniform", "uniform", None),
        ("rows", "global", "rows"),
        ("2:4", "global", "2:4"),
        ("erk+columns", "erk", "columns"),
        ("global+1:8", "global", "1:8"),
    ],
)
def test_budget_strings(text, allocation, pattern):
    budget = ng.Budget.of(text)
    assert (budget.allocation, budget.pattern) == (allocation, pattern)
    assert ng.Budget.of(budget) is budget
    assert ng.Budget(str(budget)) == budget
    assert pickle.loads(pickle.dumps(budget)) == budget  # noqa: S301
    assert hash(budget) == hash(ng.Budget(allocation, pattern=pattern))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ng.Budget("layer"),
        lambda: ng.Budget("uniform+5:4"),
        lambda: ng.Budget("0:4"),
        lambda: ng.Budget("2:4:8"),
        lambda: ng.Budget("rows+uniform"),
        lambda: ng.Budget("uniform", pattern="blocks"),
        lambda: ng.Budget("2:4", pattern="rows"),
        lambda: ng.Budget(3),
        lambda: ng.Budget(None),
        lambda: ng.Budget({"a": 1.5}),
        lambda: ng.Budget({"a": float("nan")}),
        lambda: ng.Budget({"a": "half"}),
        lambda: ng.Budget(minimum=-1),
        lambda: ng.Budget(minimum=0.5),
        lambda: ng.Budget(minimum=True),
    ],
)
def test_impossible_budgets(make):
    with pytest.raises(ng.MaskError):
        make()


def test_a_typing_error_is_answered_with_what_is_known():
    with pytest.raises(ng.MaskError, match="'unifrom'; known allocations: global, uniform, erdos"):
        ng.Budget("unifrom")


@settings(max_examples=30)
@given(st.sampled_from([(1, 2), (2, 4), (3, 4), (1, 8), (8, 8)]), st.data())
def test_nm_groups(nm, data):
    n, m = nm
    shapes = {"fc": (3, 2 * m), "conv": (2, m, 1, 3)}
    integers = st.integers(-3, 3)  # so that ties abound
    scores = {
        name: np.array(data.draw(st.lists(integers, min_size=prod(s), max_size=prod(s))), float)
        .reshape(s)
        for name, s in shapes.items()
    }
    rng = data.draw(st.sampled_from([None, 0]))
    masks = ng.Masks.from_scores(scores, density=None, budget=f"{n}:{m}", rng=rng)
    for name, mask in masks.items():
        groups = mask.reshape(-1, m)
        assert (groups.sum(axis=1) == n).all()
        assert check_nm(mask, n, m)
        # No entry that is dropped beats one of its group that is kept.
        values = scores[name].reshape(-1, m)
        worst = np.where(groups, values, np.inf).min(axis=1)
        best = np.where(groups, -np.inf, values).max(axis=1)
        assert (best <= worst).all()
        if rng is None:
            best_first = np.argsort(-values, axis=1, kind="stable")[:, :n]
            assert np.take_along_axis(groups, best_first, axis=1).all()
    density = data.draw(st.floats(0, n / m))
    sparser = ng.Masks.from_scores(scores, density=density, budget=f"uniform+{n}:{m}", rng=rng)
    assert sparser.kept == round(density * masks.covered)
    assert sparser <= masks


def test_nm_that_does_not_fit():
    with pytest.raises(ng.MaskError, match=r"layer 'fc' has shape \(2, 6\): m = 4 .* does not div"):
        ng.Masks.from_scores({"fc": np.zeros((2, 6))}, density=0.5, budget="2:4")
    with pytest.raises(ng.MaskError, match="asks for 6 of 8 parameters, but only 4 may be kept"):
        ng.Masks.from_scores({"fc": np.zeros((2, 4))}, density=0.75, budget="2:4")
    with pytest.raises(ng.MaskError, match="does not divide"):
        check_nm(np.ones((2, 6), dtype=bool), 2, 4)


def test_nm_keeps_what_there_is_where_parameters_are_absent():
    scores = {"fc": np.array([[-np.inf, -np.inf, -np.inf, 1.0, 1.0, 2.0, 3.0, -np.inf]])}
    masks = ng.Masks.from_scores(scores, density=None, budget="2:4")
    assert masks["fc"].astype(int).tolist() == [[0, 0, 0, 1, 0, 1, 1, 0]]


def is_whole(mask, axis):
    lines = np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1)
    return (lines.all(axis=1) | ~lines.any(axis=1)).all()


@given(st.floats(0, 1), st.sampled_from(["global", "erk", "uniform"]), st.integers(0, 4))
def test_rows_and_columns_are_whole(density, allocation, seed):
    rng = np.random.default_rng(seed)
    shapes = {"conv": (5, 4, 2, 2), "fc": (7, 6)}
    scores = {name: rng.integers(0, 3, size=shape).astype(float) for name, shape in shapes.items()}
    for axis, pattern in enumerate(["rows", "columns"]):
        budget = ng.Budget(allocation, pattern=pattern)
        masks = ng.Masks.from_scores(scores, density=density, budget=budget, rng=seed or None)
        assert all(is_whole(mask, axis) for mask in masks.values())
        largest = max(prod(s) // s[axis] for s in shapes.values())
        wanted = round(density * masks.covered)
        assert wanted - largest < masks.kept <= wanted


def test_rows_are_ordered_by_their_mean():
    scores = {"wide": np.array([[1.0] * 6, [3.0] * 6]), "slim": np.array([[2.0], [2.5]])}
    # 6 parameters fit: the row of mean 3 (6 entries) fills them.
    rows = ng.Masks.from_scores(scores, density=6 / 14, budget="rows")
    assert rows["wide"].any(axis=1).tolist() == [False, True]
    assert not rows["slim"].any()
    rows = ng.Masks.from_scores(scores, density=8 / 14, budget="rows")
    assert rows["slim"].all()
    columns = ng.Masks.from_scores({"fc": [[0.0, 5, 1], [9, 0, 1]]}, density=0.4, budget="columns")
    assert columns["fc"].any(axis=0).tolist() == [True, False, False]


def test_shares_are_rounded_to_whole_rows():
    scores = {"a": np.zeros((10, 7)), "b": np.zeros((20, 11)), "c": np.zeros((4, 30))}
    for density in (0.1, 0.26, 0.5, 0.77):
        masks = ng.Masks.from_scores(scores, density=density, budget="uniform+rows")
        for mask in masks.values():
            assert abs(mask[:, 0].sum() - density * len(mask)) <= 1
    given_ = ng.Masks.from_scores(
        scores, density=None, budget=ng.Budget({"a": 0.3, "b": 0.5, "c": 0}, pattern="rows")
    )
    assert [int(mask[:, 0].sum()) for mask in given_.values()] == [3, 10, 0]


def test_rows_keep_absent_parameters_out():
    scores = {"fc": np.array([[5.0, -np.inf, 5.0], [1.0, 1.0, 1.0], [-np.inf] * 3])}
    masks = ng.Masks.from_scores(scores, density=2 / 9, budget="rows")
    assert masks["fc"].astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert ng.Masks.from_scores(scores, density=5 / 9, budget="rows").kept == 5
    with pytest.raises(ng.MaskError, match="only 5 may be kept"):
        ng.Masks.from_scores(scores, density=6 / 9, budget="rows")


@pytest.mark.parametrize("allocation", ["global", *NAMED])
@pytest.mark.parametrize("pattern", [None, "rows", "columns", "2:4"])
def test_minimum(allocation, pattern):
    scores = {
        "small": np.arange(16.0).reshape(4, 4), "large": 100 + np.arange(400.0).reshape(20, 20)
    }
    for minimum in (1, 3, 8):
        budget = ng.Budget(allocation, minimum=minimum, pattern=pattern)
        masks = ng.Masks.from_scores(scores, density=0.1, budget=budget)
        assert all(mask.sum() >= minimum for mask in masks.values())
        assert masks.kept <= round(0.1 * 416)
        if pattern in (None, "2:4"):
            assert masks.kept == round(0.1 * 416)
            best = np.argsort(scores["small"].reshape(-1))[-1]
            assert masks["small"].reshape(-1)[best]


def test_a_minimum_that_is_impossible():
    scores = {"a": np.zeros((2, 2)), "b": np.zeros((10, 10))}
    with pytest.raises(ng.MaskError, match="layer 'a' has 4 parameters that may be kept, fewer"):
        ng.Masks.from_scores(scores, density=0.5, budget=ng.Budget(minimum=5))
    for budget in (ng.Budget(minimum=4), ng.Budget("erk", minimum=4)):
        with pytest.raises(ng.MaskError, match="fewer than the 8 of minimum=4 in each of 2 layers"):
            ng.Masks.from_scores(scores, density=0.05, budget=budget)
