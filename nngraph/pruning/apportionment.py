"""How many parameters each layer may keep: divisor apportionment with capacities."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def apportion(
    total: int, shares: Sequence[int | Fraction], capacities: Sequence[int], minima: Sequence[int]
) -> np.ndarray:
    """Integer counts in the ratio of the shares, between minima and capacities, of a given sum.

    Parameters
    ----------
    total : int
        The sum, between that of the minima and that of the capacities; a layer whose share is 0
        has room for its minimum only.
    shares : sequence of int or Fraction
        Only their ratios matter.
    capacities, minima : sequence of int
        Per layer; each minimum at most its capacity.

    Returns
    -------
    ndarray of int64

    Notes
    -----
    Webster's (Sainte-Lague's) divisor method: the j-th edge of a layer of share s arrives at
    epsilon = (j - 1/2) / s, the minima arrive first of all, and the first `total` arrivals are
    taken, ties in layer order. So no count falls when the total rises, which is what makes masks of
    falling density nested; the method of largest remainders lacks that (the Alabama paradox:
    Balinski & Young, Fair Representation, 1982). Without capacities in the way, a count is the
    epsilon-multiple of its share rounded to the nearest integer.

    Cost: O(L log L) for L layers, in exact arithmetic where it matters.

    Examples
    --------
    >>> apportion(10, [1, 2, 3], [100, 100, 100], [0, 0, 0])
    array([2, 3, 5])
    >>> apportion(10, [1, 2, 3], [100, 100, 2], [0, 0, 0])
    array([3, 5, 2])
    """
    shares = [Fraction(s) for s in shares]
    sizes = np.array([float(s) for s in shares])
    low = np.asarray(minima, dtype=np.int64)
    high = np.where(sizes > 0, np.asarray(capacities, dtype=np.int64), low)

    def arrived(epsilon: float) -> np.ndarray:
        return np.clip(np.floor(epsilon * sizes + 0.5), low, high).astype(np.int64)

    before, after = 0.0, 1.0
    while arrived(after).sum() < min(total, high.sum()):
        after *= 2
    for _ in range(80):
        middle = (before + after) / 2
        if arrived(middle).sum() <= total:
            before = middle
        else:
            after = middle
    # Floating point may misplace an arrival within rounding of the limit, so stop a little before
    # it and take the last few in exact order.
    counts = arrived(before * (1 - 1e-9))
    waiting = [
        (Fraction(2 * int(count) + 1) / share, layer)
        for layer, (count, share) in enumerate(zip(counts, shares, strict=True))
        if count < high[layer]
    ]
    heapq.heapify(waiting)
    for _ in range(total - int(counts.sum())):
        _, layer = waiting[0]
        counts[layer] += 1
        if counts[layer] < high[layer]:
            arrival = Fraction(2 * int(counts[layer]) + 1) / shares[layer]
            heapq.heapreplace(waiting, (arrival, layer))
        else:
            heapq.heappop(waiting)
    return counts
