"""Edges to layer graphs, and checks of what users pass."""

from __future__ import annotations

from operator import index

import numpy as np
from scipy.sparse import csr_array

from .._errors import GraphError
from ..graph import LayerGraph


def from_keys(keys: np.ndarray, n_out: int, n_in: int, name: str) -> LayerGraph:
    """The graph with weights 1 of sorted, distinct keys ``output * n_in + input``."""
    rows, columns = np.divmod(keys, n_in)
    return from_columns(np.bincount(rows, minlength=n_out), columns, n_in, name)


def from_columns(counts, columns, n_in: int, name: str) -> LayerGraph:
    """The graph with weights 1 of the inputs of each output in turn, `counts` of them each."""
    indptr = np.concatenate([[0], np.cumsum(counts)])
    if n_in <= np.iinfo(np.int32).max >= indptr[-1]:
        indptr, columns = indptr.astype(np.int32), np.asarray(columns).astype(np.int32)
    parts = (np.ones(len(columns)), columns, indptr)
    return LayerGraph(csr_array(parts, shape=(len(counts), n_in)), name)


def count(value, what: str, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise GraphError(f"{what} must be an integer of at least {least}, got {value!r}")
    return number


def sides(n_out, n_in) -> tuple[int, int]:
    """Two numbers of vertices, few enough for a pair of them to have a number."""
    n_out, n_in = count(n_out, "n_out"), count(n_in, "n_in")
    if n_out * n_in >= 2**63:
        raise GraphError(f"{n_out} outputs and {n_in} inputs are too many: 2^63 pairs or more")
    return n_out, n_in


def prime(value, what: str) -> int:
    """`value` as a prime number."""
    q = count(value, what, 2)
    if q > 10**6:
        raise GraphError(f"{what} = {q} is too large; 10^6 is the most")
    if any(q % d == 0 for d in range(2, int(q**0.5) + 1)):
        below = next(n for n in range(q, 1, -1) if all(n % d for d in range(2, int(n**0.5) + 1)))
        raise GraphError(f"{what} must be a prime number, got {q}; the one below is {below}")
    return q
