"""Budget: how the parameters that are kept are shared out over layers, and in what pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from math import isfinite, prod
from numbers import Integral, Real

import numpy as np

from .._errors import MaskError

ALLOCATIONS = ("global", "uniform", "erdos_renyi", "erk")
PATTERNS = ("rows", "columns", "N:M such as 2:4")


@dataclass(frozen=True)
class Budget:
    """How the parameters that are kept are shared out over layers, and in what pattern.

    Parameters
    ----------
    allocation : str, or mapping of layer name to density, optional
        * ``"global"`` (default): the best scores of all layers together.
        * ``"uniform"``: the same density in each layer.
        * ``"erdos_renyi"``: density of a layer in proportion to
          ``(n_out + n_in) / (n_out * n_in)``.
        * ``"erk"`` (Erdos-Renyi-Kernel): in proportion to the sum of all dimensions over their
          product, kernel dimensions included.
        * a mapping: in the ratio of the given densities, one for each layer.

        A layer that is full leaves the rest to the others. A string may also name the pattern,
        alone (``"2:4"``: global) or behind a plus sign (``"uniform+rows"``).
    minimum : int, optional
        So many of each layer's best parameters are kept before all else; default 0.
    pattern : str, optional
        * ``"N:M"``, for instance ``"2:4"``: at most N of each M consecutive entries of a row, where
          row i is ``weights[i].reshape(-1)`` and begins a new group of M.
        * ``"rows"``: whole outputs, ``weights[i]``, or nothing of them.
        * ``"columns"``: whole inputs, ``weights[:, j]``.

        Rows and columns are ordered by the mean of their scores. As many of the best as fit into
        the count are kept (under an allocation: in turn, each layer's share rounded to whole ones),
        so that there may be fewer parameters than asked for, by less than the next row, never more.

    Raises
    ------
    MaskError
        An unknown allocation or pattern, a density outside 0 to 1, a negative minimum.

    Notes
    -----
    The count in all is ``round(density * covered)``, Python's round; `covered` is the number of all
    parameters of all layers. Shares are rounded by a divisor method (Webster), so that no layer's
    count falls when the density rises: the mask at a lower density lies inside the mask at a higher
    one, under every allocation and pattern.

    Erdos-Renyi: Mocanu et al., Nature Comm. 9, 2018; Erdos-Renyi-Kernel: Evci et al., ICML 2020.
    For a grouped convolution the dimensions are those of the parameter tensor.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.Budget("uniform+2:4", minimum=10)
    Budget(allocation='uniform', minimum=10, pattern='2:4')
    >>> ng.Budget({"fc1": 0.1, "fc2": 0.5}).densities
    {'fc1': 0.1, 'fc2': 0.5}
    """

    allocation: str | tuple[tuple[str, float], ...] = "global"
    _: KW_ONLY
    minimum: int = 0
    pattern: str | None = None

    def __post_init__(self) -> None:
        allocation, pattern = self.allocation, self.pattern
        if isinstance(allocation, str):
            allocation, found = _parse(allocation)
            if found and pattern not in (None, found):
                raise MaskError(f"two patterns were given: {found!r} and {pattern!r}; name one")
            pattern = found or pattern
        else:
            allocation = _pairs(allocation)
        if pattern is not None and not _is_pattern(pattern):
            raise MaskError(f"unknown pattern {pattern!r}; known: {', '.join(PATTERNS)}")
        if isinstance(self.minimum, bool) or not isinstance(self.minimum, Integral):
            raise MaskError(f"minimum must be a number of parameters, got {self.minimum!r}")
        if self.minimum < 0:
            raise MaskError(f"minimum must be 0 or more, got {self.minimum}")
        object.__setattr__(self, "allocation", allocation)
        object.__setattr__(self, "minimum", int(self.minimum))
        object.__setattr__(self, "pattern", pattern)

    @classmethod
    def of(cls, budget: Budget | str | Mapping[str, float]) -> Budget:
        """`budget` itself, or the budget that a string or a mapping of densities stands for."""
        return budget if isinstance(budget, cls) else cls(budget)

    @property
    def densities(self) -> dict[str, float] | None:
        """The given density of each layer, or None where the allocation has a name."""
        return None if isinstance(self.allocation, str) else dict(self.allocation)

    @property
    def nm(self) -> tuple[int, int] | None:
        """``(n, m)`` of an N:M pattern, else None."""
        if self.pattern is None or ":" not in self.pattern:
            return None
        n, m = self.pattern.split(":")
        return int(n), int(m)

    @property
    def sets_density(self) -> bool:
        """Whether ``density=None`` has a meaning: N:M patterns and given densities."""
        return self.densities is not None or self.nm is not None

    def shares(self, shapes: Mapping[str, tuple[int, ...]]) -> list[Fraction] | None:
        """What each layer's count is in proportion to, or None for a global budget.

        Raises
        ------
        MaskError
            Given densities that do not name exactly the layers.
        """
        if self.allocation == "global":
            return None
        if (given := self.densities) is not None:
            check_names(given, shapes, "the budget has densities for")
            # By its decimal digits, so that 0.1 of 10 parameters is one.
            return [Fraction(repr(given[name])) * prod(shapes[name]) for name in shapes]
        size = _SHARES[self.allocation]
        return [Fraction(size(shape)) for shape in shapes.values()]

    def __str__(self) -> str:
        allocation = self.allocation if isinstance(self.allocation, str) else "given densities"
        return allocation + (f"+{self.pattern}" if self.pattern else "")


_SHARES = {
    "uniform": prod,
    "erdos_renyi": lambda shape: (shape[0] + shape[1]) * prod(shape[2:]),
    "erk": sum,
}


def _parse(text: str) -> tuple[str, str | None]:
    allocation, _, pattern = text.partition("+")
    if not pattern and _is_pattern(allocation):
        return "global", allocation
    if allocation not in ALLOCATIONS:
        raise MaskError(
            f"unknown budget {text!r}; known allocations: {', '.join(ALLOCATIONS)}, or a mapping "
            "of layer names to densities; known patterns, alone or behind '+': "
            f"{', '.join(PATTERNS)}"
        )
    return allocation, pattern or None


def _is_pattern(text) -> bool:
    if text in ("rows", "columns"):
        return True
    match = re.fullmatch(r"([1-9]\d{0,5}):([1-9]\d{0,5})", text) if isinstance(text, str) else None
    return bool(match) and int(match[1]) <= int(match[2])


def _pairs(allocation) -> tuple[tuple[str, float], ...]:
    try:
        items = dict(allocation).items()
    except (TypeError, ValueError):
        raise MaskError(
            f"a budget is a string or a mapping of layer names to densities, got {allocation!r}"
        ) from None
    return tuple((name, check_density(d, f"layer {name!r}: density")) for name, d in items)


def check_density(density, what: str = "density") -> float:
    """`density` as a float from 0 to 1, or a MaskError."""
    if isinstance(density, (bool, np.bool)) or not isinstance(density, Real):
        raise MaskError(f"{what} must be a number from 0 to 1, got {density!r}")
    if not isfinite(density) or not 0 <= density <= 1:
        raise MaskError(f"{what} must be from 0 to 1 (the fraction that is kept), got {density!r}")
    return float(density)


def check_names(given, names, what: str) -> None:
    """Raise MaskError unless `given` and `names` hold the same layer names."""
    unknown = [name for name in given if name not in names]
    missing = [name for name in names if name not in given]
    if unknown:
        raise MaskError(f"{what} {unknown}, but the layers are {list(names)}")
    if missing:
        raise MaskError(f"{what} {list(given)}; these layers are missing: {missing}")


def check_nm(mask, n: int, m: int) -> bool:
    """Whether a mask keeps at most n of each m consecutive entries of each of its rows.

    Parameters
    ----------
    mask : array_like of bool, shape ``(n_out, n_in / groups, *kernel)``
        Row i is ``mask[i].reshape(-1)``.
    n, m : int
        The pattern N:M.

    Returns
    -------
    bool

    Raises
    ------
    MaskError
        Rows whose length m does not divide.

    Examples
    --------
    >>> check_nm([[True, False, True, False]], 2, 4)
    True
    >>> check_nm([[True, True, True, False]], 2, 4)
    False
    """
    mask = np.asarray(mask, dtype=bool)
    return bool((in_groups(mask, m, "the mask").sum(axis=-1) <= n).all())


def in_groups(array: np.ndarray, m: int, what: str) -> np.ndarray:
    """The entries as (groups, m); a MaskError where m does not divide the length of a row."""
    length = prod(array.shape[1:])
    if length % m:
        raise MaskError(
            f"{what} has shape {array.shape}: m = {m} of the N:M pattern does not divide its rows "
            f"of {length} entries; choose another m, or leave the layer out"
        )
    return array.reshape(-1, m)
