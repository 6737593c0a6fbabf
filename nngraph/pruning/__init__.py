"""Masks, budgets, and the registry of pruning methods.

A method that is to be found by its name must be imported here, because importing it registers it.
"""

from .baselines import ERK, ErdosRenyi, Magnitude, Random, Uniform
from .budgets import Budget, check_nm
from .entry import prune, respect_masks
from .masks import Masks
from .registry import PruningMethod, methods, register, resolve
from .spectral import Spectral

__all__ = [
    "Budget",
    "ERK",
    "ErdosRenyi",
    "Magnitude",
    "Masks",
    "PruningMethod",
    "Random",
    "Spectral",
    "Uniform",
    "check_nm",
    "methods",
    "prune",
    "register",
    "resolve",
    "respect_masks",
]
