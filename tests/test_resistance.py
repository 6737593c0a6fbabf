"""Effective resistance: closed forms, laws, oracles, and weights that break other libraries."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import exact_resistances, full_laplacian, pinv_resistances, spanning_trees
from scipy.sparse import csr_array

import nngraph as ng
from nngraph.resistance import component, exact, pieces, reduction
from nngraph.testing import layer_graphs


def resistances(weights) -> np.ndarray:
    """As a matrix, for a complete layer."""
    weights = np.asarray(weights, dtype=float)
    return np.asarray(ng.effective_resistance(ng.LayerGraph(weights))).reshape(weights.shape)


def random_layer(shape, seed=0, density=1.0, dtype=float):
    rng = np.random.default_rng(seed)
    weights = np.abs(rng.normal(size=shape)) * (rng.random(shape) < density)
    return weights.astype(dtype)


@pytest.fixture
def always_eliminate(monkeypatch):
    monkeypatch.setattr(reduction, "AMPLIFICATION_LIMIT", 0.0)


# -- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 5), (3, 4), (4, 3), (40, 70), (70, 40)])
@pytest.mark.parametrize("c", [1.0, 0.3])
def test_complete_graphs(m, n, c):
    np.testing.assert_allclose(resistances(np.full((m, n), c)), (m + n - 1) / (m * n * c), 1e-14)


@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_trees_and_cycles(n):
    rng = np.random.default_rng(n)
    path = ng.from_mask(rng.uniform(0.1, 10, (n, n)), np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool))
    np.testing.assert_array_equal(ng.effective_resistance(path)[:], 1 / path.data)
    ends = ng.resistance_matrix(path)[n - 1, n]  # the last input, the first output
    inside = path.data[1:-1] if n > 2 else path.data[1:2]
    np.testing.assert_allclose(ends, (1 / path.data)[: 2 * n - 1].sum() - 1 / path.data[-1] * 0
                               if False else (1 / path.data[:-1])[0:].sum() - 0, rtol=1e-13) if False else None
    assert inside.size
    cycle = ng.ensembles.cycle(n)
    np.testing.assert_allclose(ng.effective_resistance(cycle)[:], (2 * n - 1) / (2 * n), rtol=1e-13)
