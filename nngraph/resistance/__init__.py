"""Effective resistance of layers: exact values, leverage scores, spanning trees, sparsifiers."""

from .exact import (
    effective_resistance,
    kirchhoff_index,
    leverage_scores,
    resistance_matrix,
    spanning_tree_count,
)
from .sparsify import spectral_sparsify

__all__ = [
    "effective_resistance",
    "kirchhoff_index",
    "leverage_scores",
    "resistance_matrix",
    "spanning_tree_count",
    "spectral_sparsify",
]
