"""The public Hypothesis strategies keep their word, and draw nasty graphs often."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import nngraph as ng
from nngraph.testing import layer_graphs, network_graphs, networks


@given(layer_graphs(max_side=20, weights="positive"))
def test_story_11(g):
    assert isinstance(g, ng.LayerGraph)
    assert max(g.shape) <= 20
    assert (g.data > 0).all()


@given(layer_graphs(), layer_graphs(weights="nonnegative"), layer_graphs(weights="unit"))
def test_weights(signed, nonnegative, unit):
    for g in (signed, nonnegative, unit):
        sizes = np.abs(g.data[g.data != 0])
        assert ((sizes >= 2.0**-10) & (sizes <= 2.0**10)).all()
    assert (nonnegative.data >= 0).all()
    assert (unit.data == 1).all()


@given(st.data())
def test_options(data):
    sparse = data.draw(st.sampled_from([None, True, False]))
    connected = data.draw(st.sampled_from([None, True, False]))
    if sparse is False and connected is False:
        return
    dtype = data.draw(st.sampled_from([None, "float32", "float64", np.float32]))
    max_side = data.draw(st.integers(2, 9))
    g = data.draw(
        layer_graphs(max_side=max_side, sparse=sparse, connected=connected, dtype=dtype)
    )
    assert max(g.shape) <= max_side
    assert sparse is None or g.is_sparse == sparse
    assert connected is None or (ng.components(g).count == 1) == connected
    assert dtype is None or g.data.dtype == dtype


@given(layer_graphs(shape=(2, 5)), layer_graphs(shape=(1, 1)))
def test_shape(one, other):
    assert (one.shape, other.shape) == ((2, 5), (1, 1))


NASTY = {
    "no edge": lambda g: g.n_edges == 0,
    "one edge of many pairs": lambda g: g.n_edges == 1 and min(g.shape) > 3,
    "an edge of weight 0": lambda g: (g.data == 0).any() and g.is_sparse,
    "a complete graph with a weight 0": lambda g: (g.data == 0).any() and not g.is_sparse,
    "only weights 0": lambda g: g.n_edges > 2 and not g.data.any(),
    "equal weights": lambda g: g.n_edges > 5 and len(set(g.data.tolist())) == 1,
    "isolated vertices on both sides": lambda g: all(map(len, ng.isolated(g))) and g.n_edges > 3,
    "several components with edges": lambda g: sum(
        n > 0 for n in ng.components(g).table()["inputs"]
    ) > 1 and not any(map(len, ng.isolated(g))),
    "float32 with a negative weight": lambda g: g.data.dtype == np.float32 and (g.data < 0).any(),
    "one input": lambda g: g.n_in == 1 and g.n_out > 5,
    "one output": lambda g: g.n_out == 1 and g.n_in > 5,
    "a large graph": lambda g: min(g.shape) >= 15 and g.n_edges > 100,
}  # fmt: skip


@pytest.mark.parametrize("what", NASTY)
def test_nasty_graphs_come_up(what):
    often = settings(
        max_examples=2000, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        find(layer_graphs(), NASTY[what], settings=often)
    except NoSuchExample:
        pytest.fail(f"never drawn: {what}")


@given(network_graphs(max_layers=3, max_side=5, weights="nonnegative", dtype="float32"))
def test_network_graphs_are_chains(net):
    assert 1 <= len(net) <= 3
    assert len(net.joins) == len(net) + 1
    for layer in net:
        assert max(layer.shape) <= 5
        assert layer.data.dtype == np.float32
        assert (layer.data >= 0).all()


@given(network_graphs(sparse=True), network_graphs(sparse=False))
def test_network_graphs_sparse_and_complete(sparse, complete):
    assert all(layer.is_sparse for layer in sparse)
    assert not any(layer.is_sparse for layer in complete)


@settings(max_examples=40)
@given(networks(max_side=4), networks(kind="convnet", masked=True), networks(masked=False))
def test_networks_are_wired_and_run(any_net, masked, plain):
    assert all(layer.mask is not None for layer in masked)
    assert all(layer.mask is None for layer in plain)
    assert any(layer.kernel for layer in masked)
    for net in (any_net, masked, plain):
        x = np.ones((2, *net.input_shape), np.float32)
        assert np.isfinite(ng.forward(net, x)).all()
        assert len(ng.to_graph(net)) == len(net)
        assert ng.path_counts(ng.to_graph(net)).total >= 0
    assert ng.path_counts(ng.to_graph(plain)).total > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layer_graphs(weights="postive"), "did you mean 'positive'"),
        (lambda: network_graphs(weights="any"), "no weights are called 'any'"),
        (lambda: layer_graphs(sparse=False, connected=False), "a complete graph is connected"),
        (lambda: layer_graphs(max_side=1, sparse=True), "no graph of this size"),
        (lambda: layer_graphs(shape=(1, 5), sparse=True, connected=True), "no graph of this size"),
        (lambda: networks(kind="rnn"), "no network is of kind 'rnn'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ng.GraphError, match=message):
        call()


def test_hypothesis_is_needed_only_when_called():
    code = (
        "import sys, nngraph.testing as t\n"
        "assert 'hypothesis' not in sys.modules\n"
        "sys.modules['hypothesis'] = None\n"
        "for f in (t.layer_graphs, t.network_graphs, t.networks):\n"
        "    try: f()\n"
        "    except ImportError as e: assert 'nngraph[test]' in str(e), e\n"
        "    else: raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
