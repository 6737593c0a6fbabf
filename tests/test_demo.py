"""The demonstration: complete, repeatable, honest about what it is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import nngraph as ng
from nngraph import demo as module
from nngraph.demo import DENSITIES, run_demo, runnable
from nngraph.pruning import registry


@pytest.fixture(scope="module")
def results():
    return run_demo(densities=(0.5, 0.1))


def test_both_networks_are_analysed_and_pruned_by_every_runnable_method(results):
    assert [r.demo.name for r in results] == ["digits_mlp", "digits_convnet"]
    for result in results:
        assert result.analysis["layer"] == result.demo.network.names
        assert set(result.accuracy["method"]) == {"dense", *runnable()}
        assert len(result.accuracy) == 1 + 2 * len(runnable())
        assert result.pictures == ()
    assert {"magnitude", "random", "uniform", "erk", "erdos_renyi"} <= set(runnable())


def test_accuracies_are_those_of_the_library(results):
    demo = results[0].demo
    masks = ng.prune(demo.network, "magnitude", density=0.5, rng=0)
    expected = ng.accuracy(demo.network, demo.images[100:], demo.labels[100:], masks=masks)
    found = {(r["method"], r["density"]): r["accuracy"] for r in results[0].accuracy}
    assert found["magnitude", 0.5] == expected
    assert found["dense", 1.0] >= 0.95


def test_the_table_is_aligned(results):
    text = str(results[0].by_density())
    rows = text.splitlines()[1:]
    assert rows[0].split() == ["method", "50", "%", "10", "%"]
    assert rows[1].startswith("dense")
    assert len({row.index(".") for row in rows[1:]}) == 1


def test_the_same_again(results):
    again = run_demo(densities=(0.5, 0.1))
    assert [r.accuracy.to_dict() for r in again] == [r.accuracy.to_dict() for r in results]


def test_pictures_are_written_and_replaced(tmp_path):
    pytest.importorskip("matplotlib")
    steps = []
    folder = tmp_path / "pictures"
    for _ in range(2):
        results = run_demo(folder, lambda done, total: steps.append((done, total)), densities=[0.5])
    names = sorted(p.name for result in results for p in result.pictures)
    assert names == sorted(p.name for p in folder.iterdir())
    assert len(names) == 10
    for part in ("spectrum", "degrees", "degrees_pruned", "weights", "accuracy"):
        assert f"digits_mlp_{part}.png" in names
    total = 2 * (2 + len(runnable()))
    assert steps == 2 * [(k + 1, total) for k in range(total)]


def test_later_methods_appear_and_a_density_out_of_reach_is_a_gap(monkeypatch):
    seen = []

    @dataclass(frozen=True)
    class Picky:
        name: ClassVar[str] = "picky"
        needs: ClassVar[str] = "data"
        summary: ClassVar[str] = "keeps half or nothing"

        def scores(self, network, data):
            seen.append(data.shape)
            return {layer.name: np.abs(layer.array()) for layer in network}

        def __post_init__(self):
            pass

    class Gradients(Picky):
        name = "gradients"
        needs = "gradients"

    monkeypatch.setattr(registry, "_METHODS", {"picky": Picky, "gradients": Gradients})
    assert runnable() == ["picky"]
    real = module.prune

    def prune(network, name, *, density, **options):
        if name == "picky" and density < 0.2:
            raise ng.MaskError("too thin")
        return real(network, name, density=density, **options)

    monkeypatch.setattr(module, "prune", prune)
    monkeypatch.setattr(module, "_NETWORKS", module._NETWORKS[:1])
    (result,) = run_demo(densities=(0.5, 0.1))
    assert seen == [(100, 64)]
    text = str(result.by_density())
    assert "picky: not at 0.1: too thin" in text
    assert text.splitlines()[3].split()[-1] == "-"


def test_the_default_densities_fall():
    assert list(DENSITIES) == sorted(DENSITIES, reverse=True)
