"""Masks: which parameters of each layer are kept; a frozen mapping that prints and saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .._canonical import check_mask, freeze, plain_array
from .._errors import MaskError
from ..tables import Table
from .budgets import Budget, check_names


@dataclass(frozen=True, eq=False, repr=False)
class Masks(Mapping):
    """Which parameters of each layer are kept: layer name to read-only bool array.

    Parameters
    ----------
    arrays : mapping of str to ndarray of bool, shape ``(n_out, n_in / groups, *kernel)``
        In the layers' canonical shape; True: kept. A writable array is copied.

    Raises
    ------
    MaskError
        No mask at all, a name that is no string, an array that is not bool, has fewer than two axes
        or an axis of size zero.

    Notes
    -----
    ``a & b`` and ``a | b`` keep what both or either keep; ``a <= b`` says whether all that `a`
    keeps is kept by `b`. All need the same layers. ``a == b`` compares names and bits.

    Examples
    --------
    >>> import nngraph as ng
    >>> masks = ng.Masks({"fc": np.array([[True, False, False], [True, False, True]])})
    >>> masks
    <Masks: 1 layers, 3 of 6 parameters kept (50.0%)>
    >>> print(masks)
    layer  shape  kept  covered  density  dead outputs  dead inputs
    fc     2x3       3        6      0.5             0            1
    total            3        6      0.5             0            1
    """

    arrays: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if not isinstance(self.arrays, Mapping):
            kind = type(self.arrays).__name__
            raise MaskError(f"masks are a mapping of layer names to bool arrays, got {kind}")
        arrays = {name: _check(name, mask) for name, mask in self.arrays.items()}
        if not arrays:
            raise MaskError("there are no masks; give that of at least one layer")
        object.__setattr__(self, "arrays", MappingProxyType(arrays))

    @classmethod
    def from_scores(
        cls, scores: Mapping[str, np.ndarray], *, density: float | None, budget="global", rng=None
    ) -> Masks:
        """The masks that keep the parameters of the highest scores.

        Parameters
        ----------
        scores : mapping of str to array_like, shape ``(n_out, n_in / groups, *kernel)``
            One real number per parameter. -inf: may not be kept (absent already); +inf: kept first.
        density : float or None
            Fraction kept, from 0 to 1, of all parameters of these layers, absent ones too. None
            where the budget sets it: all that an N:M pattern allows, or densities per layer as they
            were given, each count rounded (half up).
        budget : Budget, str or mapping of str to float, optional
            How the parameters are shared out over layers, and in what pattern; see
            :class:`nngraph.Budget`.
        rng : seed or numpy.random.Generator, optional
            Breaks ties at random, by a stream of its own for each layer. None: ties go by layer
            order, then by flat index.

        Returns
        -------
        Masks
            Exactly ``round(density * covered)`` parameters (for whole rows or columns: as many as
            fit into that); for scores and ties that stay the same, a lower density gives masks
            inside those of a higher one.

        Raises
        ------
        MaskError
            NaN scores, a shape or a count that is impossible, names that the budget does not match.

        Notes
        -----
        Cost: O(parameters), by selection instead of sorting. Memory beyond the scores: one copy of
        them for a global budget (of the largest layer otherwise) and 2 bytes per parameter.

        Examples
        --------
        >>> import nngraph as ng
        >>> scores = {"a": [[3.0, 1.0], [2.0, 0.0]], "b": [[9.0, 8.0]]}
        >>> ng.Masks.from_scores(scores, density=0.5)["a"]
        array([[ True, False],
               [False, False]])
        >>> ng.Masks.from_scores(scores, density=0.5, budget="uniform")["a"]
        array([[ True, False],
               [ True, False]])
        """
        from .selection import select

        if not isinstance(scores, Mapping):
            kind = type(scores).__name__
            raise MaskError(f"scores are a mapping of layer names to arrays, got {kind}")
        masks = select(scores, density, Budget.of(budget), rng)
        for mask in masks.values():
            freeze(mask)  # so that they are not copied
        return cls(masks)

    @property
    def kept(self) -> int:
        """Number of parameters kept."""
        return sum(int(np.count_nonzero(mask)) for mask in self.arrays.values())

    @property
    def covered(self) -> int:
        """Number of parameters in all layers."""
        return sum(mask.size for mask in self.arrays.values())

    @property
    def density(self) -> float:
        """Kept over covered."""
        return self.kept / self.covered

    def table(self) -> Table:
        """One row per layer and one for all.

        Returns
        -------
        Table
            Columns layer, shape, kept, covered, density, dead outputs, dead inputs: an output (or
            an input, within its group) is dead when none of its parameters is kept.
        """
        rows = []
        for name, mask in self.arrays.items():
            inputs = mask.any(axis=(0, *range(2, mask.ndim)))
            rows.append({
                "layer": name,
                "shape": "x".join(map(str, mask.shape)),
                "kept": np.count_nonzero(mask),
                "covered": mask.size,
                "density": np.count_nonzero(mask) / mask.size,
                "dead outputs": np.count_nonzero(~mask.any(axis=tuple(range(1, mask.ndim)))),
                "dead inputs": np.count_nonzero(~inputs),
            })
        counts = ("kept", "covered", "dead outputs", "dead inputs")
        total = {key: sum(row[key] for row in rows) for key in counts}
        names = dict.fromkeys(rows[0])
        total = names | {"layer": "total", "shape": "", "density": self.density} | total
        return Table.from_records([*rows, total])

    def save(self, path, *, overwrite: bool = False) -> None:
        """Write the masks to an ``.npz`` file of packed bits, without pickle, atomically.

        Parameters
        ----------
        path : path_like
            Used as it is; no suffix is added.
        overwrite : bool, optional
            Replace an existing file; default False.

        Raises
        ------
        FormatError
            The file exists, or cannot be written.

        Notes
        -----
        Members: ``header``, the bytes of a JSON text (format, version, and the layers' names and
        shapes), and ``bits``, each layer's ``numpy.packbits`` one after the other, not compressed.

        Examples
        --------
        >>> import nngraph as ng, tempfile, pathlib
        >>> masks = ng.Masks({"fc": np.eye(3, dtype=bool)})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "masks.npz")
        ...     masks.save(path)
        ...     ng.Masks.load(path) == masks
        True
        """
        from .maskfile import write

        write(self, path, overwrite)

    @classmethod
    def load(cls, path) -> Masks:
        """Read masks that :meth:`save` wrote; every part of the file is checked.

        Parameters
        ----------
        path : path_like

        Returns
        -------
        Masks

        Raises
        ------
        FormatError
            No such file, or one that is no masks file, of another version, or damaged.

        Examples
        --------
        See :meth:`save`.
        """
        from .maskfile import read

        return cls(read(path))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise KeyError(f"no mask for layer {name!r}; there are {list(self.arrays)}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __eq__(self, other) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return self.keys() == other.keys() and all(
            np.array_equal(mask, other[name]) for name, mask in self.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: Masks) -> Masks:
        return self._combine(other, np.logical_and)

    def __or__(self, other: Masks) -> Masks:
        return self._combine(other, np.logical_or)

    def __le__(self, other: Masks) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        self._check_alike(other)
        return not any((mask & ~other[name]).any() for name, mask in self.items())

    def _combine(self, other: Masks, function: Callable) -> Masks:
        if not isinstance(other, Masks):
            return NotImplemented
        self._check_alike(other)
        return Masks({name: function(mask, other[name]) for name, mask in self.items()})

    def _check_alike(self, other: Masks) -> None:
        check_names(other, self, "these masks are of")
        for name, mask in self.items():
            if mask.shape != other[name].shape:
                raise MaskError(
                    f"layer {name!r}: the masks have shapes {mask.shape} and {other[name].shape}"
                )

    def __reduce__(self):
        return type(self), (dict(self.arrays),)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return (
            f"<Masks: {len(self)} layers, {self.kept:,} of {self.covered:,} parameters kept "
            f"({self.density:.1%})>"
        )

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _check(name, mask) -> np.ndarray:
    if not isinstance(name, str):
        raise MaskError(f"layer names are strings, got {name!r}")
    mask = plain_array(mask, f"the mask of layer {name!r}", MaskError)
    if mask.ndim < 2 or 0 in mask.shape:
        raise MaskError(
            f"the mask of layer {name!r} has shape {mask.shape}; the shape of its weights is "
            "needed (outputs, inputs, then the kernel), with no axis of size zero"
        )
    return check_mask(name, mask, mask.shape)
