"""Handles to arrays in files: exact, mapped, and never stale."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

import nngraph as ng
from nngraph.stored import RAW_TYPES, widen


@pytest.mark.parametrize("dtype", sorted(RAW_TYPES))
def test_every_bit_pattern_widens_exactly(dtype):
    extension = pytest.importorskip("ml_dtypes")
    raw = RAW_TYPES[dtype]
    bits = np.arange(np.iinfo(raw).max + 1, dtype=raw)
    expected = bits.view(getattr(extension, dtype)).astype(np.float32)
    result = widen(bits, dtype)
    assert result.dtype == np.float32
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(result), ~numbers)
    np.testing.assert_array_equal(result[numbers].view("u4"), expected[numbers].view("u4"))


def stored(tmp_path, array, *, order="C", offset=0):
    path = tmp_path / "raw.bin"
    path.write_bytes(b"\0" * offset + array.tobytes(order=order))
    return ng.StoredArray.at(path, array.shape, array.dtype.str, offset=offset, order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i8"])
@pytest.mark.parametrize("offset", [0, 8, 3])
def test_read_gives_the_array(tmp_path, order, dtype, offset):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    handle = stored(tmp_path, array, order=order, offset=offset)
    result = handle.read()
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype
    assert result.flags.aligned
    assert not result.flags.writeable
    assert handle.size == 24
    mapped = isinstance(result, np.memmap) and result.base is not None
    assert mapped == (offset % array.itemsize == 0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_masked_zeroes_only_what_the_mask_says(tmp_path, order):
    array = np.array([[-1.5, np.nan, -0.0], [np.inf, 2.0, -3.0]], dtype="<f4")
    array.view("<u4")[0, 1] = 0xFFC0BEEF  # a NaN with a payload, which must survive
    mask = np.array([[False, True, True], [True, False, True]])
    out = stored(tmp_path, array, order=order).masked(mask)
    back = np.frombuffer(out.tobytes(), "<u4").reshape(array.shape, order=order)
    np.testing.assert_array_equal(back, np.where(mask, array.view("<u4"), 0))


def test_a_handle_is_small_and_pickles(tmp_path):
    handle = stored(tmp_path, np.ones((100, 100)))
    assert len(pickle.dumps(handle)) < 500
    again = pickle.loads(pickle.dumps(handle))  # noqa: S301
    np.testing.assert_array_equal(again.read(), 1.0)


@pytest.mark.parametrize("how", ["grown", "touched", "gone"])
def test_a_changed_file_raises(tmp_path, how):
    handle = stored(tmp_path, np.ones((4, 4)))
    layer = ng.Layer("fc", handle)
    layer.array()
    path = tmp_path / "raw.bin"
    if how == "grown":
        path.write_bytes(path.read_bytes() + b"\0")
    elif how == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    for read in (handle.read, handle.bits, layer.array):
        with pytest.raises(ng.FileChangedError, match="load it again"):
            read()


def test_a_file_that_changes_while_it_is_checked_raises(tmp_path, monkeypatch):
    handle = stored(tmp_path, np.ones((4, 4)))
    layer = ng.Layer("fc", handle)
    bits = ng.StoredArray.bits

    def then_touch(self):
        array = bits(self)
        os.utime(self.path, ns=(1, 1))
        return array

    monkeypatch.setattr(ng.StoredArray, "bits", then_touch)
    with pytest.raises(ng.FileChangedError):
        layer.array()
    with pytest.raises(ng.FileChangedError):
        handle.masked(np.ones((4, 4), bool))


def test_an_empty_array_is_read_without_a_map(tmp_path):
    path = tmp_path / "raw.bin"
    path.write_bytes(b"x")
    assert ng.StoredArray.at(path, (0, 3), "<f4", offset=1).read().shape == (0, 3)


def test_a_span_beyond_the_file_raises(tmp_path):
    path = tmp_path / "raw.bin"
    path.write_bytes(b"x")
    with pytest.raises(ng.FormatError, match=r"raw\.bin"):
        ng.StoredArray.at(path, (3,), "<f4", offset=64).read()
