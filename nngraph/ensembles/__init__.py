"""Layer graphs with known answers, and random ones: all weights are 1."""

from __future__ import annotations

from .designs import array_code, projective_plane
from .random import erdos_renyi, random_biregular
from .simple import complete, cycle, disjoint_union, hypercube, path, star

__all__ = [
    "array_code",
    "complete",
    "cycle",
    "disjoint_union",
    "erdos_renyi",
    "hypercube",
    "path",
    "projective_plane",
    "random_biregular",
    "star",
]
