"""Every name leads to papers that exist in the bibliography, and unknown ones to a hint."""

from __future__ import annotations

import re

import pytest

import nngraph as ng
from nngraph import citations


def test_every_key_is_in_the_bibliography_and_every_entry_is_used():
    used = {key for keys in citations._PAPERS.values() for key in keys.split()}
    assert used | {"nngraph"} == set(citations.bibliography())


@pytest.mark.parametrize("key", citations.bibliography())
def test_entries_are_whole(key):
    entry = citations.bibliography()[key]
    assert re.match(rf"@\w+\{{{key},\n", entry)
    assert entry.endswith("\n}")
    assert entry.count("{") == entry.count("}")
    fields = re.findall(r"^  (\w+) = \{.*\},$", entry, re.M)
    assert len(fields) == len(entry.splitlines()) - 2, "one field per line"
    assert {"author", "title", "year"} <= set(fields)
    year = int(re.search(r"year = \{(\d+)\}", entry)[1])
    assert 1940 < year < 2030
    if key != "nngraph":
        assert key.endswith(str(year)) or str(year) in key


def test_cite_gives_the_papers_and_nngraph_with_its_version():
    text = ng.cite("effective_resistance")
    assert "Spielman" in text
    assert f"version = {{{ng.__version__}}}" in text
    assert text.count("\n@") == 1


@pytest.mark.parametrize(
    "names", [("erdos_renyi", "ErdosRenyi"), ("ispasp", "ISpaSP", "i-SpaSP"), ("erk", "ERK")]
)
def test_a_method_and_its_class_have_the_same_papers(names):
    assert len({ng.cite(name) for name in names}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "spectral", "spectral_sparsify", "ramanujan_gap", "universal_cover", "full_spectrum",
        "pags", "pegs", "ERK", "Magnitude", "singular_values", "ollivier_ricci", "forman",
        "lin_lu_yau", "neural_curvature", "ispasp",
    ],
)
def test_the_names_of_the_contract_are_known(name):
    assert ng.cite(name).count("@") >= 2


def test_every_registered_method_can_be_cited():
    for name in ng.methods()["name"]:
        assert "@software{nngraph" in ng.cite(name)
    for key in filter(None, ng.methods()["paper"]):
        assert ng.cite(key).count("@") >= 2


def test_a_public_name_without_a_paper_gives_nngraph_alone():
    assert ng.cite("Table") == ng.cite() == ng.cite("nngraph")


def test_an_unknown_name_suggests_close_ones():
    with pytest.raises(ng.GraphError, match="did you mean 'pags'"):
        ng.cite("pagss")
    with pytest.raises(ng.GraphError, match="nothing is known by the name ''"):
        ng.cite("")
    with pytest.raises(ng.GraphError, match="got 3"):
        ng.cite(3)
