"""The pages: the reference is complete, every snippet is Python that runs, every command exists."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.rst"), *DOCS.glob("howto/*.rst")])
# Pages whose snippets run here, with the packages they need. The others need a cluster.
RUN = {
    "README.md": ["torch", "pandas"],
    "index.rst": [],
    "explained.rst": [],
    "bibliography.rst": [],
    "howto/numpy.rst": [],
    "howto/safetensors.rst": [],
    "howto/chains.rst": [],
    "howto/torch.rst": ["torch"],
    "howto/onnx.rst": ["onnx"],
    "howto/own_method.rst": [],
    "howto/own_format.rst": [],
}


def label(path: Path) -> str:
    return path.name if path.parent == ROOT else str(path.relative_to(DOCS))


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:(?:   .*)?\n)+)", text, re.M)
    return [textwrap.dedent(block) for block in found]


def public_names() -> set[str]:
    """What the reference must list: the names of nngraph, and those of its public modules."""
    found = set()
    for name in ng.__all__:
        value = getattr(ng, name)
        if not inspect.ismodule(value):
            found.add(name)
            continue
        names = getattr(value, "__all__", None) or [
            n for n, v in vars(value).items()
            if not n.startswith("_") and getattr(v, "__module__", None) == value.__name__
        ]
        found.update(f"{name}.{n}" for n in names)
    return found


def test_the_reference_lists_every_public_name_once():
    text = (DOCS / "reference.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([A-Za-z][\w.]*)$", text, re.M)
    assert len(listed) == len(set(listed))
    assert public_names() <= set(listed)


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_snippets_are_python_and_name_what_exists(path):
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ng":
                assert node.attr in ng.__all__


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_commands_and_their_options_exist(path):
    pytest.importorskip("click")
    from nngraph._commands import main

    shown = blocks(path, "shell") + re.findall(r"``(.+?)``", path.read_text(encoding="utf-8"))
    text = "\n".join(shown).replace("\\\n", " ")
    for line in re.findall(r"^nngraph (.*)$", text, re.M):
        name, *words = shlex.split(line)
        known = {option for p in main.commands[name].params for option in p.opts}
        assert {word for word in words if word.startswith("-")} <= known


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a small file of every name that the pages load."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    mlp = {
        "fc1.weight": draw(12, 8), "fc1.bias": draw(12), "fc2.weight": draw(3, 12),
        "fc2.bias": draw(3),
    }
    for name in ("mlp.npz", "resnet20.npz"):
        np.savez(name, **mlp)
    convnet = {
        "conv1.weight": draw(4, 1, 3, 3), "bn1.running_mean": draw(4),
        "bn1.running_var": draw(4) ** 2, "conv2.weight": draw(4, 4, 3, 3),
        "fc.weight": draw(3, 64), "fc.bias": draw(3),
    }
    write_safetensors("net.safetensors", convnet)
    write_safetensors("model.safetensors", mlp)
    return mlp


def write_safetensors(path: str, tensors: dict[str, np.ndarray]) -> None:
    """By hand, so that no package is needed."""
    import json

    header, data = {}, b""
    for name, tensor in tensors.items():
        span = [len(data), len(data) + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": span}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def torch_names(mlp: dict[str, np.ndarray]) -> dict:
    import torch

    model = torch.nn.Sequential()
    for name in ("fc1", "fc2"):
        n_out, n_in = mlp[f"{name}.weight"].shape
        model.add_module(name, torch.nn.Linear(n_in, n_out))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in mlp.items()})
    torch.save(model.state_dict(), "mlp.pth")
    return {"model": model, "example_inputs": (torch.zeros(1, 8),)}


def write_onnx(mlp: dict[str, np.ndarray]) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "fc2.weight", "fc2.bias"], ["y"], transB=1),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])]
        for name, width in (("x", 8), ("y", 3))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in mlp.items()]
    graph = helper.make_graph(nodes, "mlp", *ends, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "model.onnx")


@pytest.mark.parametrize("page", RUN)
def test_snippets_run(page, files, monkeypatch, capsys):
    for package in RUN[page]:
        pytest.importorskip(package)
    from nngraph.pruning import registry

    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    rng = np.random.default_rng(1)
    names = {
        "ng": ng, "np": np, "net": ng.load("mlp.npz", chain="fc1,relu,fc2"),
        "images": rng.normal(size=(20, 8)).astype(np.float32), "labels": rng.integers(0, 3, 20),
    }
    if "torch" in RUN[page]:
        names |= torch_names(files)
    if "onnx" in RUN[page]:
        write_onnx(files)
    path = ROOT / page if page == "README.md" else DOCS / page
    for k, block in enumerate(blocks(path, "python")):
        # Run as the file it would be; nothing of this project's own compiler flags leaks in.
        exec(compile(block, f"{page}, snippet {k}", "exec", dont_inherit=True), names)
    if page == "howto/own_format.rst":
        check_format(names["FORMAT"])


def check_format(form) -> None:
    """The format of the page reads and writes."""
    weights = np.float32([[1, 2, 3], [4, 5, 6]])
    Path("a.f32").write_bytes(np.array([2, 3], "<u4").tobytes() + weights.tobytes())
    layer = form.read(Path("a.f32"))["matrix"]
    np.testing.assert_array_equal(layer.array(), weights)
    form.write(Path("a.f32"), {"matrix": weights > 2}, Path("b.f32"))
    pruned = form.read(Path("b.f32"))["matrix"].array()
    np.testing.assert_array_equal(pruned, np.where(weights > 2, weights, 0))
