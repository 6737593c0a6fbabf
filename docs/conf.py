"""Sphinx configuration: `python -m sphinx -W -n -b html docs docs/_build/html`."""

from __future__ import annotations

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
exclude_patterns = ["_build", "_templates", "examples", "networks", "results"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_title = f"nngraph {release}"
html_copy_source = False

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
# sphinx-gallery shows figures through Agg, which warns; -W would turn that into an error.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
