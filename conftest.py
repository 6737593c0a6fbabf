"""Doctests of an adapter whose framework is not installed are skipped by name."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        framework = item.path.stem
        if item.path.parent.name != "nngraph_adapters" or framework not in ("torch", "onnx"):
            continue
        if importlib.util.find_spec(framework) is None:
            item.add_marker(pytest.mark.skip(reason=f"{framework} is not installed"))
