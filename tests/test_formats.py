"""Loading and saving: formats found by suffix, masks checked, nothing changed on any error."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

import nngraph as ng
from nngraph import formats


@pytest.fixture
def npz(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "net.npz"
    np.savez(
        path,
        **{
            "a.weight": rng.normal(size=(30, 40)).astype("f4"),
            "a.bias": np.ones(30, "f4"),
            "b.weight": np.full((3, 30), np.nan),
            "steps": np.arange(3),
        },
    )
    return path


def masks_for(npz, seed=1):
    return {"a": np.random.default_rng(seed).random((30, 40)) < 0.5}


def test_save_then_load_gives_masked_weights_and_the_rest_as_it_was(npz, tmp_path):
    masks, before = masks_for(npz), npz.read_bytes()
    out = tmp_path / "out.npz"
    ng.save(npz, masks, out)
    with np.load(npz) as old, np.load(out) as new:
        assert old.files == new.files
        expected = np.where(masks["a"], old["a.weight"], np.float32(0))
        assert new["a.weight"].tobytes() == expected.tobytes()
        for key in old.files[1:]:
            assert new[key].tobytes() == old[key].tobytes()
            assert new[key].dtype == old[key].dtype
    assert npz.read_bytes() == before
    assert out.stat().st_mode == npz.stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.npz", "out.npz"]


def test_a_network_stands_for_its_file(npz, tmp_path):
    bag = ng.load(npz)
    net = ng.load(npz, chain=[{"layer": "a", "in_out": True, "name": "renamed", "bias": False}])
    mask = masks_for(npz)["a"]
    ng.save(net, {"renamed": mask.T}, tmp_path / "renamed.npz")
    ng.save(bag, {"a": mask}, tmp_path / "bag.npz")
    same = [ng.load(tmp_path / name)["a"].array() for name in ("renamed.npz", "bag.npz")]
    np.testing.assert_array_equal(*same)
    with pytest.raises(ng.MaskError, match="no layer is named 'renamed'"):
        ng.save(npz, {"renamed": mask.T}, tmp_path / "x.npz")
    with pytest.raises(ng.FormatError, match="was not loaded from a file"):
        ng.save(ng.Network([ng.Layer("a", np.ones((2, 2)))]), {}, tmp_path / "x.npz")


def test_a_source_that_changed_its_shapes_is_refused(npz, tmp_path):
    net = ng.load(npz)
    np.savez(npz, **{"a.weight": np.ones((2, 2))})
    with pytest.raises(ng.FormatError, match=r"'a\.weight' of shape \(30, 40\) any more"):
        ng.save(net, masks_for(npz), tmp_path / "out.npz")


BAD_MASKS = [
    ({"aa": np.ones((30, 40), bool)}, r"no layer is named 'aa'; did you mean 'a'\?"),
    ({"a": np.ones((40, 30), bool)}, r"must be bool of shape \(30, 40\), got bool of shape"),
    ({"a": np.ones((30, 40))}, "must be bool"),
    ([np.ones((30, 40), bool)], "must map layer names"),
]


@pytest.mark.parametrize(("masks", "message"), BAD_MASKS)
def test_masks_that_do_not_fit_change_nothing(npz, tmp_path, masks, message):
    with pytest.raises(ng.MaskError, match=message):
        ng.save(npz, masks, tmp_path / "out.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


def test_layers_that_share_a_parameter_need_one_mask(npz, tmp_path):
    chain = ["a", {"layer": "a", "name": "tied", "inputs": ["input"]}]
    net, mask = ng.load(npz, chain), masks_for(npz)["a"]
    with pytest.raises(ng.MaskError, match=r"'a' and another share the parameter 'a\.weight'"):
        ng.save(net, {"a": mask, "tied": ~mask}, tmp_path / "out.npz")
    ng.save(net, {"a": mask, "tied": mask}, tmp_path / "out.npz")


def test_an_output_that_exists_is_kept(npz, tmp_path):
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    for target in (out, npz):
        with pytest.raises(ng.FormatError, match="exists; choose another name"):
            ng.save(npz, {}, target)
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.safetensors", "give it the same suffix"),
        ("out.npy", "give it the same suffix"),
        ("out", "no known suffix"),
        ("none/out.npz", "folder .* does not exist"),
    ],
)
def test_outputs_of_another_kind_are_refused(npz, tmp_path, name, message):
    with pytest.raises(ng.FormatError, match=message):
        ng.save(npz, {}, tmp_path / name)


@contextlib.contextmanager
def small_disk(size):
    """Writes beyond `size` bytes fail in this process, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_that_fills_up_leaves_nothing_behind(npz, tmp_path):
    with (
        small_disk(3000),
        pytest.raises(ng.FormatError, match=r"cannot write .*out\.npz.*nothing was changed"),
    ):
        ng.save(npz, masks_for(npz), tmp_path / "out.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_is_named(npz, tmp_path, monkeypatch, folder):
    source, out = npz, tmp_path / "out.npz"
    if folder:
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        np.save(source / "a.npy", np.ones((3, 3)))
    form = formats._format_of_source(source)

    def full(self, source, masks, out):
        ((out / "half.npy") if folder else out).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(form), "write", full)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(ng.FormatError, match=r"No space left.*Free some space"):
        ng.save(source, {}, out)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_an_output_that_appears_meanwhile_is_kept(npz, tmp_path, monkeypatch):
    out = tmp_path / "out.npz"
    form = formats._format_of_source(npz)
    monkeypatch.setattr(type(form), "write", lambda *args: out.write_bytes(b"precious"))
    with pytest.raises(ng.FormatError, match="made meanwhile"):
        ng.save(npz, {}, out)
    assert out.read_bytes() == b"precious"


def test_missing_empty_and_unreadable_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.npz"):
        ng.load(tmp_path / "none.npz")
    with pytest.raises(ng.FormatError, match="there is no file"):
        ng.save(tmp_path / "none.npz", {}, tmp_path / "out.npz")
    empty = tmp_path / "empty.npz"
    empty.touch()
    with pytest.raises(ng.FormatError, match=r"empty\.npz' is empty"):
        ng.load(empty)
    (tmp_path / "net.gguf").write_bytes(b"x")
    with pytest.raises(ng.FormatError, match=r"'net\.gguf' has no known suffix; known are .*\.npz"):
        ng.load(tmp_path / "net.gguf")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ng.FormatError, match="no regular file"):
        ng.load(tmp_path / "pipe.npz")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    empty.write_bytes(b"x")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ng.FormatError, match=r"cannot open .*Permission denied"):
        ng.load(empty)


def test_a_folder_without_arrays_is_refused(tmp_path):
    with pytest.raises(ng.FormatError, match=r"holds no \.npy file; for other formats name a file"):
        ng.load(tmp_path)


def test_suffixes_are_matched_without_case(npz, tmp_path):
    shouted = npz.rename(tmp_path / "NET.NPZ")
    assert len(ng.load(shouted)) == 2


def test_every_entry_point_names_its_suffix():
    for entry in formats._entries():
        try:
            form = entry.load()
        except ImportError:
            continue  # an extra that is not installed
        assert entry.name in (form.suffixes or ("folder",)), entry
    table = ng.known_formats()
    assert {".npz", ".npy", ".safetensors", "folder"} <= set(table["suffix"])


def install(tmp_path, monkeypatch, code, points):
    """A third party's distribution with the module `code` and these entry points."""
    (tmp_path / "party.py").write_text(code)
    info = tmp_path / "party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nngraph.formats]\n" + points)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "party", raising=False)


PARTY = """
import numpy as np
import nngraph as ng

class Text:
    name, suffixes = "text", (".weights.txt",)
    def read(self, path):
        return ng.from_tensors({"only": np.loadtxt(path)}, source=str(path))
    def write(self, source, masks, out):
        np.savetxt(out, np.loadtxt(source) * masks["only"])

FORMAT = Text()
"""


def test_third_parties_add_formats(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, PARTY, ".weights.txt = party:FORMAT\n")
    path = tmp_path / "net.weights.txt"
    np.savetxt(path, [[1.0, 2.0], [3.0, 4.0]])
    net = ng.load(path)
    assert net.names == ("only",)
    ng.save(net, {"only": np.eye(2, dtype=bool)}, tmp_path / "out.weights.txt")
    out = ng.load(tmp_path / "out.weights.txt")["only"].array()
    np.testing.assert_array_equal(out, np.diag([1.0, 4.0]))
    assert "text" in ng.known_formats()["format"]


def test_a_format_that_cannot_be_imported_names_what_is_missing(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "import a_package_that_is_not_there\n", ".odd = party:FORMAT\n")
    (tmp_path / "net.odd").write_bytes(b"x")
    with pytest.raises(ng.MissingExtraError, match=r"'\.odd'.*a_package_that_is_not_there"):
        ng.load(tmp_path / "net.odd")
    table = ng.known_formats()
    [problem] = [row["problem"] for row in table if row["suffix"] == ".odd"]
    assert "a_package_that_is_not_there" in problem


def test_a_package_that_a_format_requires(tmp_path, monkeypatch):
    code = PARTY + "Text.requires = ('not_there', 'nngraph[odd]')\n"
    install(tmp_path, monkeypatch, code, ".odd = party:FORMAT\n")
    (tmp_path / "net.odd").write_bytes(b"x")
    message = r"text files need not_there, .* pip install 'nngraph\[odd\]'"
    with pytest.raises(ng.MissingExtraError, match=message):
        ng.load(tmp_path / "net.odd")
    [row] = [row for row in ng.known_formats() if row["suffix"] == ".odd"]
    assert row["format"] == "text"
    assert "not_there" in row["problem"]


def test_several_formats_of_one_suffix_are_asked_which_matches(tmp_path, monkeypatch):
    chooser = PARTY + "Text.matches = lambda self, path: b'#mine' in path.read_bytes()\n"
    install(tmp_path, monkeypatch, chooser, ".npz = party:FORMAT\n")
    np.savez(tmp_path / "net.npz", a=np.ones((2, 3)))
    assert ng.load(tmp_path / "net.npz").names == ("a",)
    (tmp_path / "mine.npz").write_text("#mine\n1 2\n3 4\n")
    assert ng.load(tmp_path / "mine.npz").names == ("only",)


def test_loading_imports_only_the_format_that_is_needed(npz):
    code = (
        "import sys, nngraph as ng\n"
        f"ng.load({str(npz)!r})\n"
        "loaded = {m for m in sys.modules if m.startswith('nngraph_adapters.')}\n"
        "assert loaded == {'nngraph_adapters.numpy'}, loaded\n"
        "assert not {'torch', 'onnx', 'safetensors', 'numba'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_name_too_long_for_the_system(tmp_path):
    with pytest.raises(ng.MissingFileError, match="there is no file"):
        ng.load(tmp_path / ("x" * 300 + ".npz"))


def test_a_file_that_changes_while_its_header_is_read(tmp_path, monkeypatch):
    text = "        path.write_text(path.read_text() + '5 6')\n        return"
    install(tmp_path, monkeypatch, PARTY.replace("        return", text), ".odd = party:FORMAT\n")
    (tmp_path / "net.odd").write_text("1 2\n3 4\n")
    with pytest.raises(ng.FileChangedError, match=r"net\.odd' changed while it was read"):
        ng.load(tmp_path / "net.odd")
