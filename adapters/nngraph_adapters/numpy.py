"""NumPy's own files: ``.npz`` archives, single ``.npy`` files, and folders of them.

An archive's members are found by their headers; those that are stored uncompressed (``np.savez``)
are mapped, the others are read one by one. Nothing that is pickled is ever loaded. For networks
larger than memory a folder of ``.npy`` files is the best choice: every array is mapped.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

import nngraph as ng

_MAX_HEADER = 10_000  # NumPy's own limit, checked before the header is read
_MAX_RATIO, _MAX_EXPANDED = 100, 1 << 30  # beyond both, a compressed member counts as a bomb
_ERRORS = (
    ValueError, TypeError, EOFError, RuntimeError, OSError, MemoryError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class _Npz:
    """Archives of arrays, as ``np.savez`` and ``np.savez_compressed`` write them."""

    name = "npz"
    suffixes = (".npz",)

    def read(self, path: Path) -> ng.Network:
        """The arrays of an archive as a bag of weights."""
        return ng.from_tensors(_members(path), source=str(path))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy the archive member by member, masked members with zeros in them."""
        tensors = _members(source)
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
            for info in old.infolist():
                copy = zipfile.ZipInfo(info.filename, info.date_time)
                copy.compress_type, copy.external_attr = info.compress_type, info.external_attr
                copy.file_size = info.file_size  # so that a huge member gets 64-bit fields
                key = _key(info.filename)
                try:
                    with old.open(info) as reader, new.open(copy, "w") as writer:
                        _copy(reader, writer, tensors[key], masks.get(key))
                except (EOFError, zipfile.BadZipFile, zlib.error) as error:
                    raise ng.FormatError(f"{str(source)!r} is damaged: {error}") from error


class _Npy:
    """A single array; the layer is named as the file."""

    name = "npy"
    suffixes = (".npy",)

    def read(self, path: Path) -> ng.Network:
        """The array as a network of one layer."""
        return ng.from_tensors({path.stem: _stored_file(path)}, source=str(path))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy the array, zeros where the mask says so."""
        _copy_file(source, masks.get(source.stem), out)


class _Folder:
    """A folder of ``.npy`` files, each named as its tensor; other files in it are left alone."""

    name = "npy folder"
    suffixes = ()

    def read(self, path: Path) -> ng.Network:
        """The arrays of the folder as a bag of weights, in the natural order of their names."""
        tensors = {file.stem: _stored_file(file) for file in _files(path)}
        return ng.from_tensors(tensors, source=str(path))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy all arrays of the folder into `out`."""
        for file in _files(source):
            _copy_file(file, masks.get(file.stem), out / file.name)

    @staticmethod
    def folder_of(out: Path) -> Path:
        """A write makes the folder itself."""
        return out


NPZ, NPY, FOLDER = _Npz(), _Npy(), _Folder()


def _members(path: Path) -> dict[str, ng.StoredArray]:
    """Handles to the members of an archive, each checked by its header alone."""
    tensors: dict[str, ng.StoredArray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                key = _key(info.filename)
                what = f"member {info.filename!r} of {str(path)!r}"
                if not info.filename.endswith(".npy"):
                    raise ng.FormatError(f"{what} is no .npy array; an .npz file holds only these")
                if key in tensors:
                    raise ng.FormatError(f"{what} is there twice; keep one of them")
                tensors[key] = _stored_member(path, archive, info, what)
    except ng.FormatError:
        raise
    except _ERRORS as error:
        raise ng.FormatError(
            f"{str(path)!r} is no readable .npz archive (damaged, cut short, or something else): "
            f"{error}"
        ) from error
    if not tensors:
        raise ng.FormatError(f"{str(path)!r} holds no arrays")
    return tensors


def _key(filename: str) -> str:
    return filename.removesuffix(".npy")


def _stored_member(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str
) -> ng.StoredArray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise ng.FormatError(f"{what} is encrypted or compressed in a way NumPy does not use")
    if info.file_size > max(_MAX_EXPANDED, _MAX_RATIO * info.compress_size):
        raise ng.FormatError(
            f"{what} would grow from {info.compress_size:,} to {info.file_size:,} bytes; if that "
            "is meant, save it uncompressed (np.savez) or as a folder of .npy files"
        )
    with archive.open(info) as stream:
        shape, order, dtype, start = _header(stream, what)
    _check_span(what, shape, dtype, start, info.file_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return ng.StoredArray.at(path, shape, dtype.str, member=info.filename, order=order)
    with open(path, "rb") as file:  # the local header says where the data begin
        file.seek(info.header_offset)
        local = file.read(30)
    begin = info.header_offset + 30
    begin += int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    if begin + info.file_size > os.path.getsize(path) or info.compress_size != info.file_size:
        raise ng.FormatError(f"{what} reaches beyond the end of the file")
    return ng.StoredArray.at(path, shape, dtype.str, offset=begin + start, order=order)


def _files(folder: Path) -> list[Path]:
    """The ``.npy`` files of a folder, ``layer2`` before ``layer10``."""
    files = [file for file in folder.iterdir() if file.suffix == ".npy" and file.is_file()]
    if not files:
        raise ng.FormatError(
            f"the folder {str(folder)!r} holds no .npy file; for other formats name a file in it"
        )
    natural = re.compile(r"(\d+)")
    return sorted(
        files, key=lambda file: [int(s) if s.isdecimal() else s for s in natural.split(file.stem)]
    )


def _stored_file(path: Path) -> ng.StoredArray:
    what = repr(str(path))
    with open(path, "rb") as stream:
        shape, order, dtype, start = _header(stream, what)
    _check_span(what, shape, dtype, start, os.path.getsize(path))
    return ng.StoredArray.at(path, shape, dtype.str, offset=start, order=order)


def _header(stream: BinaryIO, what: str) -> tuple[tuple[int, ...], str, np.dtype, int]:
    """Shape, order, type and length of a ``.npy`` header; its length is checked before reading."""
    readers = {
        (1, 0): (2, np.lib.format.read_array_header_1_0),
        (2, 0): (4, np.lib.format.read_array_header_2_0),
    }
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version} is for records, not for weights")
        width, reader = readers[version]
        length = stream.read(width)
        n = int.from_bytes(length, "little")
        if n > _MAX_HEADER:
            raise ValueError(f"its header claims {n:,} bytes")
        shape, fortran, dtype = reader(io.BytesIO(length + stream.read(n)), _MAX_HEADER)
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"its shape is {shape}")
    except _ERRORS as error:
        raise ng.FormatError(f"{what} is no readable .npy array: {error}") from error
    if dtype.hasobject:
        raise ng.FormatError(
            f"{what} holds pickled Python objects, which can run code when loaded; nngraph never "
            "loads them. Save plain arrays of numbers"
        )
    return shape, "F" if fortran else "C", dtype, 8 + width + n


def _check_span(what: str, shape: tuple[int, ...], dtype: np.dtype, start: int, size: int) -> None:
    need = start + prod(shape) * dtype.itemsize
    if need != size:
        raise ng.FormatError(
            f"{what} is {size:,} bytes long, but its header ({dtype}, shape {shape}) needs "
            f"{need:,}: it is cut short or damaged"
        )


def _copy_file(source: Path, mask: np.ndarray | None, out: Path) -> None:
    with open(source, "rb") as reader, open(out, "wb") as writer:
        _copy(reader, writer, _stored_file(source), mask)


def _copy(reader: BinaryIO, writer, stored: ng.StoredArray, mask: np.ndarray | None) -> None:
    """Copy one ``.npy`` stream: its header as it is, its data with zeros where `mask` is False."""
    if mask is not None:
        data = stored.masked(mask)
        *_, start = _header(reader, "the array to copy")
        reader.seek(0)
        writer.write(reader.read(start))
        writer.write(memoryview(data.view(np.uint8)))
    else:
        shutil.copyfileobj(reader, writer, 1 << 20)
    stored.check_unchanged()
