"""From scores and a budget to masks: exact counts, deterministic ties, nested in the density."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor

import numpy as np

from .._canonical import plain_array
from .._errors import MaskError
from .apportionment import apportion
from .budgets import Budget, check_density, in_groups


def select(
    scores: Mapping[str, np.ndarray], density: float | None, budget: Budget, rng
) -> dict[str, np.ndarray]:
    """The masks that keep the best scores within a budget; see :meth:`Masks.from_scores`."""
    if not scores:
        raise MaskError("there are no scores; give those of at least one layer")
    scores = {name: _clean(name, values) for name, values in scores.items()}
    shapes = {name: values.shape for name, values in scores.items()}
    shares = budget.shares(shapes)
    if density is not None:
        density = check_density(density)
    elif not budget.sets_density:
        raise MaskError(f"density is needed: the budget {str(budget)!r} does not set one")
    *streams, last = _streams(rng, len(scores) + 1)
    structured = budget.pattern in ("rows", "columns")
    layers = []
    for (name, values), stream in zip(scores.items(), streams, strict=True):
        if budget.nm is not None:
            values = _best_of_groups(values, *budget.nm, f"layer {name!r}", stream)
        unit = _Units(values, stream, budget.pattern) if structured else _Entries(values, stream)
        layers.append(unit)
    plan = Plan(layers, list(shapes), density, budget)
    if structured:
        kept = _first_units(layers, shares, plan.total(shares), plan.minima, last)
    elif shares is None:
        kept = _best_entries(layers, plan.total(shares), plan.minima, last)
    else:
        counts = plan.counts(shares)
        kept = [layer.best(int(n)) for layer, n in zip(layers, counts, strict=True)]
    return dict(zip(shapes, kept, strict=True))


def _clean(name: str, values) -> np.ndarray:
    """The scores of one layer as floating-point numbers without NaN; float32 stays float32."""
    array = plain_array(values, f"the array of scores of layer {name!r}", MaskError)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise MaskError(f"the scores of layer {name!r} are {array.dtype}, not real numbers")
    if array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if array.ndim < 2 or 0 in array.shape:
        raise MaskError(
            f"the scores of layer {name!r} have shape {array.shape}; the shape of its weights is "
            "needed (outputs, inputs, then the kernel), with no axis of size zero"
        )
    if np.isnan(array.min()):
        count = int(np.count_nonzero(np.isnan(array)))
        raise MaskError(
            f"the scores of layer {name!r} hold {count} NaN; give -inf where a parameter may not "
            "be kept, +inf where it must be kept first"
        )
    return array


def _streams(rng, count: int) -> list[np.random.Generator | None]:
    """Random streams that break ties, one per layer; None: ties in index order."""
    return [None] * count if rng is None else np.random.default_rng(rng).spawn(count)


class Plan:
    """How many parameters may be kept, in all and per layer."""

    def __init__(self, layers, names: list[str], density: float | None, budget: Budget) -> None:
        self.density, self.budget, self.names = density, budget, names
        self.covered = sum(layer.size for layer in layers)
        self.capacities = [layer.capacity for layer in layers]
        for name, capacity in zip(names, self.capacities, strict=True):
            if capacity < budget.minimum:
                raise MaskError(
                    f"layer {name!r} has {capacity} parameters that may be kept, fewer than the "
                    f"minimum of {budget.minimum}; lower the minimum"
                )
        self.minima = [layer.at_least(budget.minimum) for layer in layers]

    def total(self, shares: list[Fraction] | None) -> int:
        """The number kept in all, checked against what there is."""
        if self.density is None and self.budget.densities is not None:
            return int(self._given(shares).sum())
        room = sum(self.capacities)
        if shares is not None:  # a layer without a share has room for its minimum only
            per_layer = zip(shares, self.capacities, self.minima, strict=True)
            room = sum(capacity if share else least for share, capacity, least in per_layer)
        if self.density is None:
            return room
        total = round(self.density * self.covered)
        asked = f"density {self.density:.6g} asks for {total} of {self.covered} parameters"
        if total > room:
            raise MaskError(
                f"{asked}, but only {room} may be kept: the others are absent already or the "
                f"budget {str(self.budget)!r} excludes them; lower the density"
            )
        if total < sum(self.minima):
            raise MaskError(
                f"{asked}, fewer than the {sum(self.minima)} of minimum={self.budget.minimum} in "
                f"each of {len(self.names)} layers; raise the density or lower the minimum"
            )
        return total

    def counts(self, shares: list[Fraction]) -> np.ndarray:
        """The number kept per layer."""
        if self.density is None and self.budget.densities is not None:
            return self._given(shares)
        return apportion(self.total(shares), shares, self.capacities, self.minima)

    def _given(self, shares: list[Fraction]) -> np.ndarray:
        counts = np.maximum([floor(share + Fraction(1, 2)) for share in shares], self.minima)
        for name, count, capacity in zip(self.names, counts, self.capacities, strict=True):
            if count > capacity:
                raise MaskError(
                    f"layer {name!r}: {count} parameters are asked for and {capacity} may be kept; "
                    "lower its density"
                )
        return counts


class _Entries:
    """One layer whose parameters are kept one by one."""

    def __init__(self, scores: np.ndarray, stream) -> None:
        self.shape, self.size, self.stream = scores.shape, scores.size, stream
        self.flat = scores.reshape(-1)
        absent = np.count_nonzero(self.flat == -np.inf) if self.flat.min() == -np.inf else 0
        self.capacity = self.size - int(absent)

    def at_least(self, minimum: int) -> int:
        return minimum

    def best(self, count: int) -> np.ndarray:
        if count in (0, self.size):
            return np.full(self.shape, count > 0)
        limit = np.partition(self.flat, self.size - count)[self.size - count]
        kept = self.flat > limit
        ties = np.flatnonzero(self.flat == limit)
        kept[_first(ties, count - np.count_nonzero(kept), self.stream)] = True
        return kept.reshape(self.shape)


def _best_entries(layers: list[_Entries], total: int, minima, stream) -> list[np.ndarray]:
    """The `total` best entries of all layers, after each layer's own minimum."""
    each = list(zip(layers, minima, strict=True))
    kept = np.concatenate([layer.best(least).reshape(-1) for layer, least in each])
    ends = np.cumsum([layer.size for layer in layers])
    spans = [slice(end - layer.size, end) for layer, end in zip(layers, ends, strict=True)]
    rest = total - sum(minima)
    if rest:
        pool = np.concatenate([layer.flat for layer in layers])  # the only copy of the scores
        pool[kept] = -np.inf
        pool.partition(pool.size - rest)
        # It stays a NumPy scalar: a Python float would be rounded to 32 bits beside float32 scores.
        limit = pool[pool.size - rest]
        del pool
        ties = np.empty_like(kept)
        for layer, span in zip(layers, spans, strict=True):
            np.equal(layer.flat, limit, out=ties[span])
        ties &= ~kept
        for layer, span in zip(layers, spans, strict=True):
            kept[span] |= layer.flat > limit
        kept[_first(np.flatnonzero(ties), total - np.count_nonzero(kept), stream)] = True
    return [kept[span].reshape(layer.shape) for layer, span in zip(layers, spans, strict=True)]


def _first(ties: np.ndarray, count: int, stream) -> np.ndarray:
    """`count` of the ties: the first ones, or the first of a random order.

    The order does not depend on the count, so that fewer lie inside more.
    """
    if stream is not None and 0 < count < len(ties):
        ties = stream.permutation(ties)
    return ties[:count]


def _best_of_groups(scores: np.ndarray, n: int, m: int, what: str, stream) -> np.ndarray:
    """The scores with -inf for all but the best n of each m consecutive ones."""
    groups = in_groups(scores, m, what)
    limit = np.partition(groups, m - n, axis=1)[:, m - n, None]
    kept = groups > limit
    ties = groups == limit
    need = n - np.count_nonzero(kept, axis=1)
    if stream is not None:
        rows = np.flatnonzero(np.count_nonzero(ties, axis=1) > need)
        keys = stream.random((len(rows), m))
        keys[~ties[rows]] = 1  # behind every tie
        rank = np.argsort(np.argsort(keys, axis=1), axis=1)
        ties[rows] &= rank < need[rows, None]
    # Within a group, the first so many ties.
    ties &= np.cumsum(ties, axis=1, dtype=np.int32) <= need[:, None]
    kept |= ties
    return np.where(kept, groups, groups.dtype.type(-np.inf)).reshape(scores.shape)


class _Units:
    """One layer whose rows (outputs) or columns (inputs) are kept or dropped whole."""

    def __init__(self, scores: np.ndarray, stream, pattern: str) -> None:
        self.shape, self.size = scores.shape, scores.size
        self.axis = 0 if pattern == "rows" else 1
        self.present = scores > -np.inf
        others = tuple(axis for axis in range(scores.ndim) if axis != self.axis)
        sizes = np.count_nonzero(self.present, axis=others)
        with np.errstate(over="ignore"):  # of finite scores near the largest float
            sums = scores.sum(axis=others, dtype=np.float64, where=self.present)
        means = np.full(len(sums), -np.inf)
        np.divide(sums, sizes, out=means, where=sizes > 0)
        order = np.arange(len(means)) if stream is None else stream.permutation(len(means))
        self.order = order[np.argsort(-means[order], kind="stable")]  # best first
        self.scores = means[self.order]
        self.held = np.cumsum(sizes[self.order])  # parameters of the best 1, 2, ... units
        self.capacity = int(self.held[-1])

    def at_least(self, minimum: int) -> int:
        """The parameters of the fewest best units that hold `minimum` parameters."""
        return int(self.held[np.searchsorted(self.held, minimum)]) if minimum else 0

    def mask(self, units: np.ndarray) -> np.ndarray:
        chosen = np.zeros(len(self.order), dtype=bool)
        chosen[units] = True
        shape = [1] * len(self.shape)
        shape[self.axis] = -1
        return self.present & chosen.reshape(shape)


def _first_units(layers: list[_Units], shares, total: int, minima, stream) -> list[np.ndarray]:
    """The first units of all layers that fit into `total`, after each layer's own minimum.

    By score for a global budget; else by arrival as in `apportion`, where a unit arrives with the
    middle one of its parameters, so that each layer's count is its share rounded to whole units.
    """
    index = np.repeat(np.arange(len(layers)), [len(layer.order) for layer in layers])
    sizes = np.concatenate([np.diff(layer.held, prepend=0) for layer in layers])
    if shares is None:
        place = -np.concatenate([layer.scores for layer in layers])
    else:
        middle = np.concatenate([layer.held for layer in layers]) - sizes / 2
        share = np.array([float(share) for share in shares])[index]
        place = np.divide(middle, share, out=np.full(len(share), np.inf), where=share > 0)
    each = zip(layers, minima, strict=True)
    later = np.concatenate([layer.held > least for layer, least in each])
    shuffled = np.arange(len(place)) if stream is None else stream.permutation(len(place))
    first = shuffled[np.lexsort((place[shuffled], later[shuffled]))]
    first = first[: np.searchsorted(np.cumsum(sizes[first]), total, side="right")]
    units = np.concatenate([layer.order for layer in layers])
    return [layer.mask(units[first[index[first] == k]]) for k, layer in enumerate(layers)]
