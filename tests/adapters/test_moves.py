"""Moves: any chain of reshapes and transpositions, as one layout that goes both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nngraph_adapters._moves import Moves, NotExactError


def factors(n):
    """All ways to write n as a product of one, two or three factors, ones included."""
    divisors = [a for a in range(1, n + 1) if n % a == 0]
    triples = [(a, b, n // (a * b)) for a in divisors for b in divisors if n % (a * b) == 0]
    return [(n,), *((a, n // a) for a in divisors), *triples]


@st.composite
def chains(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    array, moves = np.arange(int(np.prod(shape))).reshape(shape), Moves.of(shape)
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            axes = draw(st.permutations(range(array.ndim)))
            array, moves = array.transpose(axes), moves.transpose(axes)
        else:
            new = draw(st.sampled_from([*factors(array.size), array.shape]))
            try:
                moves = moves.reshape(new)
            except NotExactError:
                continue
            array = array.reshape(new)
    return shape, array, moves


@given(chains())
def test_a_layout_does_what_the_moves_did(chain):
    shape, array, moves = chain
    layout = moves.layout()
    source = np.arange(array.size).reshape(shape)
    assert moves.shape == layout.shape == array.shape
    np.testing.assert_array_equal(layout.to_canonical(source), array)
    np.testing.assert_array_equal(layout.to_source(array), source)


@pytest.mark.parametrize("new", [(4, 3), (12,), (2, 6), (3, 4), (3, 2, 2)])
def test_what_lies_side_by_side_can_always_be_cut_anew(new):
    assert Moves.of((6, 2)).reshape(new).shape == new


def test_what_no_stride_can_describe_is_refused():
    turned = Moves.of((4, 3)).transpose((1, 0))
    for new in ((2, 6), (12,)):
        if new == (12,):
            assert turned.reshape(new).shape == new
        else:
            with pytest.raises(NotExactError):
                turned.reshape(new)
    with pytest.raises(NotExactError):
        Moves.of((4, 3)).reshape((4, 4))
    with pytest.raises(NotExactError):
        Moves.of((4, 3)).reshape((2, 3))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed_convolutions(groups):
    from nngraph import Layout

    shape = (8, 3, 5, 2)
    array = np.arange(240).reshape(shape)
    ours = Moves.of(shape).transposed_conv(groups).layout()
    theirs = Layout.transposed_conv(shape, groups)
    np.testing.assert_array_equal(ours.to_canonical(array), theirs.to_canonical(array))
