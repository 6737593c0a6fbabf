"""Safetensors files, single or sharded: memory-mapped, and checked before anything is believed.

The layout is 8 bytes of header length (little endian), a JSON header that maps each tensor to its
type, shape and span, then the data; no package is needed to read it. Every check of the reference
implementation is made: the header's size, no name twice, known types, spans that fit shape and
type, follow one another without overlap or hole, and end where the file ends.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

import nngraph as ng

_MAX_HEADER = 100_000_000  # bytes; the reference implementation's limit
_MAX_AXES = 64  # NumPy's limit
_TYPES = {  # name in the file: StoredArray's name, bytes
    "F64": ("<f8", 8), "F32": ("<f4", 4), "F16": ("<f2", 2), "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1), "C64": ("<c8", 8),
    "I64": ("<i8", 8), "I32": ("<i4", 4), "I16": ("<i2", 2), "I8": ("|i1", 1),
    "U64": ("<u8", 8), "U32": ("<u4", 4), "U16": ("<u2", 2), "U8": ("|u1", 1), "BOOL": ("|b1", 1),
}  # fmt: skip


class _Safetensors:
    """One file."""

    name = "safetensors"
    suffixes = (".safetensors",)

    def read(self, path: Path) -> ng.Network:
        """The tensors of the file as a bag of weights; only the header is read."""
        return ng.from_tensors(_tensors(path), source=str(path))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy the file, tensor by tensor, with zeros where the masks say so."""
        tensors = _tensors(source)
        with open(source, "rb") as reader, open(out, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            for path, mask in masks.items():
                writer.seek(tensors[path].offset)
                writer.write(memoryview(tensors[path].masked(mask).view(np.uint8)))
        for stored in tensors.values():
            stored.check_unchanged()


class _Sharded:
    """An index that names the shard of every tensor, all in one folder."""

    name = "safetensors, sharded"
    suffixes = (".safetensors.index.json",)

    def read(self, path: Path) -> ng.Network:
        """The tensors of all shards as one bag of weights; only headers are read."""
        shards = {shard: _tensors(path.parent / shard) for shard in _shards(path)}
        tensors = {}
        for tensor, shard in _index(path).items():
            if tensor not in shards[shard]:
                raise ng.FormatError(f"{str(path)!r} puts {tensor!r} into {shard!r}: not there")
            tensors[tensor] = shards[shard][tensor]
        extra = [tensor for shard in shards.values() for tensor in shard if tensor not in tensors]
        if extra:
            raise ng.FormatError(f"the shards of {str(path)!r} hold {extra[0]!r}: not in the index")
        return ng.from_tensors(tensors, source=str(path))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy the index and all its shards into the new folder of `out`."""
        index = _index(source)
        for shard in _shards(source):
            mine = {path: mask for path, mask in masks.items() if index[path] == shard}
            FORMAT.write(source.parent / shard, mine, out.parent / shard)
        shutil.copyfile(source, out)

    @staticmethod
    def folder_of(out: Path) -> Path:
        """A write makes the folder around the index."""
        return out.parent


FORMAT, SHARDED = _Safetensors(), _Sharded()


def _index(path: Path) -> dict[str, str]:
    """The shard of each tensor; shards lie beside the index, nowhere else."""
    if os.path.getsize(path) > _MAX_HEADER:
        raise ng.FormatError(f"{str(path)!r} is too large for an index")
    content = _json(path.read_bytes(), path)
    index = content.get("weight_map")
    if not isinstance(index, dict) or not index:
        raise ng.FormatError(f"{str(path)!r} holds no 'weight_map' of tensors to shards")
    for shard in index.values():
        if not isinstance(shard, str) or shard != os.path.basename(shard) or "\\" in shard or (
            not shard.endswith(".safetensors")
        ):
            raise ng.FormatError(
                f"{str(path)!r} names the shard {shard!r}; shards are .safetensors files in the "
                "index's own folder"
            )
    return index


def _shards(path: Path) -> list[str]:
    names = list(dict.fromkeys(_index(path).values()))
    for shard in names:
        if not (path.parent / shard).is_file():
            raise ng.MissingFileError(f"the shard {str(path.parent / shard)!r} is missing")
    return names


def _tensors(path: Path) -> dict[str, ng.StoredArray]:
    """Handles to the tensors of one file, in the file's order; the header is checked in full."""
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(8)
        n = int.from_bytes(head, "little")
        if len(head) < 8 or n < 2 or n > _MAX_HEADER or 8 + n > size:
            raise ng.FormatError(
                f"{str(path)!r} is no safetensors file or is cut short: its header claims {n:,} "
                f"bytes, the file has {size:,} and the limit is {_MAX_HEADER:,}"
            )
        data = stream.read(n)
        header = _json(data, path)
    if not data.startswith(b"{"):
        raise ng.FormatError(f"the header of {str(path)!r} begins with a blank, not with a brace")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ng.FormatError(f"{str(path)!r}: its __metadata__ must map strings to strings")
    if not header:
        raise ng.FormatError(f"{str(path)!r} holds no tensors")
    spans = {name: _span(path, name, entry) for name, entry in header.items()}
    end = 0
    for name, (_, _, begin, stop) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if begin != end:
            problem = "overlaps the tensor before it" if begin < end else "leaves a hole before it"
            raise ng.FormatError(f"{str(path)!r} lies: tensor {name!r} {problem}")
        end = stop
    if 8 + n + end != size:
        raise ng.FormatError(
            f"{str(path)!r} has {size:,} bytes where its header asks for {8 + n + end:,}: it is "
            "cut short, or something is appended"
        )
    return {
        name: ng.StoredArray.at(path, shape, dtype, offset=8 + n + begin)
        for name, (shape, dtype, begin, _) in sorted(spans.items(), key=lambda item: item[1][2:])
    }


def _span(path: Path, name: str, entry) -> tuple[tuple[int, ...], str, int, int]:
    """Shape, type, begin and end of one tensor, as its header entry states them."""
    what = f"tensor {name!r} of {str(path)!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ng.FormatError(f"{what}: the header must give dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(v) is int and v >= 0 for v in numbers):
            raise ng.FormatError(f"{what}: shape and data_offsets must be lists of integers >= 0")
    if len(shape) > _MAX_AXES:
        raise ng.FormatError(f"{what} has {len(shape)} axes; at most {_MAX_AXES} are possible")
    if entry["dtype"] not in list(_TYPES):
        raise ng.FormatError(
            f"{what} has the unknown type {entry['dtype']!r}; known are {', '.join(_TYPES)}"
        )
    dtype, itemsize = _TYPES[entry["dtype"]]
    if len(offsets) != 2 or offsets[1] - offsets[0] != prod(shape) * itemsize:
        raise ng.FormatError(
            f"{what} lies: shape {shape} of {entry['dtype']} does not fill the span {offsets}"
        )
    return tuple(shape), dtype, offsets[0], offsets[1]


def _json(data: bytes, path: Path) -> dict:
    def unique(pairs: list) -> dict:
        content = dict(pairs)
        if len(content) < len(pairs):
            [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
            raise ng.FormatError(f"{str(path)!r} lies: {twice!r} is there twice")
        return content

    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except ng.FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise ng.FormatError(f"the header of {str(path)!r} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ng.FormatError(f"the header of {str(path)!r} is no JSON object")
    return content
