"""Arrays that stay in their file until they are read: small, picklable, and never cached."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from ._errors import FileChangedError, FormatError

# Types of 16 or 8 bits that NumPy lacks, by the name that checkpoints use, with the raw bits behind.
_RAW = {"bfloat16": np.uint16}


def widen_bfloat16(bits):
    """float32 values of bfloat16 numbers given as raw uint16 bits, exactly."""
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


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
        A NumPy type string (``"<f4"``), or ``"bfloat16"``.
    offset : int, optional
        Where its bytes begin (C order), for arrays that can be mapped.
    member : str, optional
        The member of a zip archive (``.npz``) that holds it as ``.npy``; `offset` is not used then.
    file_size, mtime_ns : int
        The file's size and time when it was opened; reading a file that changed since then raises.

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

    @classmethod
    def at(cls, path, shape, dtype, *, offset=0, member=None) -> StoredArray:
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
        )

    @property
    def size(self) -> int:
        """The number of entries."""
        return prod(self.shape)

    def read(self) -> np.ndarray:
        """The array, read-only: memory-mapped where the file allows it, else a fresh copy.

        Raises
        ------
        FileChangedError
            The file is gone, or its size or time is not what it was when it was opened.
        """
        self._check_unchanged()
        array = self._read_member() if self.member is not None else self._map()
        self._check_unchanged()
        array.flags.writeable = False
        return array

    def _map(self) -> np.ndarray:
        raw = _RAW.get(self.dtype)
        mapped = np.memmap(
            self.path, np.dtype(raw or self.dtype), "r", self.offset, self.shape
        ) if self.size else np.zeros(self.shape, raw or self.dtype)
        return widen_bfloat16(mapped) if self.dtype == "bfloat16" else mapped

    def _read_member(self) -> np.ndarray:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise FormatError(f"cannot read {self.member!r} of {self.path!r}: {error}") from error

    def _check_unchanged(self) -> None:
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise FileChangedError(
                f"{self.path!r} cannot be read any more ({error}); load it again"
            ) from error
        if (stat.st_size, stat.st_mtime_ns) != (self.file_size, self.mtime_ns):
            raise FileChangedError(f"{self.path!r} changed after it was opened; load it again")
