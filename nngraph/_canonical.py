"""Arrays as every graph and layer holds them: floating point, finite, read-only, canonical."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, issparse

from ._errors import ChainError, GraphError, MaskError, WeightError
from .stored import RAW_TYPES

_BLOCK_ENTRIES = 1 << 20  # entries of a dense array looked through at once


def check_mask(name: str, mask, shape) -> np.ndarray:
    """`mask` as a read-only bool array of `shape`."""
    mask = plain_array(mask, f"the mask of layer {name!r}", MaskError)
    if mask.dtype != bool or mask.shape != tuple(shape):
        raise MaskError(
            f"the mask of layer {name!r} must be bool of shape {tuple(shape)}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return freeze(mask.copy() if is_exposed(mask) else mask)


def plain_array(value, what: str, kind: type[GraphError]) -> np.ndarray:
    """`value` as an array; what is ragged, or hides entries as masked arrays do, raises `kind`."""
    if np.ma.isMaskedArray(value):
        raise kind(
            f"{what} is a masked array; pass nngraph.from_mask(a.data, ~a.mask), for a layer "
            "nngraph.Layer(name, a.data, mask=~a.mask), so that the mask says what there is"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch, for gradients
        raise kind(f"{what} is no rectangular array of numbers: {error}") from None


def check_weight_type(name: str, dtype, shape) -> None:
    if str(dtype) not in RAW_TYPES and np.dtype(dtype).kind != "f":
        raise WeightError(
            f"layer {name!r} holds {dtype} numbers; weights are real floating point "
            "(convert them with .astype(float) if these are weights)"
        )
    if len(shape) < 2 or 0 in shape:
        raise WeightError(
            f"layer {name!r} has shape {tuple(shape)}; a layer needs at least two axes "
            "(outputs, inputs, then the kernel) and no axis of size zero"
        )


def as_weights(array, what: str) -> np.ndarray:
    """A read-only, finite, floating-point version of `array`; copied only where it must be.

    What carries a dtype must be floating point; Python lists of numbers are taken as floats.
    """
    is_list = not hasattr(array, "dtype")
    array = plain_array(array, what, WeightError)
    if is_list and array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if str(array.dtype) in RAW_TYPES:  # the extension types of ml_dtypes, as JAX has them
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise WeightError(
            f"{what} holds {array.dtype} numbers; weights are real floating point: pass "
            "weights.astype(float), or for a mask nngraph.from_mask(weights, mask)"
        )
    with np.errstate(over="ignore"):  # of numbers beyond float64; the check below finds them
        kept = array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64, copy=False)
    check_finite(kept, what)
    if kept is array and is_exposed(kept):
        kept = kept.copy()
    kept.flags.writeable = False
    return kept


def is_exposed(array: np.ndarray) -> bool:
    """Whether somebody can write to the array's memory, through it or through what it views."""
    while not array.flags.writeable:
        if not isinstance(array.base, np.ndarray):
            return False
        array = array.base
    return True


def check_finite(array: np.ndarray, what: str) -> None:
    """Raise WeightError, with a count, where `array` holds NaN or infinity."""
    # A sum is finite only if every term is, and needs no temporary as large as the array.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum(dtype=np.float64)):
            return
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise WeightError(f"{what} holds {bad} NaN or infinite weights; remove or replace them")


@dataclass(frozen=True)
class Complete:
    """A dense array all of whose entries are edges, zeros included."""

    array: np.ndarray


def from_dense(weights, what: str):
    complete = isinstance(weights, Complete)
    array = as_weights(weights.array if complete else weights, what)
    check_rank(array.shape, what)
    if complete or np.count_nonzero(array) == array.size:
        return freeze(np.ascontiguousarray(array))  # row-major, so that edges lie in their order
    return csr_where(array, array != 0)


def from_sparse(weights, what: str):
    check_rank(weights.shape, what)
    if weights.dtype.kind != "f":
        as_weights(np.zeros(0, weights.dtype), what)
    kept = np.float32 if weights.dtype.itemsize <= 4 else np.float64
    _check_format(weights, what)
    csr = None
    if weights.format == "csr" and weights.dtype == kept and _is_frozen(weights):
        # A new object, which does not inherit what the given one claims about its order.
        csr = csr_array((weights.data, weights.indices, weights.indptr), shape=weights.shape)
    if csr is None or not csr.has_canonical_format:
        with np.errstate(over="ignore"):  # of numbers beyond float64; found below
            csr = csr_array(weights, dtype=kept, copy=True)
        csr.sum_duplicates()  # also sorts; keeps stored zeros
    check_finite(csr.data, what)
    if csr.nnz == csr.shape[0] * csr.shape[1]:
        return freeze(csr.data.reshape(csr.shape))
    return freeze(csr)


def _check_format(weights, what: str, kind: type[GraphError] = WeightError) -> None:
    """SciPy's C code trusts indices; arrays put together by hand may hold any."""
    try:
        if hasattr(weights, "check_format"):
            copy(weights).check_format(full_check=True)  # it may trim the arrays of what it checks
    except ValueError as error:
        raise kind(f"{what} is no valid sparse array: {error}") from None


def from_bool(matrix, what: str) -> csr_array:
    """A read-only canonical ``csr_array`` of bool, with no False stored."""
    if not issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.dtype != bool or matrix.ndim != 2:
        raise ChainError(
            f"{what} must be bool with two axes, got {matrix.dtype} of shape {matrix.shape}"
        )
    _check_format(matrix, what, ChainError)
    csr = csr_array(matrix, copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return freeze(csr)


def _is_frozen(csr) -> bool:
    """Whether nobody can change these arrays."""
    return not any(map(is_exposed, (csr.data, csr.indices, csr.indptr)))


def check_rank(shape, what: str) -> None:
    if len(shape) != 2 or 0 in shape:
        raise WeightError(
            f"{what} has shape {tuple(shape)}; two axes (n_out, n_in) are needed, neither of size "
            "zero"
        )


def csr_where(values: np.ndarray, exists: np.ndarray) -> csr_array:
    """The entries of a dense array that exist; in blocks, for temporary indices have 64 bits."""
    n_out, n_in = exists.shape
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(exists, axis=1))])
    index = np.int32 if max(indptr[-1], n_in) <= np.iinfo(np.int32).max else np.int64
    columns = np.empty(indptr[-1], index)
    step = max(1, _BLOCK_ENTRIES // n_in)
    for first in range(0, n_out, step):
        block = exists[first : first + step]
        columns[indptr[first] : indptr[first + len(block)]] = np.nonzero(block)[1]
    return freeze(csr_array((values[exists], columns, indptr.astype(index)), shape=exists.shape))


def full_csr(array: np.ndarray) -> csr_array:
    n_out, n_in = array.shape
    indices = np.tile(np.arange(n_in, dtype=np.int32), n_out)
    indptr = np.arange(n_out + 1, dtype=np.int64) * n_in
    if indptr[-1] <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    else:
        indices = indices.astype(np.int64)
    return freeze(csr_array((array.reshape(-1), indices, indptr), shape=array.shape))


def freeze(weights):
    parts = (weights,) if isinstance(weights, np.ndarray) else (
        weights.data, weights.indices, weights.indptr
    )
    for part in parts:
        while isinstance(part, np.ndarray):  # what it is a view of is nobody else's either
            part.flags.writeable = False
            part = part.base
    return weights


class FrozenArrays:
    """Base of results: the arrays in their fields are read-only, also when copied or unpickled."""

    def __post_init__(self) -> None:
        _lock(tuple(self.__dict__.values()))

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        _lock(tuple(state.values()))


def _lock(value) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, tuple):
        for item in value:
            _lock(item)
