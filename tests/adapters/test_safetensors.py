"""Safetensors: exact for every type, mapped, and no header is believed before it is checked."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

DATA = os.environ.get("NNGRAPH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="$NNGRAPH_DATA is not set")
RNG = np.random.default_rng(0)

TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2",
    "U8": "u1", "BOOL": "?", "C64": "<c8",
}  # fmt: skip
EXTENSION = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}


def entry(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(path, header, data=b"", *, length=None):
    """A file with this header (a dict, or bytes as they are) and these data."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(head) if length is None else length).to_bytes(8, "little") + head + data)
    return path


def pack(path, tensors, metadata=None):
    """A file of (dtype, array of stored bits) by name, in this order."""
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, array) in tensors.items():
        header[name] = entry(len(data), len(data) + array.nbytes, list(array.shape), dtype)
        data += array.tobytes()
    return write(path, header, data)


def all_types():
    return {
        name: (name, (RNG.integers(0, 100, size=(6, 4)) > 50).astype(dtype))
        for name, dtype in TYPES.items()
    }


def test_every_type_comes_back_exactly(tmp_path):
    net = ng.load(pack(tmp_path / "net.safetensors", all_types(), {"format": "pt"}))
    assert net.names == ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
    assert [layer.source_dtype for layer in net] == [
        "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    ]  # fmt: skip
    assert len(net.coverage.skipped) == 10
    assert net.coverage.fraction == 6 / 16
    assert "complex64" in {p: r for p, _, r in net.coverage.skipped}["C64"]
    assert net["F64"].array().dtype == np.float64
    assert all(layer.array().dtype == np.float32 for layer in net.layers[1:])


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F8_E4M3", "F8_E5M2"])
def test_every_bit_pattern_is_read_and_masked_exactly(tmp_path, dtype):
    raw = np.dtype(f"u{np.dtype(TYPES[dtype]).itemsize}")
    bits = np.arange(1 << 8 * raw.itemsize).astype(raw).reshape(2, -1)
    source, out = pack(tmp_path / "a.safetensors", {"w": (dtype, bits)}), tmp_path / "b.safetensors"
    if dtype == "F16":
        expected = bits.view("<f2").astype("f4")
    else:
        extension = pytest.importorskip("ml_dtypes")
        expected = bits.view(getattr(extension, EXTENSION[dtype])).astype("f4")
    np.testing.assert_array_equal(ng.load(source).tensors["w"].read().astype("f4"), expected)
    mask = RNG.random(bits.shape) < 0.5
    ng.save(source, {"w": mask}, out)
    assert out.read_bytes()[-bits.nbytes :] == np.where(mask, bits, 0).astype(raw).tobytes()
    assert out.read_bytes()[: -bits.nbytes] == source.read_bytes()[: -bits.nbytes]


def test_a_layer_with_nan_is_named(tmp_path):
    bits = np.full((2, 2), 0x7FC0, "<u2")
    net = ng.load(pack(tmp_path / "a.safetensors", {"w": ("BF16", bits)}))
    with pytest.raises(ng.WeightError, match="layer 'w' holds 4 NaN"):
        net["w"].array()


def test_round_trip_with_the_reference_implementation(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    tensors = {
        "fc1.weight": RNG.normal(size=(5, 7)).astype("f4"),
        "fc1.bias": np.full(5, np.nan, "f4"),
        "fc2.weight": RNG.normal(size=(3, 5)),
        "steps": np.arange(3),
    }
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    reference.save_file(tensors, source, metadata={"made": "here"})
    net = ng.load(source)
    for name, array in tensors.items():
        assert net.tensors[name].read().tobytes() == array.tobytes()
    mask = RNG.random((5, 7)) < 0.3
    ng.save(source, {"fc1": mask}, out)
    back = reference.load_file(out)
    np.testing.assert_array_equal(back["fc1.weight"], np.where(mask, tensors["fc1.weight"], 0))
    for name in ("fc1.bias", "fc2.weight", "steps"):
        assert back[name].tobytes() == tensors[name].tobytes()
        assert back[name].dtype == tensors[name].dtype
    assert b'"made":"here"' in out.read_bytes()[:400]


def test_a_large_layer_is_mapped_and_copied_in_pieces(tmp_path):
    shape, size = [1024, 512], 1024 * 512 * 4
    header = {f"w{k}": entry(k * size, (k + 1) * size, shape) for k in range(12)}
    # a header padded to 8 bytes, as the reference implementation writes it; the data are a hole
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    source = write(tmp_path / "a.safetensors", head)
    os.truncate(source, 8 + len(head) + 12 * size)
    net, mask = ng.load(source), np.ones(shape, bool)
    tracemalloc.start()
    array = net["w3"].array()
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    ng.save(net, {f"w{k}": mask for k in range(12)}, tmp_path / "b.safetensors")
    copied = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.flags.aligned
    assert read < size / 4
    assert copied < 3.5 * size  # one tensor, its mask inverted, and one block of the copy


F = np.ones(4, "<f4").tobytes()
LIES = {
    "an unknown type": ({"w": entry(0, 16, [2, 2], "F4")}, F, "'w' .* unknown type 'F4'"),
    "an unhashable type": ({"w": entry(0, 16, [2, 2], [])}, F, "unknown type"),
    "a span too short": ({"w": entry(0, 12, [2, 2])}, F, "does not fill the span"),
    "a span too long": ({"w": entry(0, 20, [2, 2])}, F, "does not fill the span"),
    "a span beyond the file": ({"w": entry(0, 32, [2, 4])}, F, "cut short"),
    "a span far beyond": ({"w": entry(0, 4 << 62, [1 << 62])}, F, "cut short"),
    "a span backwards": ({"w": entry(16, 0, [2, 2])}, F, "does not fill"),
    "a negative span": ({"w": entry(-16, 0, [2, 2])}, F, "integers >= 0"),
    "a negative shape": ({"w": entry(0, 16, [-2, -2])}, F, "integers >= 0"),
    "a shape of floats": ({"w": entry(0, 16, [2.0, 2])}, F, "integers >= 0"),
    "a shape of bools": ({"w": entry(0, 4, [True, True])}, F[:4], "integers >= 0"),
    "no list": ({"w": entry(0, 16, "22")}, F, "lists of integers"),
    "too many axes": ({"w": entry(0, 4, [1] * 65)}, F[:4], "65 axes"),
    "three offsets": (
        {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16, 16]}}, F, "does not fill"
    ),
    "no shape": ({"w": {"dtype": "F32", "data_offsets": [0, 16]}}, F, "must give dtype"),
    "no entry": ({"w": 5}, F, "must give dtype"),
    "an overlap": (
        {"v": entry(0, 16, [2, 2]), "w": entry(8, 24, [2, 2])}, F + F[:8], "'w' overlaps"
    ),
    "the same span twice": (
        {"v": entry(0, 16, [2, 2]), "w": entry(0, 16, [2, 2])}, F, "overlaps"
    ),
    "a hole": ({"v": entry(0, 16, [2, 2]), "w": entry(20, 36, [2, 2])}, F * 3, "leaves a hole"),
    "a hole at the start": ({"w": entry(4, 20, [2, 2])}, F + F[:4], "leaves a hole"),
    "something appended": ({"w": entry(0, 16, [2, 2])}, F + b"#!", "appended"),
    "data cut short": ({"w": entry(0, 16, [2, 2])}, F[:-1], "cut short"),
    "metadata that is no mapping": ({"__metadata__": 5, "w": entry(0, 16, [2, 2])}, F, "__metad"),
    "metadata of numbers": ({"__metadata__": {"a": 1}, "w": entry(0, 16, [2, 2])}, F, "__metada"),
    "no tensors": ({}, b"", "holds no tensors"),
    "only metadata": ({"__metadata__": {}}, b"", "holds no tensors"),
    "no object": (b"[1, 2]", b"", "no JSON object"),
    "a blank before the brace": (b' {"w": {}}', b"", "begins with a blank"),
    "no JSON": (b"{'a': 1}", b"", "no valid JSON"),
    "no UTF-8": (b'{"\xff": 1}', b"", "no valid JSON"),
    "deep nesting": (b"[" * 100_000, b"", "no valid JSON"),
    "a huge number": (b'{"w": ' + b"9" * 5000 + b"}", b"", "no valid JSON"),
    "a key twice": (
        b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
        b'"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}', F, "'w' is there twice"
    ),
    "a field twice": (
        b'{"w":{"dtype":"F32","dtype":"F64","shape":[2,2],"data_offsets":[0,16]}}', F,
        "'dtype' is there twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
def test_a_header_that_lies(tmp_path, case):
    header, data, message = LIES[case]
    path = write(tmp_path / "evil.safetensors", header, data)
    with pytest.raises(ng.FormatError, match=rf"(?s)evil\.safetensors.*{message}|{message}"):
        ng.load(path)


@pytest.mark.parametrize("length", [0, 1, 17, 10**12, 2**64 - 1, 100_000_001])
def test_a_header_length_that_lies(tmp_path, length):
    path = write(tmp_path / "evil.safetensors", b"{}", length=length)
    with pytest.raises(ng.FormatError, match=r"evil\.safetensors.*its header claims"):
        ng.load(path)
    path.write_bytes(b"\x80\x04")  # fewer than eight bytes
    with pytest.raises(ng.FormatError, match="its header claims"):
        ng.load(path)


def test_the_reference_implementation_refuses_the_same(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    # where nngraph is stricter: types that NumPy lacks, NumPy's limit of axes, no silent choice
    stricter = {"an unknown type", "too many axes", "a key twice", "no tensors", "only metadata"}
    for case, (header, data, _) in LIES.items():
        if case in stricter:
            continue
        path = write(tmp_path / "evil.safetensors", header, data)
        with pytest.raises(Exception):  # noqa: B017
            reference.load_file(path)


def shards(folder):
    """A sharded model: two shards and their index."""
    folder.mkdir()
    arrays = {k: RNG.normal(size=(4, 4)).astype("<f4") for k in ("a.weight", "b.weight", "c.bias")}
    one = {k: ("F32", arrays[k]) for k in ("b.weight", "c.bias")}
    pack(folder / "model-1.safetensors", one)
    pack(folder / "model-2.safetensors", {"a.weight": ("F32", arrays["a.weight"])})
    index = {
        "metadata": {"total_size": 192},
        "weight_map": {
            "a.weight": "model-2.safetensors",
            "b.weight": "model-1.safetensors",
            "c.bias": "model-1.safetensors",
        },
    }
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    return path, arrays, index


def test_shards_are_one_network(tmp_path):
    path, arrays, _ = shards(tmp_path / "in")
    net = ng.load(path)
    assert net.names == ("a", "b", "c.bias")
    for layer in net:
        np.testing.assert_array_equal(layer.array(), arrays[layer.path])
    mask, out = RNG.random((4, 4)) < 0.5, tmp_path / "out" / path.name
    ng.save(path, {"a": mask}, out)
    again = ng.load(out)
    np.testing.assert_array_equal(again["a"].array(), np.where(mask, arrays["a.weight"], 0))
    np.testing.assert_array_equal(again["b"].array(), arrays["b.weight"])
    assert sorted(p.name for p in out.parent.iterdir()) == sorted(
        p.name for p in path.parent.iterdir()
    )
    with pytest.raises(ng.FormatError, match="exists"):
        ng.save(path, {"a": mask}, path.parent / "other.safetensors.index.json")


@pytest.mark.parametrize(
    "shard", ["../in/model-1.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "x.bin", 5, ""]
)
def test_shards_outside_the_folder_are_refused(tmp_path, shard):
    path, _, index = shards(tmp_path / "in")
    index["weight_map"]["b.weight"] = shard
    path.write_text(json.dumps(index))
    with pytest.raises(ng.FormatError, match="own folder"):
        ng.load(path)


def test_an_index_that_lies(tmp_path):
    path, _, index = shards(tmp_path / "in")
    cases = [
        ({}, "holds no 'weight_map'"),
        ({"weight_map": {}}, "holds no 'weight_map'"),
        ([], "no JSON object"),
        ({"weight_map": index["weight_map"] | {"d": "model-1.safetensors"}}, "'d' .*not there"),
        ({"weight_map": {"a.weight": "model-2.safetensors"} | {
            "b.weight": "model-1.safetensors"}}, "hold 'c.bias': not in the index"),
        ({"weight_map": {"a.weight": "none.safetensors"}}, "none.safetensors' is missing"),
    ]  # fmt: skip
    for content, message in cases:
        path.write_text(json.dumps(content))
        with pytest.raises(ng.FormatError, match=message):
            ng.load(path)


@needs_data
def test_silero(tmp_path):
    path = Path(DATA) / "silero_vad" / "silero_vad_16k.safetensors"
    net = ng.load(path)
    assert len(net) == 8
    assert net.coverage.covered == 308_224
    assert net.coverage.fraction == pytest.approx(0.99545, abs=1e-5)
    masks = {layer.name: RNG.random(layer.shape) < 0.2 for layer in net}
    ng.save(net, masks, tmp_path / "out.safetensors")
    out = ng.load(tmp_path / "out.safetensors")
    for name, tensor in net.tensors.items():
        expected = np.array(tensor.read())
        mask = masks.get(name.removesuffix(".weight"))
        if mask is not None:
            expected[~mask] = 0
        assert out.tensors[name].read().tobytes() == expected.tobytes()
