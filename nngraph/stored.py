"""Arrays that stay in their file until they are read: small, picklable, and never cached."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from ._errors import FileChangedError, FormatError

# Types that NumPy lacks, by the name that checkpoints use, with the raw bits behind.
RAW_TYPES = {"bfloat16": np.uint16, "float8_e4m3fn": np.uint8, "float8_e5m2": np.uint8}


def widen(bits, dtype: str) -> np.ndarray:
    """float32 values, exact, of numbers of a type in ``RAW_TYPES`` given as raw bits.

    Parameters
    ----------
    bits : ndarray of uint16 or uint8
    dtype : {"bfloat16", "float8_e4m3fn", "float8_e5m2"}
        The 8-bit types are those of Micikevicius et al. (2022), arXiv:2209.05433: E5M2 with
        infinities as in IEEE 754, E4M3 without, so that only the two codes of all ones are NaN.

    Returns
    -------
    ndarray of float32
    """
    bits = np.asarray(bits)
    if dtype == "bfloat16":
        return np.left_shift(bits, 16, dtype=np.uint32).view(np.float32)
    if dtype == "float8_e5m2":
        return np.left_shift(bits, 8, dtype=np.uint16).view(np.float16).astype(np.float32)
    return _E4M3[bits]


def _e4m3_values() -> np.ndarray:
    """The 256 values of float8_e4m3fn: sign, 4 bits of exponent (bias 7), 3 of mantissa."""
    code = np.arange(128)
    exponent, mantissa = code >> 3, code & 7
    normal = np.ldexp(8.0 + mantissa, exponent - 10)
    positive = np.where(exponent > 0, normal, np.ldexp(1.0 * mantissa, -9))
    positive[127] = np.nan
    return np.concatenate([positive, -positive]).astype(np.float32)


_E4M3 = _e4m3_values()

# What a damaged or lying zip member may raise, or the .npy header in it; they share no base class.
ZIP_ERRORS = (
    OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, MemoryError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class StoredArray:
    """One array in a file: where it lies, its shape and type, and the file's size and time.

    Parameters
    ----------
    path : str
        The file.
    shape : tuple of int
        The array's shape; known without reading.
    dtype : str
        A NumPy type string (``"<f4"``), or a key of ``RAW_TYPES`` (``"bfloat16"``).
    offset : int, optional
        Where its bytes begin, for arrays that can be mapped.
    member : str, optional
        The member of a zip archive (``.npz``) that holds it as ``.npy``; `offset` is not used then.
    file_size, mtime_ns : int
        The file's size and time when it was opened; reading a file that changed since then raises.
    order : {"C", "F"}, optional
        Whether the last axis runs fastest in the file, or the first.

    See Also
    --------
    StoredArray.at : the constructor that fills in the file's size and time.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    offset: int = 0
    member: str | None = None
    file_size: int = -1
    mtime_ns: int = -1
    order: str = "C"

    @classmethod
    def at(cls, path, shape, dtype, *, offset=0, member=None, order="C") -> StoredArray:
        """The array at `path`, with the file's present size and time recorded."""
        stat = os.stat(path)
        return cls(
            str(Path(path).resolve()),
            tuple(int(n) for n in shape),
            str(dtype),
            int(offset),
            member,
            stat.st_size,
            stat.st_mtime_ns,
            order,
        )

    @property
    def size(self) -> int:
        """The number of entries."""
        return prod(self.shape)

    def read(self) -> np.ndarray:
        """The array, read-only: memory-mapped where the file allows it, else a fresh copy.

        A copy is made of members of a compressed archive, of types that NumPy lacks (which become
        float32), and of arrays that begin at an address that their type does not allow.

        Raises
        ------
        FileChangedError
            The file is gone, or its size or time is not what it was when it was opened.
        FormatError
            The bytes cannot be read as this array.
        """
        array = self.bits()
        if self.dtype in RAW_TYPES:
            array = widen(array, self.dtype)
        elif not array.flags.aligned:
            array = np.array(array)  # in the same order
        array.flags.writeable = False
        return array

    def bits(self) -> np.ndarray:
        """The array as it is stored, read-only: raw bits for the types that NumPy lacks."""
        self.check_unchanged()
        array = self._map() if self.member is None else self._read_member()
        self.check_unchanged()
        owner = array
        while isinstance(owner, np.ndarray):  # nobody else holds what it is a view of
            owner.flags.writeable = False
            owner = owner.base
        return array

    def masked(self, mask) -> np.ndarray:
        """The entries in the file's order, +0 where `mask` is False and bit for bit the same else.

        Parameters
        ----------
        mask : ndarray of bool
            Of the array's shape.

        Returns
        -------
        ndarray, shape (size,)
            Of the stored type; what an adapter writes in place of the old entries.
        """
        array = np.array(self.bits(), order=self.order, subok=False)
        self.check_unchanged()
        array[~np.asarray(mask)] = 0
        return array.reshape(-1, order=self.order)

    def check_unchanged(self) -> None:
        """Raise FileChangedError unless the file has the size and time it was opened with."""
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise FileChangedError(
                f"{self.path!r} cannot be read any more ({error}); load it again"
            ) from error
        if (stat.st_size, stat.st_mtime_ns) != (self.file_size, self.mtime_ns):
            raise FileChangedError(f"{self.path!r} changed after it was opened; load it again")

    def _map(self) -> np.ndarray:
        dtype = np.dtype(RAW_TYPES.get(self.dtype, self.dtype))
        if not self.size:
            return np.zeros(self.shape, dtype)  # an empty span cannot be mapped
        try:
            return np.memmap(self.path, dtype, "r", self.offset, self.shape, self.order)
        except (OSError, ValueError) as error:
            raise FormatError(f"cannot map an array of {self.path!r}: {error}") from error

    def _read_member(self) -> np.ndarray:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except ZIP_ERRORS as error:
            raise FormatError(f"cannot read {self.member!r} of {self.path!r}: {error}") from error
