"""A Hypothesis strategy for network graphs with joins of every kind, for nngraph's own tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import nngraph as ng
from nngraph.testing import layer_graphs


@st.composite
def joined_networks(draw, max_layers=3, max_side=3, weights="signed") -> ng.NetworkGraph:
    """Layers read any earlier ones (in an order that need not be theirs), or nothing at all."""
    n = draw(st.integers(1, max_layers))
    layers = [draw(layer_graphs(max_side=max_side, weights=weights)) for _ in range(n)]
    rank = draw(st.permutations(range(n)))
    n_input, n_output = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    seed = draw(st.integers(0, 2**32 - 1))
    rng, density = np.random.default_rng(seed), draw(st.sampled_from([0.5, 0.9, 0.2]))
    first, last = rank.index(0), rank.index(n - 1)
    joins = []
    for target in range(n + 1):
        for source in range(-1, n):
            before = -1 if source < 0 else rank[source]
            after = n if target == n else rank[target]
            needed = (source, target) in {(-1, first), (last, n)}
            if before < after and (needed or rng.random() < 0.4):
                n_in = n_output if target == n else layers[target].n_in
                n_out = n_input if source < 0 else layers[source].n_out
                joins.append(ng.Join(source, target, rng.random((n_in, n_out)) < density))
    return ng.NetworkGraph(layers, joins, names=[f"L{k}" for k in range(n)])
