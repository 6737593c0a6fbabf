"""Biregular graphs from finite geometry and codes, whose singular values are known exactly."""

from __future__ import annotations

import numpy as np

from .._errors import GraphError
from ..graph import LayerGraph
from ._build import count, from_columns, prime


def projective_plane(q: int) -> LayerGraph:
    """Lines (outputs) and points (inputs) of the projective plane over the field of q elements.

    Parameters
    ----------
    q : int
        A prime number.

    Returns
    -------
    LayerGraph
        With ``n = q^2 + q + 1`` vertices on each side, (q + 1)-regular. Its singular values are
        ``q + 1`` once and ``sqrt(q)`` n - 1 times, so that it is a Ramanujan graph; its girth is 6.

    Raises
    ------
    GraphError
        `q` is no prime number. (Planes of other prime powers need a larger field's arithmetic.)

    Notes
    -----
    Cost: O(q^3), the number of edges. Points and lines are (1, s, t), (0, 1, s), (0, 0, 1), in this
    order; a point is on a line where the scalar product is 0 modulo q.

    Examples
    --------
    >>> import nngraph as ng
    >>> fano = ng.ensembles.projective_plane(2)
    >>> fano
    <LayerGraph 'PG(2,2)': 7 inputs, 7 outputs, 21 edges (0.429)>
    >>> (fano.toarray() @ fano.toarray().T)[0]
    array([3., 1., 1., 1., 1., 1., 1.])
    """
    q = prime(q, "q")
    s, n = np.arange(q), q * q + q + 1
    # (1, s, t) is number s q + t, (0, 1, s) is q^2 + s, (0, 0, 1) is q^2 + q.
    lines = np.concatenate([
        np.stack([np.ones(q * q, np.int64), np.repeat(s, q), np.tile(s, q)], axis=1),
        np.stack([np.zeros(q, np.int64), np.ones(q, np.int64), s], axis=1),
        [[0, 0, 1]],
    ])
    inverse = np.array([0, *(pow(k, -1, q) for k in range(1, q))])
    a, b, c = lines.T[:, :, None]
    points = np.empty((n, q + 1), np.int64)
    steep = -(a + s * b) * inverse[c] % q  # with c != 0: on each column s one point, its t
    upright = -a * inverse[b] % q  # with c = 0: all points of one column
    points[:, :q] = np.where(c != 0, s * q + steep, np.where(b != 0, upright * q + s, q * q + s))
    points[:, q:] = np.where(c != 0, q * q + -b * inverse[c] % q, q * q + q)
    columns = np.sort(points, axis=1).ravel()
    return from_columns(np.full(n, q + 1), columns, n, f"PG(2,{q})")


def array_code(q: int, blocks: int) -> LayerGraph:
    """The Tanner graph of an array code: `blocks` x q cyclic shifts of a q x q identity.

    Parameters
    ----------
    q : int
        A prime number.
    blocks : int
        From 2 to q.

    Returns
    -------
    LayerGraph
        With ``blocks * q`` outputs of degree q and ``q^2`` inputs of degree `blocks`. Its singular
        values are ``sqrt(blocks * q)`` once, ``sqrt(q)`` blocks (q - 1) times, and 0; it is an
        unbalanced Ramanujan graph.

    Raises
    ------
    GraphError
        `q` is no prime number, or `blocks` does not fit.

    Notes
    -----
    Cost: O(blocks * q^2), the number of edges. Fan (2000), Array codes as low-density parity-check
    codes; Burnwal, Sinha & Vidyasagar (2020), arXiv:1908.09245. Output (i, r) is joined with
    input (j, r + i j mod q).

    Examples
    --------
    >>> import nngraph as ng
    >>> g = ng.ensembles.array_code(5, 3)
    >>> g, ng.degrees(g).inputs.max(), ng.degrees(g).outputs.max()
    (<LayerGraph 'array(5,3)': 25 inputs, 15 outputs, 75 edges (0.2)>, np.int64(3), np.int64(5))
    """
    q, blocks = prime(q, "q"), count(blocks, "blocks", 2)
    if blocks > q:
        raise GraphError(f"an array code of {q} has at most {q} blocks, got {blocks}")
    i, r, j = np.ogrid[:blocks, :q, :q]
    columns = (j * q + (r + i * j) % q).ravel()
    return from_columns(np.full(blocks * q, q), columns, q * q, f"array({q},{blocks})")
