"""Spectra of layers: singular values with certificates, gaps, and the Ramanujan bound."""

from .gaps import (
    eigengap,
    normalized_lambda2,
    ramanujan_bound,
    ramanujan_gap,
    spectrum_metrics,
    stable_rank,
)
from .metric import Metric
from .singular import SingularValues, singular_values

__all__ = [
    "Metric",
    "SingularValues",
    "eigengap",
    "normalized_lambda2",
    "ramanujan_bound",
    "ramanujan_gap",
    "singular_values",
    "spectrum_metrics",
    "stable_rank",
]
