"""The laws of the house, read off the source: who may import what, and what nobody may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import nngraph

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "nngraph").rglob("*.py"))
ADAPTERS = sorted((ROOT / "adapters" / "nngraph_adapters").rglob("*.py"))
LIBRARY = CORE + ADAPTERS
HEAVY = {"numba", "ot", "networkx", "matplotlib", "pandas", "pyarrow"}
HEAVY |= {"hypothesis", "rich", "click"}
FRAMEWORKS = {"torch", "jax", "flax", "keras", "tensorflow", "onnx", "onnxruntime", "safetensors"}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> list[str]:
    """Absolute modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def tops(nodes) -> set[str]:
    return {name.split(".")[0] for node in nodes for name in imported(node)}


def module_level(path: Path) -> list[ast.AST]:
    """Statements run when the module is imported (bodies of functions left out)."""
    found, queue = [], list(tree(path).body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            queue.extend(c for c in ast.iter_child_nodes(node) if isinstance(c, ast.stmt))
    return found


def test_import_linter_contracts_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_nngraph_loads_nothing_heavy():
    code = "import sys, nngraph; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    tops_loaded = {name.split(".")[0] for name in loaded}
    assert not tops_loaded & (HEAVY | FRAMEWORKS)
    assert "scipy.sparse.linalg" not in loaded


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_heavy_modules_are_imported_inside_functions(path):
    if path.name in {"_jit.py", "_commands.py"} or "_kernels" in path.parts:
        return
    assert not tops(module_level(path)) & (HEAVY | FRAMEWORKS)


@pytest.mark.parametrize("path", CORE, ids=label)
def test_only_jit_imports_numba_and_only_parallel_knows_executors(path):
    names = tops(ast.walk(tree(path)))
    if path.name != "_jit.py":
        assert "numba" not in names
    if path.name != "parallel.py":
        assert not names & {"concurrent", "multiprocessing", "threading", "threadpoolctl"}


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_no_assert_no_print_no_pickle_no_environment(path):
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: assert on input"
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        assert name != "print", f"line {node.lineno}: a library does not print"
        assert name not in {"eval", "exec", "os.putenv", "logging.basicConfig"}
    assert not tops(ast.walk(tree(path))) & {"pickle", "joblib", "dill", "cloudpickle", "marshal"}


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_nothing_is_unpickled(path):
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        words = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if re.fullmatch(r"(np|numpy)\.(lib\.format\.read_array|load)", name):
            assert words.get("allow_pickle") == "False", f"line {node.lineno}"
        if name == "torch.load":
            assert words.get("weights_only") == "True", f"line {node.lineno}"


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_modules_can_be_read_at_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("path", ADAPTERS, ids=label)
def test_adapters_use_public_names_only(path):
    for node in ast.walk(tree(path)):
        for name in imported(node):
            if name.split(".")[0] == "nngraph":
                assert not any(part.startswith("_") for part in name.split(".")), name
                if isinstance(node, ast.ImportFrom):
                    assert not [a.name for a in node.names if a.name.startswith("_")]
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"ng", "nngraph"}:
            assert node.attr in nngraph.__all__ or node.attr == "__version__", node.attr


def test_the_adapters_folder_is_no_package():
    assert not list((ROOT / "adapters").glob("*.py"))


def test_every_public_name_exists_and_dir_lists_it():
    for name in nngraph.__all__:
        assert getattr(nngraph, name) is not None
    assert set(nngraph.__all__) <= set(dir(nngraph))
    with pytest.raises(AttributeError, match="no_such_name"):
        nngraph.no_such_name


def test_one_version():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{nngraph.__version__}"' in pyproject
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {nngraph.__version__}" in citation
