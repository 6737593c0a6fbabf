"""Effective resistance of layers: exact values, leverage scores, spanning trees."""

from .exact import (
    effective_resistance,
    kirchhoff_index,
    leverage_scores,
    resistance_matrix,
    spanning_tree_count,
)

__all__ = [
    "effective_resistance",
    "kirchhoff_index",
    "leverage_scores",
    "resistance_matrix",
    "spanning_tree_count",
]
