"""The contract on names: code that people will write, run as it stands in the user stories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

DATA = os.environ.get("NNGRAPH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NNGRAPH_DATA names no folder of networks")


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_data
def test_1_two_lines_to_a_table(in_tmp):
    shutil.copy(Path(DATA) / "resnet_cifar10" / "resnet20.npz", in_tmp)
    table = ng.analyze(ng.load("resnet20.npz"))
    table
    frame = table.to_pandas()
    table.to_csv("resnet20.csv")
    assert len(frame) == 20
    assert "<table" in table._repr_html_()
    assert (in_tmp / "resnet20.csv").read_text().count("\n") == 21


def test_2_prune_a_torch_model_and_put_the_masks_back(in_tmp):
    torch = pytest.importorskip("torch")
    from nngraph_adapters import torch as ngt

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
    example_inputs = (torch.zeros(1, 20),)
    net = ngt.from_module(model, example_inputs)
    masks = ng.prune(net, "spectral", density=0.05, rng=0)
    ngt.apply_masks(model, masks)
    masks.save("masks.npz")
    assert masks.density == pytest.approx(0.05, abs=1 / 750)
    assert ng.Masks.load("masks.npz").kept == masks.kept
    assert "38" in str(masks)
    kept = sum(int(p.count_nonzero()) for p in (model[0].weight, model[2].weight))
    assert kept == masks.kept
    assert net.coverage.fraction == pytest.approx(750 / 785)


def test_9_a_cluster(in_tmp):
    distributed = pytest.importorskip("distributed")
    net = ng.datasets.digits_mlp().network
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        table = ng.analyze(net, executor=client.get_executor())
    assert table.to_dict() == ng.analyze(net).to_dict()


def test_11_my_own_property_tests():
    from hypothesis import given

    from nngraph.testing import layer_graphs

    seen = []

    @given(layer_graphs(max_side=20, weights="positive"))
    def test_foster(g):
        R = np.asarray(ng.effective_resistance(g))
        seen.append(g)
        n = g.n_in + g.n_out
        assert np.isclose((g.data * R).sum(), n - ng.components(g).count, atol=1e-8 * n)

    test_foster()
    assert len(seen) > 50


SHELL = [sys.executable, "-m", "nngraph.cli"]


def shell(*arguments: str) -> str:
    done = subprocess.run([*SHELL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_12_the_shell(in_tmp):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
    torch.save(model.state_dict(), "model.pth")
    rng = np.random.default_rng(0)
    np.savez("x.npz", rng.normal(size=(50, 20)).astype(np.float32))
    np.savez("y.npz", rng.integers(0, 5, 50))
    out = shell(
        "prune", "model.pth", "--method", "spectral", "--density", "0.05", "--network", "0,relu,2",
        "--inputs", "x.npz", "--labels", "y.npz", "-o", "pruned.pth",
    )
    assert "accuracy" in out
    pruned = torch.load("pruned.pth", weights_only=True)
    assert sum(int(p.count_nonzero()) for n, p in pruned.items() if "weight" in n) == 38

    make_onnx(Path("model.onnx"), rng)
    shell("analyze", "model.onnx", "--plot", "figures/", "--out", "table.parquet")
    assert Path("table.parquet").stat().st_size
    assert list(Path("figures").glob("*.png"))

    net = ng.load("model.onnx")
    ng.prune(net, "magnitude", density=0.5).save("masks.npz")
    assert "0.5" in shell("show", "masks.npz")


def make_onnx(path: Path, rng) -> None:
    """A perceptron as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = {
        "w1": rng.normal(size=(30, 20)), "b1": rng.normal(size=30), "w2": rng.normal(size=(5, 30)),
    }
    tensors = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2"], ["y"], transB=1),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])]
        for name, width in (("x", 20), ("y", 5))
    ]
    graph = helper.make_graph(nodes, "mlp", *ends, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))


def test_13_a_picture():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    demo = ng.datasets.digits_mlp()
    g = ng.to_graph(demo.network)[0]
    _, ax = plt.subplots()
    assert ng.plotting.spectrum(demo.network, ax=ax) is ax
    assert ng.plotting.curvature_histogram(ng.EdgeValues(np.zeros(g.n_edges), g)) is not None
    results = ng.Table({"method": ["a", "a"], "density": [0.1, 0.5], "accuracy": [0.5, 0.9]})
    assert ng.plotting.accuracy_curve(results) is not None
    plt.close("all")


def test_14_a_citation():
    text = ng.cite("effective_resistance")
    assert "Spielman" in text
    assert "nngraph" in text
    assert text.count("@") >= 2
