"""Tables and atomic files: round trips, printing, and what happens when things go wrong."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import pickle
import stat
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nngraph as ng
from nngraph import tables
from nngraph.tables import atomic_path, format_cell, require

TABLE = ng.Table(
    {
        "layer": ["fc1", "b<c>", ""],
        "edges": [12, 7, -3],
        "sigma": [1.5, math.nan, math.inf],
        "gap": [0.1, None, -math.inf],
        "sparse": [True, False, None],
        "nothing": [None, None, None],
    },
    title="three layers",
    notes=["fc1: a remark & more"],
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
columns = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.floats()), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=3, max_size=3),
    st.lists(texts, min_size=3, max_size=3),
)
any_table = st.dictionaries(texts, columns, min_size=1, max_size=4).map(ng.Table)


def same(one, two):
    if isinstance(one, float) and math.isnan(one):
        return isinstance(two, float) and math.isnan(two)
    return type(one) is type(two) and one == two


# --- what a table is --------------------------------------------------------------------------


def test_print():
    assert str(TABLE) == (
        "three layers\n"
        "layer  edges  sigma   gap  sparse  nothing\n"
        "fc1       12    1.5   0.1     yes\n"
        "b<c>       7    nan            no\n"
        "          -3    inf  -inf\n"
        "fc1: a remark & more"
    )
    assert repr(TABLE) == str(TABLE)
    html = TABLE._repr_html_()
    assert "b&lt;c&gt;" in html
    assert "<caption>three layers</caption>" in html
    assert "<p>fc1: a remark &amp; more</p>" in html


def test_empty_tables():
    assert str(ng.Table({})) == ""
    assert len(ng.Table({})) == 0
    assert str(ng.Table({"a": []})) == "a"
    assert ng.Table.from_records([]).to_records() == []


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, ""), (True, "yes"), (1234567, "1234567"), (1234567.0, "1.23457e+06"), ("x", "x"),
     (0.1 + 0.2, "0.3"), (math.nan, "nan"), (-0.0, "-0")],
)  # fmt: skip
def test_cells(value, cell):
    assert format_cell(value) == cell


def test_a_table_is_frozen_and_holds_plain_python():
    data = [np.float32(0.5), np.int64(2), np.bool_(True), np.array(3.0)]
    table = ng.Table({"a": data})
    assert [type(v) for v in table["a"]] == [float, int, bool, float]
    data.append(7)
    assert len(table) == 4
    with pytest.raises(AttributeError):
        table.title = "x"
    with pytest.raises(TypeError):
        table.columns["b"] = ()
    again = pickle.loads(pickle.dumps(TABLE))  # noqa: S301
    assert str(again) == str(TABLE)
    with pytest.raises(TypeError):
        again.columns["b"] = ()


def test_rows_and_columns():
    assert TABLE["edges"] == (12, 7, -3)
    assert next(iter(TABLE))["layer"] == "fc1"
    assert ng.Table.from_records(TABLE.to_records(), title=TABLE.title).to_dict().keys() == (
        TABLE.to_dict().keys()
    )
    uneven = ng.Table.from_records([{"a": 1}, {"b": 2}])
    assert uneven.to_dict() == {"a": [1, None], "b": [None, 2]}
    with pytest.raises(KeyError, match="no column 'edge'; there are"):
        TABLE["edge"]
    with pytest.raises(ng.GraphError, match=r"differ in length: {'a': 1, 'b': 2}"):
        ng.Table({"a": [1], "b": [1, 2]})


# --- round trips ------------------------------------------------------------------------------


def read_json(path):
    def back(value):
        return float(value) if value in ("nan", "inf", "-inf") else value

    found = json.loads(path.read_text(encoding="utf-8"))
    return found, [{k: back(v) for k, v in row.items()} for row in found["records"]]


def test_json(tmp_path):
    TABLE.to_json(tmp_path / "t.json")
    found, rows = read_json(tmp_path / "t.json")
    assert found["title"] == TABLE.title
    assert found["notes"] == list(TABLE.notes)
    for mine, theirs in zip(TABLE, rows, strict=True):
        assert list(mine) == list(theirs)
        assert all(same(mine[k], theirs[k]) for k in mine)


@given(any_table)
def test_csv(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "t.csv"
    table.to_csv(path)
    with open(path, newline="", encoding="utf-8") as stream:
        names, *rows = csv.reader(stream)
    assert names == list(table.columns)
    for row, theirs in zip(table, rows, strict=True):
        for value, text in zip(row.values(), theirs, strict=True):
            if isinstance(value, float):
                assert same(value, float(text))  # all digits
            else:
                assert text == ("" if value is None else str(value))


@given(any_table)
def test_parquet(tmp_path_factory, table):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.getbasetemp() / "t.parquet"
    table.to_parquet(path)
    found = parquet.read_table(path).to_pydict()
    assert list(found) == list(table.columns)
    for name, column in found.items():
        assert all(map(same, table[name], column))


def test_parquet_of_columns_that_mix_types(tmp_path):
    pytest.importorskip("pyarrow")
    ng.Table({"a": [1, 2.5, None]}).to_parquet(tmp_path / "t.parquet")
    for column in ([1, "x"], [True, 1.5], [2**70]):
        with pytest.raises(ng.FormatError, match="column 'a' cannot be written to Parquet"):
            ng.Table({"a": column}).to_parquet(tmp_path / "u.parquet")
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame = TABLE.to_pandas()
    assert list(frame) == list(TABLE.columns)
    assert frame["edges"].tolist() == [12, 7, -3]
    assert frame["layer"].tolist() == ["fc1", "b<c>", ""]
    assert pandas.isna(frame["gap"][1])
    assert np.isinf(frame["sigma"][2])


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["to_csv", "to_json", "to_parquet"])
def test_files_are_replaced_only_where_asked(tmp_path, method):
    out = tmp_path / "t.out"
    out.write_text("old")
    with pytest.raises(ng.FormatError, match="exists; choose another name"):
        getattr(TABLE, method)(out, overwrite=False)
    assert out.read_text() == "old"
    getattr(TABLE, method)(str(out))
    assert out.read_bytes() != b"old"
    with pytest.raises(ng.FormatError, match=r"the folder .* does not exist; make it first"):
        getattr(TABLE, method)(tmp_path / "no" / "t.out")
    assert os.listdir(tmp_path) == ["t.out"]


@pytest.mark.parametrize("folder", [False, True])
def test_atomic_path(tmp_path, folder):
    out = tmp_path / "out.x"
    with atomic_path(out, folder=folder) as path:
        assert path.parent == tmp_path
        assert path.suffix == ".x"
        assert path.is_dir() == folder
        (path / "part" if folder else path).write_text("new")
        assert not out.exists()
    assert (out / "part" if folder else out).read_text() == "new"
    assert os.listdir(tmp_path) == ["out.x"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(out.stat().st_mode) == (0o777 if folder else 0o666) & ~umask


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("error", "seen", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ng.FormatError, "No space left"),
        (PermissionError(13, "Permission denied"), ng.FormatError, "Permission denied"),
        (RuntimeError("stop"), RuntimeError, "stop"),
        (KeyboardInterrupt("now"), KeyboardInterrupt, "now"),
        (ng.MissingFileError("gone"), ng.MissingFileError, "^gone$"),
    ],
    ids=str,
)
def test_nothing_is_left_of_a_file_that_failed(tmp_path, folder, error, seen, message):
    def fail():
        with atomic_path(tmp_path / "out", folder=folder) as path:
            (path / "part" if folder else path).write_text("half")
            raise error

    with pytest.raises(seen, match=message):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_file_that_came_meanwhile_stays(tmp_path):
    out = tmp_path / "out"

    def race():
        with atomic_path(out) as path:
            path.write_text("mine")
            out.write_text("theirs")

    with pytest.raises(ng.FormatError, match="was made meanwhile"):
        race()
    assert out.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["out"]


def test_require(monkeypatch):
    assert require("json", "json") is json
    with pytest.raises(ng.MissingExtraError, match=r"pip install 'nngraph\[plot\]'"):
        require("no_such_module_at_all", "plot")
    with pytest.raises(ng.MissingExtraError):
        require("no_such_module_at_all.part", "plot")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ng.MissingExtraError, match="pandas"):
        TABLE.to_pandas()


def test_an_error_inside_an_extra_is_its_own(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as caught:
        tables.require("broken_extra", "plot")
    assert not isinstance(caught.value, ng.MissingExtraError)


def test_names_as_long_as_the_system_takes(tmp_path):
    ng.Table({"a": [1]}).to_csv(tmp_path / ("x" * 251 + ".csv"))
    with pytest.raises(ng.FormatError, match="File name too long"):
        ng.Table({"a": [1]}).to_csv(tmp_path / ("x" * 252 + ".csv"))
    assert len(list(tmp_path.iterdir())) == 1


def test_tables_are_equal_bit_by_bit():
    table = ng.Table({"a": [1.0, float("nan")], "b": ["x", None]}, title="t", notes=["n"])
    assert table == ng.Table({"a": [1.0, float("nan")], "b": ["x", None]}, title="t", notes=["n"])
    assert table != ng.Table({"a": [1.0 + 2**-52, float("nan")], "b": ["x", None]}, title="t")
    assert table != ng.Table({"b": ["x", None], "a": [1.0, float("nan")]}, title="t", notes=["n"])
    assert ng.Table({"a": [1]}) != ng.Table({"a": [1.0]})
    assert table != 3


def test_control_characters_of_names_are_shown_and_not_sent():
    table = ng.Table({"layer": ["a\x1b[31m\n\tb", "é中"]}, title="t\x07", notes=["n\r"])
    assert str(table).splitlines() == ["t\\x07", "layer", r"a\x1b[31m\n\tb", "é中", r"n\r"]
    assert table["layer"][0] == "a\x1b[31m\n\tb"
