"""Masks: selection by score, the mapping, and the file."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import top_masks

import nngraph as ng

ALLOCATIONS = ["global", "uniform", "erdos_renyi", "erk"]
BUDGETS = [
    *ALLOCATIONS,
    *(ng.Budget(name, minimum=1) for name in ALLOCATIONS),
    *(f"{name}+{pattern}" for name in ("global", "erk") for pattern in ("rows", "columns", "1:2")),
    {"layer 0": 0.9, "layer 1": 0.2, "layer 2": 0.4},
]
densities = st.floats(0, 1)


@st.composite
def layer_scores(draw, layers=3, even=True):
    """Scores with many ties and some that may not be kept or must be."""
    values = st.one_of(st.integers(-2, 2).map(float), st.just(np.inf))
    found = {}
    for index in range(layers):
        kernel = draw(st.sampled_from([(), (3,), (1, 2)]))
        shape = (draw(st.integers(1, 5)), 2 * draw(st.integers(1, 3)), *kernel)
        found[f"layer {index}"] = draw(arrays(np.float64, shape, elements=values))
    return found


@given(layer_scores(), densities)
def test_global_masks_against_sorting(scores, density):
    masks = ng.Masks.from_scores(scores, density=density)
    assert masks == ng.Masks(top_masks(scores, round(density * masks.covered)))


@given(layer_scores(), densities, densities, st.sampled_from(BUDGETS), st.sampled_from([None, 7]))
def test_exact_and_nested(scores, first, second, budget, rng):
    few, many = sorted([first, second])
    budget = ng.Budget.of(budget)
    covered = sum(map(np.size, scores.values()))
    most = 0.5 if budget.nm else 1.0  # what the pattern 1:2 allows
    few, many = few * most, many * most
    if round(few * covered) < 3 * budget.minimum:
        with pytest.raises(ng.MaskError, match="raise the density"):
            ng.Masks.from_scores(scores, density=few, budget=budget, rng=rng)
        return
    sparse = ng.Masks.from_scores(scores, density=few, budget=budget, rng=rng)
    dense = ng.Masks.from_scores(scores, density=many, budget=budget, rng=rng)
    assert sparse <= dense
    again = ng.Masks.from_scores(scores, density=few, budget=budget, rng=rng)
    assert again == sparse
    if budget.pattern in ("rows", "columns"):
        assert sparse.kept <= round(few * covered)
    else:
        assert sparse.kept == round(few * covered)
        assert sparse.density == sparse.kept / covered


@given(st.data(), densities, st.sampled_from(ALLOCATIONS))
def test_relabelling(data, density, allocation):
    """Permuting the entries of a layer permutes its mask, where no scores tie."""
    shapes = {"a": (3, 4), "b": (5, 2, 2)}
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    values = iter(data.draw(st.permutations(range(sum(sizes.values())))))
    scores = {
        name: np.array([next(values) for _ in range(sizes[name])], np.float32).reshape(shape)
        for name, shape in shapes.items()
    }
    rows = data.draw(st.permutations(range(5)))
    moved = {"b": scores["b"][rows], "a": scores["a"]}  # and the layers change places
    one = ng.Masks.from_scores(scores, density=density, budget=allocation)
    other = ng.Masks.from_scores(moved, density=density, budget=allocation)
    if allocation == "global":
        assert (one["b"][rows] == other["b"]).all()
        assert (one["a"] == other["a"]).all()
    assert one.kept == other.kept
    flat = {"b": scores["b"][rows], "a": scores["a"].T.copy().T}
    other = ng.Masks.from_scores({n: flat[n] for n in shapes}, density=density, budget=allocation)
    assert (one["b"][rows] == other["b"]).all()
    assert (one["a"] == other["a"]).all()


def test_ties_go_by_layer_then_index_or_at_random():
    scores = {"a": np.zeros((2, 3)), "b": np.zeros((2, 2))}
    masks = ng.Masks.from_scores(scores, density=0.8)
    assert masks["a"].all()
    assert masks["b"].astype(int).tolist() == [[1, 1], [0, 0]]
    counts = np.zeros(10)
    for seed in range(400):
        drawn = ng.Masks.from_scores(scores, density=0.3, rng=seed)
        assert drawn.kept == 3
        counts += np.concatenate([mask.reshape(-1) for mask in drawn.values()])
    assert np.abs(counts / 400 - 0.3).max() < 0.1  # 4 standard deviations


def test_infinite_scores():
    scores = {"a": np.array([[-np.inf, 5.0, np.inf]]), "b": np.array([[np.inf, -np.inf, -np.inf]])}
    masks = ng.Masks.from_scores(scores, density=1 / 3)
    assert masks["a"].tolist() == [[False, False, True]]
    assert masks["b"].tolist() == [[True, False, False]]
    assert ng.Masks.from_scores(scores, density=0.5)["a"].tolist() == [[False, True, True]]
    with pytest.raises(ng.MaskError, match="asks for 4 of 6 parameters, but only 3 may be kept"):
        ng.Masks.from_scores(scores, density=2 / 3)
    with pytest.raises(ng.MaskError, match="lower the density"):
        ng.Masks.from_scores(scores, density=2 / 3, budget="erk")


def test_types_of_scores():
    rng = np.random.default_rng(0)
    single = {name: rng.standard_normal((6, 7), np.float32) for name in "ab"}
    double = {name: values.astype(np.float64) for name, values in single.items()}
    mixed = {"a": single["a"], "b": double["b"]}
    for budget in ALLOCATIONS:
        masks = ng.Masks.from_scores(single, density=0.4, budget=budget)
        assert masks == ng.Masks.from_scores(double, density=0.4, budget=budget)
        assert masks == ng.Masks.from_scores(mixed, density=0.4, budget=budget)
    # A limit that only 64 bits can tell from its neighbour, beside a layer of 32 bits.
    near = {"a": np.array([[1.0, 0.5]], np.float32), "b": np.array([[1 + 1e-12, 1 - 1e-12]])}
    assert ng.Masks.from_scores(near, density=0.25)["b"].tolist() == [[True, False]]
    assert ng.Masks.from_scores(near, density=0.75)["b"].tolist() == [[True, True]]
    whole = ng.Masks.from_scores({"a": [[1, 3], [2, 0]]}, density=0.5)
    assert whole["a"].tolist() == [[False, True], [True, False]]
    half = ng.Masks.from_scores({"a": np.array([[1, 3]], np.float16)}, density=0.5)
    assert half["a"].tolist() == [[False, True]]
    order = ng.Masks.from_scores({"a": np.asfortranarray([[1.0, 3], [2, 0]])}, density=0.5)
    assert order == whole


def test_input_is_not_changed():
    scores = {"a": np.array([[1.0, 2.0], [2.0, -np.inf]])}
    before = scores["a"].copy()
    for budget in BUDGETS[:-1]:
        ng.Masks.from_scores(scores, density=0.25, budget=budget)
    assert (scores["a"] == before).all()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "at least one layer"),
        ([1.0], "a mapping of layer names to arrays, got list"),
        ({"fc": np.array([[1.0, np.nan]])}, "layer 'fc' hold 1 NaN"),
        ({"fc": np.zeros(4)}, r"layer 'fc' have shape \(4,\)"),
        ({"fc": np.zeros((0, 4))}, "no axis of size zero"),
        ({"fc": [[1.0, 2.0], [3.0]]}, "no rectangular array"),
        ({"fc": np.array([["a", "b"]])}, "not real numbers"),
        ({"fc": np.zeros((2, 2), complex)}, "complex128, not real"),
        ({"fc": np.array([[None, 1.0]])}, "object, not real"),
    ],
)
def test_scores_that_cannot_be(scores, message):
    with pytest.raises(ng.MaskError, match=message):
        ng.Masks.from_scores(scores, density=0.5)


@pytest.mark.parametrize("density", [-0.1, 1.0001, np.nan, np.inf, "0.5", True, 1j, [0.5]])
def test_densities_that_cannot_be(density):
    with pytest.raises(ng.MaskError, match="from 0 to 1"):
        ng.Masks.from_scores({"fc": np.zeros((2, 2))}, density=density)


def test_density_is_needed_unless_the_budget_sets_it():
    with pytest.raises(ng.MaskError, match="density is needed: the budget 'global\\+rows'"):
        ng.Masks.from_scores({"fc": np.zeros((2, 2))}, density=None, budget="rows")


# --- the mapping ---------------------------------------------------------------------------------


@pytest.fixture
def masks():
    rng = np.random.default_rng(1)
    return ng.Masks({"conv/0": rng.random((3, 2, 3, 3)) < 0.3, "ä": rng.random((4, 5)) < 0.5})


def test_a_mapping_that_nobody_can_change(masks):
    assert list(masks) == ["conv/0", "ä"]
    assert len(masks) == 2
    assert dict(masks).keys() == masks.keys()
    with pytest.raises(ValueError, match="read-only"):
        masks["ä"][0, 0] = True
    with pytest.raises(TypeError):
        masks.arrays["b"] = masks["ä"]
    with pytest.raises(AttributeError):
        masks.arrays = {}
    with pytest.raises(KeyError, match="no mask for layer 'fc'"):
        masks["fc"]
    source = np.ones((2, 2), dtype=bool)
    copy = ng.Masks({"a": source})
    source[:] = False
    assert copy["a"].all()


def test_equality_and_pickle(masks):
    again = pickle.loads(pickle.dumps(masks))  # noqa: S301
    assert again == masks
    assert not again["ä"].flags.writeable
    assert masks != ng.Masks({"ä": masks["ä"]})
    assert masks != ng.Masks({**masks, "ä": ~masks["ä"]})
    assert masks != dict(masks)
    with pytest.raises(TypeError):
        hash(masks)


def test_set_operations(masks):
    other = ng.Masks({name: np.roll(mask, 1, axis=1) for name, mask in masks.items()})
    assert (masks & other) <= masks <= (masks | other)
    assert (masks | other) >= other
    assert not (masks | other) <= masks
    assert ((masks & other)["ä"] == masks["ä"] & other["ä"]).all()
    assert (masks & other).kept + (masks | other).kept == masks.kept + other.kept
    with pytest.raises(ng.MaskError, match="missing"):
        masks & ng.Masks({"ä": masks["ä"]})
    with pytest.raises(ng.MaskError, match=r"layer 'ä': the masks have shapes \(4, 5\)"):
        masks <= ng.Masks({**masks, "ä": masks["ä"].T})  # noqa: B015
    with pytest.raises(TypeError):
        masks & {"ä": masks["ä"]}
    with pytest.raises(TypeError):
        masks <= 3  # noqa: B015


def test_table(masks):
    table = masks.table()
    assert table["layer"] == ("conv/0", "ä", "total")
    assert table["kept"][-1] == masks.kept == sum(int(m.sum()) for m in masks.values())
    assert table["covered"] == (54, 20, 74)
    assert str(masks) == str(table)
    kept = f"{masks.kept} of 74 parameters kept ({masks.density:.1%})"
    assert repr(masks) == f"<Masks: 2 layers, {kept}>"
    assert masks._repr_html_() == table._repr_html_()
    dead = np.ones((3, 2, 2), dtype=bool)
    dead[1:] = False
    dead[0, 1] = False
    row = next(iter(ng.Masks({"a": dead}).table()))
    assert (row["dead outputs"], row["dead inputs"], row["shape"]) == (2, 1, "3x2x2")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no masks"),
        ([1], "mapping"),
        ({1: np.ones((2, 2), bool)}, "strings"),
        ({"a": np.ones((2, 2))}, "must be bool"),
        ({"a": np.ones(2, bool)}, "no axis of size zero"),
        ({"a": np.ones((2, 0), bool)}, "no axis of size zero"),
    ],
)
def test_masks_that_cannot_be(arrays, message):
    with pytest.raises(ng.MaskError, match=message):
        ng.Masks(arrays)


# --- the file ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(1, 4), st.integers(1, 9)), min_size=1))
@settings(max_examples=30)
def test_save_and_load(tmp_path_factory, layers):
    rng = np.random.default_rng(len(layers))
    masks = ng.Masks({name: rng.random((rows, columns)) < 0.5 for name, rows, columns in layers})
    path = tmp_path_factory.mktemp("masks") / "m.npz"
    masks.save(path)
    again = ng.Masks.load(path)
    assert again == masks
    assert list(again) == list(masks)
    assert not next(iter(again.values())).flags.writeable


def test_files_are_small_plain_and_kept(masks, tmp_path):
    path = tmp_path / "masks"  # no suffix is added
    masks.save(str(path))
    assert path.stat().st_size < 1000
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) == {"header", "bits"}
        layers = json.loads(archive["header"].tobytes())["layers"]
        assert layers[1] == {"name": "ä", "shape": [4, 5]}
        assert archive["bits"].dtype == np.uint8
    before = path.read_bytes()
    with pytest.raises(ng.FormatError, match="exists"):
        masks.save(path)
    assert path.read_bytes() == before
    (masks | masks).save(path, overwrite=True)
    assert path.read_bytes() == before  # the same masks give the same bytes
    with pytest.raises(ng.FormatError, match="folder"):
        masks.save(tmp_path / "none" / "m.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["masks"]


def archive(path, **members):
    np.savez(path, **members)
    return path


def header(layers, **changes):
    content = {"format": "nngraph masks", "version": 1, "layers": layers} | changes
    return np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)


GOOD = [{"name": "a", "shape": [2, 4]}]
BYTE = np.zeros(1, dtype=np.uint8)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"header": header(GOOD)}, "bits"),
        ({"bits": BYTE}, "header"),
        ({"header": header(GOOD, version=2), "bits": BYTE}, "version 2"),
        ({"header": header(GOOD, format="other"), "bits": BYTE}, "does not say"),
        ({"header": header({}), "bits": BYTE}, "names no layers"),
        ({"header": header([]), "bits": BYTE}, "names no layers"),
        ({"header": header(GOOD * 2), "bits": BYTE}, "name of its own"),
        ({"header": header([3]), "bits": BYTE}, "name of its own"),
        ({"header": header([{"name": "a", "shape": [8]}]), "bits": BYTE}, "shape"),
        ({"header": header([{"name": "a", "shape": [2, -4]}]), "bits": BYTE}, "shape"),
        ({"header": header([{"name": "a", "shape": [True, 4]}]), "bits": BYTE}, "shape"),
        ({"header": header([{"name": "a", "shape": [1] * 40}]), "bits": BYTE}, "shape"),
        ({"header": header([{"name": "a", "shape": [10**9] * 9}]), "bits": BYTE}, "need"),
        ({"header": header([{"name": "a", "shape": [3, 4]}]), "bits": BYTE}, "need 2"),
        ({"header": header(GOOD), "bits": np.zeros(9, np.uint8)}, "at most 1 bytes"),
        ({"header": header(GOOD), "bits": np.zeros(1, np.int64)}, "int64"),
        ({"header": header(GOOD), "bits": np.zeros((1, 1), np.uint8)}, "shape"),
        ({"header": header(GOOD), "bits": np.array([None, {}], object)}, "object"),
        ({"header": np.frombuffer(b"{", np.uint8), "bits": BYTE}, "no JSON"),
        ({"header": np.frombuffer(b"\xff\xfe", np.uint8), "bits": BYTE}, "no JSON"),
        ({"header": np.frombuffer(b"[" * 10**6, np.uint8), "bits": BYTE}, "no JSON"),
        ({"header": np.frombuffer(b"[]", np.uint8), "bits": BYTE}, "does not say"),
    ],
)
def test_files_that_lie(tmp_path, members, message):
    with pytest.raises(ng.FormatError, match=message):
        ng.Masks.load(archive(tmp_path / "m.npz", **members))


def test_files_that_are_none(masks, tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(ng.MissingFileError):
        ng.Masks.load(path)
    with pytest.raises(ng.FormatError):
        ng.Masks.load(tmp_path)
    for content in (b"", b"PK\x03\x04", pickle.dumps(dict(masks)), b"\x93NUMPY" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ng.FormatError, match=r"m\.npz"):
            ng.Masks.load(path)


def test_truncated_and_damaged_files(masks, tmp_path):
    path = tmp_path / "m.npz"
    masks.save(path)
    good = path.read_bytes()
    for length in range(0, len(good), 37):
        path.write_bytes(good[:length])
        with pytest.raises(ng.FormatError):
            ng.Masks.load(path)
    for position in range(0, len(good), 11):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(ng.FormatError):  # some bytes (times, attributes) mean nothing
            assert ng.Masks.load(path) == masks


def test_a_member_that_claims_more_than_it_holds(tmp_path):
    path = tmp_path / "m.npz"
    stream = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (1 << 60,)}
    np.lib.format.write_array_header_1_0(stream, claim)
    sides = 1 << 31, 1 << 32  # 2^60 bytes of bits, so that the claim is what the shape needs
    with zipfile.ZipFile(path, "w") as file:
        content = io.BytesIO()
        np.save(content, header([{"name": "a", "shape": list(sides)}]))
        file.writestr("header.npy", content.getvalue())
        file.writestr("bits.npy", stream.getvalue())
    with pytest.raises(ng.FormatError, match="does not hold"):
        ng.Masks.load(path)


def test_masks_cannot_be_changed_through_what_they_view():
    base = np.ones((2, 3), bool)
    view = base[:]
    view.flags.writeable = False
    masks = ng.Masks({"a": view})
    base[:] = False
    assert masks.kept == 6
    for found in ng.Masks.from_scores({"a": np.eye(3), "b": np.eye(4)}, density=0.5).values():
        assert not (found if found.base is None else found.base).flags.writeable


def test_a_compressed_file_is_refused_before_it_grows(masks, tmp_path):
    path = tmp_path / "masks.npz"
    masks.save(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)
    with pytest.raises(ng.FormatError, match=r"header\.npy is compressed"):
        ng.Masks.load(path)


def test_names_too_long_for_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ng.Masks.load(tmp_path / ("x" * 300))
