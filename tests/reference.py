"""Slow and simple versions of what nngraph computes: the oracles that its tests compare with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# --- pruning: counts and masks ------------------------------------------------------------------


def real_allocation(total, shares, capacities):
    """min(capacity, epsilon * share) for the epsilon at which the sum is `total`, by bisection."""
    shares, capacities = np.asarray(shares, float), np.asarray(capacities, float)
    low, high = 0.0, 2.0 * (capacities / shares).max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.minimum(capacities, middle * shares).sum() <= total:
            low = middle
        else:
            high = middle
    return np.minimum(capacities, low * shares)


def webster(total, shares, capacities, minima):
    """Divisor apportionment by sorting every arrival (j - 1/2) / share, in exact fractions."""
    arrivals = sorted(
        (Fraction(0) if j <= least else Fraction(2 * j - 1, 2) / share, layer)
        for layer, (share, most, least) in enumerate(zip(shares, capacities, minima, strict=True))
        for j in range(1, (most if share else least) + 1)
    )
    counts = [0] * len(shares)
    for _, layer in arrivals[:total]:
        counts[layer] += 1
    return counts


def top_masks(scores, total):
    """The `total` highest scores of all layers, by sorting; ties in layer and index order."""
    entries = sorted(
        (-value, layer, index)
        for layer, values in enumerate(scores.values())
        for index, value in enumerate(np.ravel(values).tolist())
    )
    masks = {name: np.zeros(np.size(values), dtype=bool) for name, values in scores.items()}
    names = list(scores)
    for _, layer, index in entries[:total]:
        masks[names[layer]][index] = True
    return {name: mask.reshape(np.shape(scores[name])) for name, mask in masks.items()}
