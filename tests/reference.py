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


# --- layers: convolution and pooling by loops over every place and tap ---------------------------


def convolution(layer, x):
    """A convolution, transposed or not, of one example: one product at a time."""
    weight = np.asarray(layer.array(), dtype=float)
    mask = np.ones(layer.shape, bool) if layer.mask is None else layer.mask
    shape = layer_output_shape(layer, x.shape)
    out = np.zeros(shape)
    per_in, per_out = layer.shape[1], layer.n_out // layer.groups
    low = [pads[0] for pads in layer.padding]
    geometry = list(zip(layer.stride, layer.dilation, low, strict=True))
    for o, c in np.ndindex(layer.n_out, per_in):
        channel = o // per_out * per_in + c
        for tap in np.ndindex(*layer.kernel):
            if not mask[(o, c, *tap)]:
                continue
            for place in np.ndindex(*(x.shape[1:] if layer.transposed else shape[1:])):
                other = tuple(
                    p * s - lo + t * d
                    for p, t, (s, d, lo) in zip(place, tap, geometry, strict=True)
                )
                y, q = (other, place) if layer.transposed else (place, other)
                if _inside(y, shape[1:]) and _inside(q, x.shape[1:]):
                    out[(o, *y)] += weight[(o, c, *tap)] * x[(channel, *q)]
    return out


def layer_output_shape(layer, shape):
    """Places of a convolution's output, counted one by one."""
    sizes = []
    for a, n in enumerate(shape[1:]):
        k, s, d = layer.kernel[a], layer.stride[a], layer.dilation[a]
        low, high = layer.padding[a]
        if layer.transposed:
            last = max(q * s + t * d for q in range(n) for t in range(k))
            sizes.append(last + 1 - low - high + layer.output_padding[a])
        else:
            first = range(-low, n + high)
            sizes.append(sum((p + low) % s == 0 and p + (k - 1) * d < n + high for p in first))
    return (layer.n_out, *sizes)


def _inside(place, shape):
    return all(0 <= p < n for p, n in zip(place, shape, strict=True))


def pooling(x, kernel, stride, padding, counts, *, kind, dilation=None, count_padding=True):
    """Pooling of one example by loops; `counts` windows per axis, some of which may hang over."""
    dims = len(kernel)
    dilation = dilation or (1,) * dims
    out = np.zeros((len(x), *counts))
    for c in range(len(x)):
        for place in np.ndindex(*counts):
            values, size = [], 0
            for tap in np.ndindex(*kernel):
                at = tuple(
                    p * s - lo + t * d
                    for p, s, (lo, _), t, d in zip(
                        place, stride, padding, tap, dilation, strict=True
                    )
                )
                if _inside(at, x.shape[1:]):
                    values.append(x[(c, *at)])
                ends = zip(at, x.shape[1:], padding, strict=True)
                size += all(q < n + hi for q, n, (_, hi) in ends)
            if kind == "max":
                out[(c, *place)] = max(values)
            else:
                out[(c, *place)] = sum(values) / (size if count_padding else len(values))
    return out


def jacobian(function, shape):
    """The matrix of a linear function of one example, column by column."""
    n = int(np.prod(shape))
    return np.stack([np.ravel(function(row.reshape(shape))) for row in np.eye(n)], axis=1)


def reach(graph, joins):
    """Which inputs reach each layer's outputs and the network's output, by Boolean algebra."""
    by_target = {}
    for join in joins:
        by_target.setdefault(join.target, []).append(join)
    n_input = next(join.matrix.shape[1] for join in joins if join.source == -1)
    outputs = {-1: np.eye(n_input, dtype=int)}
    for target in [*range(len(graph)), len(graph)]:
        inputs = sum(j.matrix.toarray().astype(int) @ outputs[j.source] for j in by_target[target])
        pattern = np.eye(len(inputs), dtype=int)
        if target < len(graph):
            pattern = graph[target].pattern().astype(int)
        outputs[target] = (pattern @ inputs > 0).astype(int)
    return outputs


# --- connectivity: every path, one by one ---------------------------------------------------------


def all_paths(network):
    """Every path from a network graph's input to its output: a tuple of edges (layer, out, in)."""
    patterns = [layer.pattern() for layer in network]
    joins = [(join.source, join.target, join.matrix.toarray()) for join in network.joins]

    def onward(source, vertex):
        for start, target, matrix in joins:
            if start != source:
                continue
            for i in np.flatnonzero(matrix[:, vertex]).tolist():
                if target == len(network):
                    yield ()
                    continue
                for j in np.flatnonzero(patterns[target][:, i]).tolist():
                    for rest in onward(target, j):
                        yield ((target, j, i), *rest)

    n_input = next(matrix.shape[1] for source, _, matrix in joins if source < 0)
    return [path for vertex in range(n_input) for path in onward(-1, vertex)]


# --- resistance: pseudo-inverse, many digits, and every spanning tree -----------------------------


def full_laplacian(weights):
    """Combinatorial Laplacian of a bipartite layer, inputs first."""
    weights = np.asarray(weights, dtype=float)
    n_out, n_in = weights.shape
    adjacency = np.block([[np.zeros((n_in, n_in)), weights.T], [weights, np.zeros((n_out, n_out))]])
    return np.diag(adjacency.sum(axis=1)) - adjacency


def pinv_resistances(weights):
    """All-pairs resistances, inputs first, by the pseudo-inverse of each component's Laplacian."""
    laplacian = full_laplacian(weights)
    found = np.full(laplacian.shape, np.inf)
    reached = (laplacian != 0) | np.eye(len(laplacian), dtype=bool)
    for _ in laplacian:
        reached = reached @ reached
    for own in {tuple(np.flatnonzero(row)) for row in reached}:
        own = np.ix_(own, own)
        inverse = np.linalg.pinv(laplacian[own], hermitian=True)
        diagonal = np.diag(inverse)
        found[own] = diagonal[:, None] + diagonal - 2 * inverse
    np.fill_diagonal(found, 0)
    return found


def exact_resistances(weights, digits):
    """Resistances between outputs and inputs of a connected layer, by mpmath."""
    import mpmath

    with mpmath.workdps(digits):
        n_out, n_in = weights.shape
        laplacian = mpmath.zeros(n_in + n_out)
        for i, j in np.ndindex(weights.shape):
            w, a = mpmath.mpf(float(weights[i, j])), n_in + i
            laplacian[a, a] += w
            laplacian[j, j] += w
            laplacian[a, j] -= w
            laplacian[j, a] -= w
        inverse = laplacian[1:, 1:] ** -1

        def green(a, b):
            return inverse[a - 1, b - 1] if a and b else mpmath.mpf(0)

        return np.array([
            [float(green(a, a) + green(j, j) - 2 * green(a, j)) for j in range(n_in)]
            for a in range(n_in, n_in + n_out)
        ])


def spanning_trees(weights):
    """Every spanning tree of a small layer, as (product of its weights, its edges)."""
    from itertools import combinations

    weights = np.asarray(weights)
    n_out, n_in = weights.shape
    edges = list(zip(*np.nonzero(weights), strict=True))
    for chosen in combinations(edges, n_out + n_in - 1):
        tree = np.zeros_like(weights)
        for edge in chosen:
            tree[edge] = 1
        reduced = full_laplacian(tree)[1:, 1:]
        if round(np.linalg.det(reduced)) == 1:
            yield np.prod([weights[edge] for edge in chosen]), chosen


# --- spectral: dense matrices, all of their values ------------------------------------------------


def all_singular_values(graph):
    """Every singular value of the weights as they are, from the largest down."""
    return np.linalg.svd(np.asarray(graph.toarray(), dtype=float), compute_uv=False)


def second_laplacian_eigenvalue(graph):
    """lambda_2 of the normalised Laplacian of the whole bipartite graph, edge by edge."""
    w = np.asarray(graph.toarray(), dtype=float)
    w = w[w.sum(axis=1) > 0][:, w.sum(axis=0) > 0]
    rows, columns = w.sum(axis=1), w.sum(axis=0)
    n = len(columns) + len(rows)
    laplacian = np.eye(n)
    for i, j in zip(*np.nonzero(w), strict=True):
        entry = -w[i, j] / np.sqrt(rows[i] * columns[j])
        laplacian[j, len(columns) + i] = laplacian[len(columns) + i, j] = entry
    return np.linalg.eigvalsh(laplacian)[1]


def average_degree_bound(graph):
    """sqrt(d_in - 1) + sqrt(d_out - 1) of the average degrees, by counting neighbours."""
    edges = list(zip(*(side.tolist() for side in graph.edges()), strict=True))
    sides = (len({edge[side] for edge in edges}) for side in (0, 1))
    return sum(np.sqrt(len(edges) / side - 1) for side in sides)


def block_krylov_values(matrix, start, products, k):
    """The k leading Ritz values of span(start, A start, ..., A^products start), A symmetric."""
    blocks = [start]
    for _ in range(products):
        blocks.append(np.linalg.qr(matrix @ blocks[-1])[0])
    basis = np.linalg.qr(np.hstack(blocks))[0]
    return np.linalg.eigvalsh(basis.T @ matrix @ basis)[::-1][:k]
