"""The networks that ship: what they are, how good they are, how much room they take."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

import nngraph as ng

DEMOS = [ng.datasets.digits_mlp, ng.datasets.digits_convnet]


@pytest.mark.parametrize("load", DEMOS)
def test_the_networks_read_digits_that_they_have_not_seen(load):
    demo = load()
    assert demo.images.dtype == np.float32
    assert demo.images.shape == (450, *demo.network.input_shape)
    assert demo.images.min() == 0
    assert demo.images.max() == 1
    assert demo.labels.dtype == np.int64
    assert set(demo.labels) == set(range(10))
    assert ng.accuracy(demo.network, demo.images, demo.labels) >= 0.96


@pytest.mark.parametrize("load", DEMOS)
def test_a_demo_is_frozen(load):
    demo = load()
    with pytest.raises(ValueError, match="read-only"):
        demo.images[0] = 0
    with pytest.raises(AttributeError):
        demo.labels = None
    assert demo.name in repr(demo)


def test_the_images_are_held_out_and_whole():
    sklearn = pytest.importorskip("sklearn.datasets")
    digits = sklearn.load_digits()
    demo = ng.datasets.digits_mlp()
    known = {
        (image.tobytes(), label)
        for image, label in zip(digits.data.astype(np.uint8), digits.target, strict=True)
    }
    held = {
        (image.tobytes(), label)
        for image, label in zip((demo.images * 16).astype(np.uint8), demo.labels, strict=True)
    }
    assert held <= known


def test_the_data_are_small():
    folder = resources.files("nngraph") / "data"
    sizes = [p.stat().st_size for p in folder.iterdir() if p.suffix in (".npz", ".json")]
    assert len(sizes) == 5
    assert sum(sizes) < 300_000


def test_a_pruned_demo_can_be_saved(tmp_path):
    demo = ng.datasets.digits_mlp()
    masks = ng.prune(demo.network, "magnitude", density=0.5)
    ng.save(demo.network, masks, tmp_path / "pruned.npz")
    pruned = ng.load(tmp_path / "pruned.npz")
    kept = sum(int(np.count_nonzero(layer.array())) for layer in pruned)
    assert kept == masks.kept


def test_loading_needs_no_adapter_and_no_framework():
    code = (
        "import sys, nngraph as ng; ng.datasets.digits_convnet()\n"
        "print(*(m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'nngraph_adapters', 'sklearn', 'numba', 'matplotlib')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("load", DEMOS)
def test_the_script_trained_these_architectures(load):
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    import importlib.util
    from pathlib import Path

    script = Path(__file__).parents[1] / "benchmarks" / "train_digits.py"
    spec = importlib.util.spec_from_file_location("train_digits", script)
    training = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(training)
    demo = load()
    model = training.mlp() if demo.name == "digits_mlp" else training.convnet()
    state = {name: torch.from_numpy(np.array(v)) for name, v in demo.network.tensors.items()}
    model.load_state_dict(state, strict=False)
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(np.array(demo.images[:50]))).numpy()
    np.testing.assert_allclose(ng.forward(demo.network, demo.images[:50]), expected, atol=1e-4)
