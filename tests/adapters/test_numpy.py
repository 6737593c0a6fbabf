"""NumPy's files: exact round trips, members read one by one, and hostile archives."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

DATA = os.environ.get("NNGRAPH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="$NNGRAPH_DATA is not set")

RNG = np.random.default_rng(0)
TENSORS = {
    "conv.weight": RNG.normal(size=(4, 3, 2, 2)).astype("<f4"),
    "conv.bias": np.ones(4, "<f4"),
    "half": RNG.normal(size=(5, 6)).astype("<f2"),
    "big_endian": RNG.normal(size=(5, 6)).astype(">f8"),
    "fortran": np.asfortranarray(RNG.normal(size=(5, 6, 7))),
    "steps": np.array(7),
    "flags": np.array([[True, False]]),
    "layer10": np.full((2, 2), 10.0),
    "layer2": np.full((2, 2), 2.0),
    "empty": np.zeros((0, 3)),
}
LAYERS = [k for k in TENSORS if k not in ("conv.bias", "steps", "flags", "empty")]


def write(kind, folder, tensors=TENSORS):
    """The tensors as a file or folder of the given kind; its path."""
    if kind == "folder":
        (folder / "net").mkdir()
        for name, array in tensors.items():
            np.save(folder / "net" / f"{name}.npy", array)
        return folder / "net"
    (np.savez if kind == "stored" else np.savez_compressed)(folder / "net.npz", **tensors)
    return folder / "net.npz"


KINDS = ["stored", "deflated", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_comes_back_exactly(tmp_path, kind):
    net = ng.load(write(kind, tmp_path))
    assert sorted(layer.path for layer in net) == sorted(LAYERS)
    assert set(net.tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        back = net.tensors[name].read()
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype
        assert not back.flags.writeable
    assert net.coverage.total == sum(np.size(array) for array in TENSORS.values())
    for layer in net:
        np.testing.assert_array_equal(layer.array(), TENSORS[layer.path])


def test_a_folder_is_in_natural_order(tmp_path):
    names = ng.load(write("folder", tmp_path)).names
    assert names.index("layer2") < names.index("layer10")


@pytest.mark.parametrize("kind", KINDS)
def test_masks_go_back_exactly(tmp_path, kind):
    path = write(kind, tmp_path)
    net = ng.load(path)
    masks = {layer.name: RNG.random(layer.shape) < 0.5 for layer in net if layer.name != "half"}
    out = tmp_path / ("out" if kind == "folder" else "out.npz")
    ng.save(path, masks, out)
    again = ng.load(out)
    assert list(again.tensors) == list(net.tensors)
    for name, array in TENSORS.items():
        mask = masks.get(name.removesuffix(".weight"))
        back, old = again.tensors[name].read(), np.array(array)
        if mask is not None:
            old[~mask] = 0
        assert back.tobytes() == old.tobytes()
        assert back.dtype == array.dtype
        assert back.flags.f_contiguous == array.flags.f_contiguous
    if kind == "folder":
        assert np.load(out / "steps.npy") == 7
    else:
        with zipfile.ZipFile(path) as a, zipfile.ZipFile(out) as b:
            assert [i.compress_type for i in a.infolist()] == [
                i.compress_type for i in b.infolist()
            ]
            assert b.testzip() is None
        with np.load(out) as plain:
            assert plain.files == list(TENSORS)


def test_a_single_array(tmp_path):
    path = tmp_path / "fc.npy"
    np.save(path, TENSORS["half"])
    assert ng.load(path).names == ("fc",)
    ng.save(path, {"fc": np.zeros((5, 6), bool)}, tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.zeros((5, 6), "<f2"))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_member_that_is_asked_for_is_read(tmp_path, kind):
    bad = RNG.normal(size=(50, 50))
    bad[1, :2] = 3.0
    tensors = {"good": np.ones((50, 50)), "bad": bad}
    path = write(kind, tmp_path, tensors)
    target = path / "bad.npy" if kind == "folder" else path
    data = bytearray(target.read_bytes())
    if kind != "deflated":
        at = data.index(np.float64(3.0).tobytes() * 2)
        data[at : at + 8] = np.float64(np.nan).tobytes()
    else:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("bad.npy")
        data[info.header_offset + 30 + 7 + 20 + info.compress_size // 2] ^= 0xFF
    target.write_bytes(data)
    net = ng.load(path)
    np.testing.assert_array_equal(net["good"].array(), 1.0)
    with pytest.raises((ng.FormatError, ng.WeightError), match="bad"):
        net["bad"].array()


def test_large_arrays_are_mapped_not_copied(tmp_path):
    path = write("folder", tmp_path, {"fc": np.zeros((1000, 500), "f4")})
    net = ng.load(path)
    tracemalloc.start()
    array = net["fc"].array()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.shape == (1000, 500)
    assert peak < 200_000


def header(text, version=(1, 0)):
    body = text.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(body))
    return b"\x93NUMPY" + bytes(version) + length + body


def npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


class Payload:
    """Runs when unpickled."""

    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


OBJECTS = npy(np.array([[Payload()]], dtype=object), allow_pickle=True)
GOOD = npy(np.ones((3, 3)))
HOSTILE = {
    "objects": (OBJECTS, "pickled Python objects"),
    "a pickle": (pickle.dumps([1.0]), r"no readable \.npy"),
    "nothing": (b"", r"no readable \.npy"),
    "cut short": (GOOD[:-5], "cut short"),
    "cut in the header": (GOOD[:30], r"no readable \.npy"),
    "too long": (GOOD + b"\0", "cut short or damaged"),
    "a huge shape": (header("{'descr':'<f8','fortran_order':False,'shape':(1<<40,9)}"), "no reada"),
    "a shape beyond the data": (
        header("{'descr':'<f8','fortran_order':False,'shape':(1000000000000,9)}"), "needs"
    ),
    "a negative shape": (
        header("{'descr':'<f8','fortran_order':False,'shape':(-1,-2)}") + b"\0" * 16, "shape is"
    ),
    "no dict": (header("[1,2]"), r"no readable \.npy"),
    "code": (header("__import__('os').system('touch /tmp/never')"), r"no readable \.npy"),
    "a header of 4 GB": (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), "header claims 4,294,967,295"
    ),
    "a version for records": (header("{}", (3, 0)), "version"),
    "open brackets": (header("(" * 3000), r"no readable \.npy"),
    "nested brackets": (header("(" * 4000 + ")" * 4000), r"no readable \.npy"),
    "a shape of bools": (
        header("{'descr':'<f8','fortran_order':False,'shape':(True,2)}") + b"\0" * 16, "shape is"
    ),
}  # fmt: skip


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_named(tmp_path, case, compression):
    content, message = HOSTILE[case]
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("good.npy", GOOD)
        archive.writestr("evil.npy", content)
    with pytest.raises(ng.FormatError, match=rf"'evil\.npy' of .*{message}"):
        ng.load(path)


@pytest.mark.parametrize("case", [case for case in HOSTILE if case != "nothing"])
def test_hostile_files_are_named(tmp_path, case):
    content, message = HOSTILE[case]
    path = tmp_path / "evil.npy"
    path.write_bytes(content)
    for source in (path, tmp_path):
        with pytest.raises(ng.FormatError, match=rf"evil\.npy.*{message}"):
            ng.load(source)


def archive(tmp_path, *members, compression=zipfile.ZIP_STORED):
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def test_archives_that_are_none(tmp_path):
    path = tmp_path / "net.npz"
    good = archive(tmp_path, ("a.npy", GOOD), ("b.npy", GOOD)).read_bytes()
    half = good[: len(good) // 2]
    for content in (b"PK\x03\x04", b"\x80\x04", pickle.dumps({}), good[:-30], half):
        path.write_bytes(content)
        with pytest.raises(ng.FormatError, match=r"net\.npz' is no readable \.npz archive"):
            ng.load(path)
    with pytest.raises(ng.FormatError, match="holds no arrays"):
        ng.load(archive(tmp_path))
    with pytest.raises(ng.FormatError, match=r"'readme\.txt' of .* is no \.npy array"):
        ng.load(archive(tmp_path, ("a.npy", GOOD), ("readme.txt", b"hello")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path):
    with pytest.raises(ng.FormatError, match=r"'a\.npy' of .* is there twice"):
        ng.load(archive(tmp_path, ("a.npy", GOOD), ("a.npy", GOOD)))


def test_other_compressions_and_encryption(tmp_path):
    path = archive(tmp_path, ("a.npy", GOOD), compression=zipfile.ZIP_LZMA)
    with pytest.raises(ng.FormatError, match=r"'a\.npy' of .*encrypted or compressed"):
        ng.load(path)
    path = archive(tmp_path, ("a.npy", GOOD))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ng.FormatError, match=r"'a\.npy' of .*encrypted or compressed"):
        ng.load(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_that_only_the_checksum_shows(tmp_path, save):
    path, out = tmp_path / "net.npz", tmp_path / "out.npz"
    save(path, w=np.ones((2, 2)), other=RNG.normal(size=3000))
    damaged = bytearray(path.read_bytes())
    damaged[-3000] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ng.FormatError, match=r"net\.npz' is damaged: "):
        ng.save(path, {"w": np.eye(2, dtype=bool)}, out)
    assert os.listdir(tmp_path) == ["net.npz"]


def test_a_decompression_bomb(tmp_path):
    path = archive(tmp_path, ("a.npy", GOOD), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # the uncompressed size in the central directory
    data[at : at + 4] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    with pytest.raises(ng.FormatError, match=r"would grow .* 2,147,483,648 bytes.*np\.savez"):
        ng.load(path)


def test_a_size_that_lies_about_a_compressed_member(tmp_path):
    lie = header("{'descr':'<f8','fortran_order':False,'shape':(100,100)}")
    path = archive(tmp_path, ("a.npy", lie), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", len(lie) + 80_000)
    path.write_bytes(data)
    with pytest.raises(ng.FormatError, match=r"a\.npy"):
        ng.load(path)["a"].array()


def test_a_stored_member_that_reaches_beyond_the_file(tmp_path):
    lie = header("{'descr':'<f8','fortran_order':False,'shape':(100,100)}")
    path = archive(tmp_path, ("a.npy", lie))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 20
    data[at : at + 8] = struct.pack("<II", len(lie) + 80_000, len(lie) + 80_000)
    path.write_bytes(data)
    with pytest.raises(ng.FormatError, match=r"beyond the end|no readable"):
        ng.load(path)


def test_a_file_that_changes_after_loading(tmp_path):
    path = write("stored", tmp_path)
    net = ng.load(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ng.FileChangedError, match="load it again"):
        net["half"].array()


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_changes_while_it_is_copied(tmp_path, kind, monkeypatch):
    path = write(kind, tmp_path, {"a": np.ones((3, 3)), "b": np.ones((3, 3))})
    masked = ng.StoredArray.masked

    def then_touch(self, mask):
        array = masked(self, mask)
        os.utime(self.path, ns=(1, 1))
        return array

    monkeypatch.setattr(ng.StoredArray, "masked", then_touch)
    out = tmp_path / ("out" if kind == "folder" else "out.npz")
    with pytest.raises(ng.FileChangedError):
        ng.save(path, {"a": np.zeros((3, 3), bool)}, out)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@needs_data
def test_resnet20(tmp_path):
    path = Path(DATA) / "resnet_cifar10" / "resnet20.npz"
    net = ng.load(path)
    assert len(net) == 20
    assert net.coverage.covered == 268_336
    assert net.coverage.fraction == pytest.approx(0.98981, abs=1e-5)
    masks = {layer.name: RNG.random(layer.shape) < 0.1 for layer in net}
    ng.save(net, masks, tmp_path / "out.npz")
    with np.load(path) as old, np.load(tmp_path / "out.npz") as new:
        assert old.files == new.files
        for key in old.files:
            expected = np.array(old[key])
            mask = masks.get(key.removesuffix(".weight"))
            if mask is not None:
                expected[~mask] = 0
            assert expected.tobytes() == new[key].tobytes()
