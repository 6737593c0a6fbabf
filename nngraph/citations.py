"""cite: BibTeX of the papers behind a public name, and of nngraph."""

from __future__ import annotations

from importlib import resources

from ._errors import GraphError, did_you_mean

# A public name, a pruning method or a construction: keys of data/references.bib.
_PAPERS = {
    "effective_resistance": "spielman2011",
    "spectral": "laenen2023 spielman2011",
    "spectral_sparsify": "spielman2011 batson2012 kyng2018 wilson1996",
    "entrywise_sampling": "achlioptas2013",
    "spanning_tree": "wilson1996",
    "commute_time": "luxburg2014",
    "singular_values": "kuczynski1992",
    "ramanujan_bound": "feng1996 marcus2015",
    "ramanujan_gap": "lubotzky1988 feng1996 hoang2023lens",
    "universal_cover": "hoory2005",
    "imdb": "hoang2023lens",
    "full_spectrum": "hoang2023topology hoang2023lens",
    "pags": "hoang2023topology",
    "pegs": "hoang2023topology",
    "magnitude": "han2015",
    "erdos_renyi": "mocanu2018",
    "erk": "evci2020 mocanu2018",
    "set": "mocanu2018",
    "rigl": "evci2020",
    "itop": "liu2021",
    "snip": "lee2019",
    "grasp": "wang2020",
    "synflow": "tanaka2020",
    "lottery_ticket": "frankle2019",
    "early_bird": "you2020",
    "greedy_forward_selection": "ye2020",
    "thinet": "luo2017",
    "channel_pruning": "he2017",
    "nisp": "yu2018",
    "ispasp": "wolfe2022 needell2009",
    "ollivier_ricci": "ollivier2009",
    "lin_lu_yau": "lin2011 bourne2018",
    "ricci_bounds": "jost2014 bhattacharya2015",
    "ricci_flow": "ni2019",
    "forman": "forman2003 topping2022 samal2018",
    "resistance_curvature": "devriendt2022",
    "neural_curvature": "tan2026 ollivier2009",
    "lps": "lubotzky1988",
    "interlacing_lift": "marcus2015",
    "x_net": "prabhu2018",
    "radix_net": "kepner2019",
    "ramanujan_product": "vooturi2020",
}


def cite(name: str = "nngraph") -> str:
    """BibTeX of the papers behind a name of nngraph, and of nngraph itself.

    Parameters
    ----------
    name : str, optional
        A public function or class, a pruning method, or a key of the bibliography; capitals and
        underscores do not matter. Default: nngraph alone.

    Returns
    -------
    str
        BibTeX entries, nngraph's own last. A public name without a paper gives that alone.

    Raises
    ------
    GraphError
        A name that nngraph does not know; the message suggests close ones.

    Examples
    --------
    >>> import nngraph as ng
    >>> print(ng.cite("effective_resistance"))
    @article{spielman2011,
      author = {Spielman, Daniel A. and Srivastava, Nikhil},
      title = {Graph Sparsification by Effective Resistances},
      journal = {SIAM Journal on Computing},
      volume = {40},
      number = {6},
      year = {2011},
    }
    <BLANKLINE>
    @software{nngraph,
      author = {{The nngraph developers}},
      title = {nngraph: numerical graph theory of neural networks},
      year = {2026},
      version = {...},
    }
    """
    entries = bibliography()
    keys = [*_keys(name, entries), "nngraph"]
    return "\n\n".join(entries[key] for key in dict.fromkeys(keys))


def bibliography() -> dict[str, str]:
    """Every entry of the bibliography that ships with nngraph, by key.

    Returns
    -------
    dict of str to str
        BibTeX; nngraph's own entry has its version.

    Examples
    --------
    >>> from nngraph.citations import bibliography
    >>> "spielman2011" in bibliography()
    True
    """
    from . import __version__

    path = resources.files(__package__) / "data" / "references.bib"
    found = {}
    for entry in path.read_text(encoding="utf-8").split("\n\n"):
        entry = entry.strip()
        found[entry[entry.index("{") + 1 : entry.index(",")]] = entry
    found["nngraph"] = f"{found['nngraph'][:-1]}  version = {{{__version__}}},\n}}"
    return found


def _keys(name: str, entries: dict[str, str]) -> list[str]:
    from . import __all__ as public

    if not isinstance(name, str):
        raise GraphError(f"cite takes a name such as 'effective_resistance', got {name!r}")
    wanted = _plain(name)
    for known, keys in _PAPERS.items():
        if _plain(known) == wanted:
            return keys.split()
    if name in entries:
        return [name]
    if wanted in map(_plain, public):
        return []
    raise GraphError(f"nothing is known by the name {name!r}{did_you_mean(name, _PAPERS)}")


def _plain(name: str) -> str:
    """A name without capitals, underscores and the like: ErdosRenyi is erdos_renyi."""
    return "".join(filter(str.isalnum, name)).lower()
