"""EdgeValues: one number per edge of a layer graph, with a report of how it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy.sparse import csr_array

from ._canonical import is_exposed, plain_array
from ._errors import WeightError
from .tables import require

if TYPE_CHECKING:
    from .graph import LayerGraph


@dataclass(frozen=True, eq=False)
class EdgeValues(NDArrayOperatorsMixin):
    """One float64 number per edge, in row-major edge order, with a report of how it was found.

    Arithmetic, comparisons and NumPy's functions take it as the array of its values.

    Parameters
    ----------
    values : array_like, shape (n_edges,)
    graph : LayerGraph
        The layer whose edges they belong to.
    report : mapping, optional
        Method, bounds, residuals, counts.

    Examples
    --------
    >>> import nngraph as ng, numpy as np
    >>> g = ng.LayerGraph([[1.0, 0.0], [2.0, 3.0]])
    >>> v = ng.EdgeValues([0.1, 0.2, 0.3], g)
    >>> np.asarray(v).sum().round(3), v.tocsr().nnz
    (np.float64(0.6), 3)
    >>> v > 0.15
    array([False,  True,  True])
    """

    values: np.ndarray
    graph: LayerGraph
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = plain_array(self.values, "the array of edge values", WeightError)
        if values.dtype.kind not in "fiub":
            raise WeightError(f"edge values are real numbers, got {values.dtype}")
        values = values.astype(np.float64, copy=False)
        if values.shape != (self.graph.n_edges,):
            raise WeightError(
                f"{self.graph.n_edges} edge values are needed, got shape {values.shape}"
            )
        if is_exposed(values):  # so that nobody can change it; a read-only one is kept
            values = values.copy()
            values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "report", MappingProxyType(dict(self.report)))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=bool(copy) or None)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if any(isinstance(target, EdgeValues) for target in out):
            return NotImplemented  # frozen: nothing is written into it
        arrays = [x.values if isinstance(x, EdgeValues) else x for x in inputs]
        if out:
            options["out"] = out
        return getattr(ufunc, method)(*arrays, **options)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __iter__(self):
        return iter(self.values)

    def __reduce__(self):
        return type(self), (self.values, self.graph, dict(self.report))

    def tocsr(self) -> csr_array:
        """The values as a ``csr_array`` of the graph's pattern (stored zeros kept)."""
        pattern = self.graph.tocsr()
        return csr_array((self.values, pattern.indices, pattern.indptr), shape=pattern.shape)

    def to_pandas(self):
        """A data frame with columns output, input, weight, value, one row per edge."""
        outputs, inputs = self.graph.edges()
        columns = {
            "output": outputs, "input": inputs, "weight": self.graph.data, "value": self.values
        }
        return require("pandas", "pandas").DataFrame(columns)

    def __repr__(self) -> str:
        if not len(self):
            return f"<EdgeValues of {self.graph!r}: no edges>"
        low, mid, high = np.quantile(self.values, [0, 0.5, 1], method="nearest")
        return (
            f"<EdgeValues of {self.graph!r}: min {low:.4g}, median {mid:.4g}, max {high:.4g}>"
        )
