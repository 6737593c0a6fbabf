"""Sphinx configuration: `python -m sphinx -W -n -b html docs docs/_build/html`."""

from __future__ import annotations

import inspect
import warnings

import nngraph

project = "nngraph"
author = "The nngraph developers"
copyright = "2026, The nngraph developers"
release = version = nngraph.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "networks"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_title = f"nngraph {release}"

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

nitpicky = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "within_subsection_order": "FileNameSortKey",
}
# sphinx-gallery shows figures through Agg, and says so in a warning that -W would turn into an error.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def public(module) -> list[str]:
    """Names that the reference lists: functions and classes, by the module that holds them."""
    return [n for n in module.__all__ if not inspect.ismodule(getattr(module, n))]
