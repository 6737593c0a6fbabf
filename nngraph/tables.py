"""Frozen results that print as aligned tables and go on to pandas, CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import html
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ._errors import FormatError, GraphError, MissingExtraError


def require(module: str, extra: str):
    """Import an optional module, or name the extra that brings it.

    Raises
    ------
    MissingExtraError
        The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs {module}, which is not installed: pip install 'nngraph[{extra}]'"
        ) from None


@contextmanager
def atomic_path(out, *, overwrite: bool = False, folder: bool = False) -> Iterator[Path]:
    """A temporary path beside `out` that becomes `out` on success and vanishes on any error.

    With `folder`, the temporary path is an empty folder instead of an empty file.

    Raises
    ------
    FormatError
        `out` exists and `overwrite` is False, its folder does not exist, or the system refuses to
        write (a full disk, a missing right); then `out` is as it was.
    """
    out = Path(out)
    temporary = None
    try:
        if out.exists() and not overwrite:
            raise FormatError(f"{str(out)!r} exists; choose another name or remove it first")
        if not out.parent.is_dir():
            raise FormatError(f"the folder {str(out.parent)!r} does not exist; make it first")
        temporary = _temporary_beside(out, folder)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        # mkstemp and mkdtemp make it private; a result is not
        temporary.chmod((0o777 if folder else 0o666) & ~umask)
        if out.exists() and not overwrite:
            raise FormatError(f"{str(out)!r} was made meanwhile; choose another name")
        os.replace(temporary, out)
    except OSError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"cannot write {str(out)!r}: {error}; nothing was changed. Free some space or choose "
            "another folder"
        ) from error
    finally:
        if temporary is not None:
            if folder:
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def _temporary_beside(out: Path, folder: bool) -> Path:
    # A short prefix, so that there is room for it beside the longest names.
    options = {"dir": out.parent, "prefix": ".nngraph-", "suffix": out.suffix}
    if folder:
        return Path(tempfile.mkdtemp(**options))
    handle, name = tempfile.mkstemp(**options)
    os.close(handle)
    return Path(name)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length with names, an optional title, and notes printed below.

    Parameters
    ----------
    columns : mapping of str to sequence
        In order. Entries are str, int, float, bool or None; NumPy's scalars become Python's.
    title : str, optional
    notes : sequence of str, optional
        Reasons, counts, remarks that belong to the numbers.

    Examples
    --------
    >>> import nngraph as ng
    >>> print(ng.Table({"layer": ["fc1", "fc2"], "sigma_1": [3.25, 1.0]}))
    layer  sigma_1
    fc1       3.25
    fc2          1
    """

    columns: Mapping[str, Sequence[Any]]
    title: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        columns = {name: tuple(_plain(v) for v in col) for name, col in self.columns.items()}
        if len({len(column) for column in columns.values()}) > 1:
            lengths = {name: len(column) for name, column in columns.items()}
            raise GraphError(f"columns differ in length: {lengths}")
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "notes", tuple(self.notes))

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]], **options) -> Table:
        """A table of one row per mapping; a name that a row lacks is None there."""
        names = list(dict.fromkeys(name for record in records for name in record))
        return cls({name: [r.get(name) for r in records] for name in names}, **options)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __eq__(self, other) -> bool:
        """Whether both print alike and hold the same bits; NaN equals NaN."""
        if not isinstance(other, Table):
            return NotImplemented
        return (self.title, self.notes) == (other.title, other.notes) and (
            # repr tells all floats apart and is the same for each NaN
            [(name, *map(repr, column)) for name, column in self.columns.items()]
            == [(name, *map(repr, column)) for name, column in other.columns.items()]
        )

    __hash__ = None

    def __getitem__(self, name: str) -> tuple:
        if name not in self.columns:
            raise KeyError(f"no column {name!r}; there are {list(self.columns)}")
        return self.columns[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each as a dict."""
        for row in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, row, strict=True))

    def __reduce__(self):
        return type(self), (dict(self.columns), self.title, self.notes)

    def to_records(self) -> list[dict[str, Any]]:
        """The rows as a list of dicts."""
        return list(self)

    def to_dict(self) -> dict[str, list]:
        """The columns as a dict of lists."""
        return {name: list(column) for name, column in self.columns.items()}

    def to_pandas(self):
        """A pandas data frame (extra ``pandas``)."""
        return require("pandas", "pandas").DataFrame(self.to_dict())

    def to_csv(self, out, *, overwrite: bool = True) -> None:
        """Write a CSV file, atomically; numbers keep all digits, None is empty."""

        def write(path: Path) -> None:
            with open(path, "w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(self.columns)
                writer.writerows(zip(*self.columns.values(), strict=True))

        self._write(out, overwrite, write)

    def to_json(self, out, *, overwrite: bool = True) -> None:
        """Write a JSON file, atomically: title, notes, records; NaN and infinities as strings."""
        rows = [
            {k: repr(v) if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()}
            for row in self
        ]
        text = json.dumps(
            {"title": self.title, "notes": list(self.notes), "records": rows},
            indent=1, allow_nan=False,
        )
        self._write(out, overwrite, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def to_parquet(self, out, *, overwrite: bool = True) -> None:
        """Write a Parquet file, atomically (extra ``parquet``); a column holds one type or None."""
        arrow = require("pyarrow", "parquet")
        parquet = require("pyarrow.parquet", "parquet")
        arrays = {}
        for name, column in self.columns.items():
            try:
                arrays[name] = arrow.array(column)
            except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError) as error:
                raise FormatError(
                    f"column {name!r} cannot be written to Parquet: {error}; write CSV or JSON"
                ) from None
        table = arrow.table(arrays)
        self._write(out, overwrite, lambda path: parquet.write_table(table, path))

    @staticmethod
    def _write(out, overwrite: bool, write: Callable[[Path], Any]) -> None:
        with atomic_path(out, overwrite=overwrite) as path:
            write(path)

    def cells(self) -> list[list[str]]:
        """The rows as strings, as they print."""
        return [[format_cell(value) for value in row.values()] for row in self]

    def numeric(self) -> list[bool]:
        """For each column, whether it holds numbers only (and is aligned to the right)."""
        return [
            all(v is None or isinstance(v, (int, float)) for v in column)
            for column in self.columns.values()
        ]

    def __str__(self) -> str:
        rows = [list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        right = self.numeric()
        lines = [
            "  ".join(
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]
        title = [printable(self.title)] if self.title else []
        return "\n".join([*title, *lines, *map(printable, self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        right = self.numeric()

        def line(tag: str, cells: Sequence[str]) -> str:
            return "<tr>" + "".join(
                f'<{tag} style="text-align:{"right" if r else "left"}">{html.escape(c)}</{tag}>'
                for c, r in zip(cells, right, strict=True)
            ) + "</tr>"

        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        body = "".join(line("td", row) for row in self.cells())
        return f"<table>{caption}{line('th', list(self.columns))}{body}</table>{notes}"


def format_cell(value: Any) -> str:
    """One entry as it prints: six significant digits, thousands of an int together, None empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def printable(text: str) -> str:
    """Control characters as escapes: names come from files, and must not steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _plain(value: Any) -> Any:
    """Python's own type for a NumPy scalar."""
    return value.item() if hasattr(value, "item") else value
