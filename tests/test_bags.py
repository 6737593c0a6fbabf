"""Bags of weights: what becomes a layer, what is skipped and why."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import nngraph as ng

REASONS = [
    (np.zeros(3), "1 axis"),
    (np.float32(1), "0 axes"),
    (np.zeros((2, 3), int), "int64"),
    (np.zeros((2, 3), bool), "bool"),
    (np.zeros((2, 3), complex), "complex128"),
    (np.zeros((2, 0)), "zero-size"),
    (np.zeros((1,) * 6), "6 axes"),
    (np.array([["a", "b"]]), "no floating-point numbers"),
]


@pytest.mark.parametrize(("tensor", "reason"), REASONS)
def test_what_is_no_layer_is_skipped_with_a_reason(tensor, reason):
    net = ng.from_tensors({"fc.weight": np.ones((2, 3)), "other": tensor})
    assert net.names == ("fc",)
    [(path, size, why)] = net.coverage.skipped
    assert (path, size) == ("other", np.asarray(tensor).size)
    assert reason in why
    assert net.coverage.total == 6 + np.asarray(tensor).size
    assert list(net.tensors) == ["fc.weight", "other"]
    with pytest.raises(ng.WeightError, match="holds no layer"):
        ng.from_tensors({"other": tensor})


@pytest.mark.parametrize("axes", [2, 3, 4, 5])
def test_tensors_of_two_to_five_axes_are_layers(axes):
    shape = (4, 3, 2, 2, 2)[:axes]
    [layer] = ng.from_tensors({"a.weight": np.ones(shape, np.float16)})
    assert (layer.name, layer.path, layer.shape) == ("a", "a.weight", shape)
    assert layer.source_dtype == "float16"
    assert layer.array().dtype == np.float32


def test_names_stay_unique_and_in_order():
    w = np.ones((2, 2))
    net = ng.from_tensors({"b.weight": w, "a": w, "a.weight": w, "weight": w, ".weight": w})
    assert net.names == ("b", "a", "a.weight", "weight", ".weight")
    assert [layer.path for layer in net] == ["b.weight", "a", "a.weight", "weight", ".weight"]


def test_objects_and_odd_names_are_refused():
    with pytest.raises(ng.WeightError, match="'bad' holds Python objects"):
        ng.from_tensors({"bad": np.array([[{}, {}]], dtype=object)})
    with pytest.raises(ng.WeightError, match="'bad' is no rectangular array"):
        ng.from_tensors({"bad": [[1.0], [2.0, 3.0]]})
    with pytest.raises(ng.WeightError, match="must be strings"):
        ng.from_tensors({1: np.ones((2, 2))})
    with pytest.raises(ng.WeightError, match="of 0 tensors"):
        ng.from_tensors({}, source="x.npz")


def test_nan_is_found_when_a_layer_is_read():
    net = ng.from_tensors({"fc.weight": np.full((2, 2), np.nan)})
    with pytest.raises(ng.WeightError, match="'fc' holds 4 NaN"):
        net["fc"].array()


def test_types_that_numpy_lacks_are_read_exactly():
    extension = pytest.importorskip("ml_dtypes")
    values = np.array([[1.5, -2.0]], extension.bfloat16)
    [layer] = ng.from_tensors({"fc.weight": values})
    np.testing.assert_array_equal(layer.array(), [[1.5, -2.0]])


def test_a_bag_has_no_wiring_and_says_how_to_give_one():
    net = ng.from_tensors({"fc.weight": np.ones((2, 2))}, source="x.npz")
    assert net.wiring is None
    with pytest.raises(ng.ChainError, match=r"x\.npz holds weights only; name a chain"):
        net.require_wiring("forward")
    assert pickle.loads(pickle.dumps(net)).names == ("fc",)  # noqa: S301


def test_masks_that_torch_left_beside_its_parameters_are_masks(tmp_path):
    rng = np.random.default_rng(0)
    dense, kept = rng.normal(size=(4, 3, 2)).astype(np.float32), rng.random((4, 3, 2)) < 0.5
    tensors = {
        "up.weight_orig": dense, "up.weight_mask": kept.astype(np.float32),
        "up.bias_orig": np.ones(3, np.float32), "up.bias_mask": np.array([1, 0, 1], np.float32),
        "fc_orig": np.ones((2, 2)), "fc_mask": np.ones((2, 3)),  # of another shape: no mask
    }  # fmt: skip
    np.savez(tmp_path / "pruned.npz", **tensors)
    for net in (ng.from_tensors(tensors), ng.load(tmp_path / "pruned.npz")):
        assert net.names == ("up", "fc_orig", "fc_mask")
        np.testing.assert_array_equal(net["up"].mask, kept)
        reasons = {path: reason for path, _, reason in net.coverage.skipped}
        assert reasons["up.weight_mask"] == "the mask of 'up.weight_orig'"
        wired = ng.wire(net, [{"layer": "up", "transposed": True}])
        np.testing.assert_array_equal(wired["up"].mask, kept.transpose(1, 0, 2))
        assert wired.wiring[2].options["bias"].tolist() == [1, 0, 1]

    less = kept & (rng.random(kept.shape) < 0.5)
    ng.save(tmp_path / "pruned.npz", {"up": less}, tmp_path / "less.npz")
    np.testing.assert_array_equal(ng.load(tmp_path / "less.npz")["up"].mask, less)


def test_names_that_shortening_would_make_equal():
    paths = ["a", "a.weight", "a.weight.weight", "b.weight"]
    net = ng.from_tensors({path: np.ones((2, 2)) for path in paths})
    assert net.names == ("a", "a.weight", "a.weight.weight", "b")


def test_tensors_that_hide_entries_and_names_that_are_no_text():
    with pytest.raises(ng.WeightError, match="tensor 'a' is a masked array"):
        ng.from_tensors({"a": np.ma.masked_array(np.ones((2, 2)), np.eye(2))})
    with pytest.raises(ng.WeightError, match=r"'\\ud800' is no valid Unicode; rename it"):
        ng.from_tensors({"\ud800": np.ones((2, 2))})
