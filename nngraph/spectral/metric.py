"""Metric: one number that knows how sure it is and, where it is NaN, why."""

from __future__ import annotations

from math import isnan, nan


class Metric(float):
    """A number with the interval that holds the true one, and a reason where it is undefined.

    It is a float: it adds, compares, formats and goes into arrays as one.

    Parameters
    ----------
    value : float
        The number; NaN where the metric is undefined.
    reason : str, optional
        Why the number is NaN; empty otherwise.
    interval : (float, float), optional
        Holds the true number. Default: the number itself, known exactly.
    certified : bool, optional
        Whether the interval is proved; False: it holds but for a small probability, that of
        ``SingularValues.failure_probability``.

    Examples
    --------
    >>> import nngraph as ng
    >>> float(ng.Metric(1.5)) + 1
    2.5
    >>> ng.Metric.undefined("no edges")
    Metric(nan, reason='no edges')
    """

    __slots__ = ("certified", "interval", "reason")

    def __new__(cls, value, reason="", interval=None, certified=True) -> Metric:
        self = super().__new__(cls, value)
        low, high = (value, value) if interval is None else interval
        for name, given in (
            ("reason", str(reason)), ("interval", (float(low), float(high))),
            ("certified", bool(certified)),
        ):
            object.__setattr__(self, name, given)
        return self

    @classmethod
    def undefined(cls, reason: str) -> Metric:
        """NaN, and why."""
        return cls(nan, reason)

    @property
    def value(self) -> float:
        """The plain number."""
        return float(self)

    def __setattr__(self, name, value) -> None:
        raise AttributeError("a metric is frozen")

    def __reduce__(self):
        return type(self), (float(self), self.reason, self.interval, self.certified)

    def __str__(self) -> str:
        return float.__repr__(self)

    def __repr__(self) -> str:
        if isnan(self):
            return f"Metric(nan, reason={self.reason!r})"
        low, high = self.interval
        sure = "" if self.certified else ", certified=False"
        around = "" if low == high else f", interval=({low:.10g}, {high:.10g}){sure}"
        return f"Metric({float(self):.10g}{around})"
