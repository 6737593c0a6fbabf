"""Pictures as files, drawn without pyplot, so that nothing is left behind in its state."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._errors import FormatError
from ..graph import NetworkGraph
from ..network import Network
from ..tables import atomic_path, require
from ..views import to_graph
from .single import degree_histogram, panels, weight_histogram
from .spectra import spectrum

_DPI = 150
_MOST_PANELS = 60  # a figure of more layers cannot be read
PICTURES = ("spectrum.png", "degrees.png", "weights.png")


def save_pictures(
    network, folder, *, view: str = "kernel", prefix: str = "", overwrite: bool = False
) -> list[Path]:
    """Write the spectrum, the degrees and the weights of a network's layers as PNG files.

    Parameters
    ----------
    network : Network or NetworkGraph
    folder : path
        Made where it is missing.
    view : {"kernel", "channel", "unit"}, optional
        How a layer becomes a graph; ignored for graphs.
    prefix : str, optional
        Put before the names ``spectrum.png``, ``degrees.png`` and ``weights.png``.
    overwrite : bool, optional
        Replace pictures of these names; default False.

    Returns
    -------
    list of Path

    Raises
    ------
    FormatError
        A picture exists, or cannot be written.
    MissingExtraError
        matplotlib is not installed.

    Notes
    -----
    Degrees and weights are drawn of the first 60 layers.

    Examples
    --------
    >>> import tempfile
    >>> import nngraph as ng
    >>> paths = ng.plotting.save_pictures(ng.datasets.digits_mlp().network, tempfile.mkdtemp())
    >>> [path.name for path in paths]
    ['spectrum.png', 'degrees.png', 'weights.png']
    """
    graph = to_graph(network, view) if isinstance(network, Network) else network
    shown, title = graph, ""
    if len(graph) > _MOST_PANELS:
        cut = slice(_MOST_PANELS)
        shown = NetworkGraph(graph.layers[cut], names=graph.names[cut], joins=())
        title = f"the first {_MOST_PANELS} of {len(graph)} layers"

    def in_panels(plot) -> Callable[[Any], Any]:
        return lambda figure: panels(plot, shown, figure=figure)

    def whole(figure) -> None:
        figure.set_size_inches(7.2, 4.2)
        spectrum(graph, ax=figure.subplots())

    folder = Path(folder)
    drawn = (
        (whole, ""),
        (in_panels(degree_histogram), title),
        (in_panels(weight_histogram), title),
    )
    return [
        save_picture(draw, folder / f"{prefix}{name}", title=heading, overwrite=overwrite)
        for name, (draw, heading) in zip(PICTURES, drawn, strict=True)
    ]


def check_pictures(folder, *, overwrite: bool = False) -> None:
    """Say before any work that :func:`nngraph.plotting.save_pictures` could not write there.

    Parameters
    ----------
    folder : path
    overwrite : bool, optional
        As for :func:`nngraph.plotting.save_pictures`.

    Raises
    ------
    FormatError
        `folder` is a file, or cannot be written to, or a picture exists.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.plotting.check_pictures("a folder that does not exist yet")
    """
    require("matplotlib", "plot")
    folder = Path(folder)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise FormatError(f"{str(there)!r} is a file; name a folder for pictures")
    if not os.access(there, os.W_OK):
        raise FormatError(f"the folder {str(there)!r} cannot be written to; choose another")
    found = [] if overwrite else [folder / name for name in PICTURES if (folder / name).exists()]
    if found:
        raise FormatError(f"{str(found[0])!r} exists; choose another folder or --force")


def save_picture(
    draw: Callable[[Any], Any], path, *, title: str = "", overwrite: bool = False
) -> Path:
    """Write what `draw` puts into an empty figure as a PNG file, atomically.

    Parameters
    ----------
    draw : callable
        ``draw(figure)`` with a ``matplotlib.figure.Figure``.
    path : path
        Its folder is made where it is missing.
    title : str, optional
        Above the whole figure.
    overwrite : bool, optional
        Replace an existing file; default False.

    Returns
    -------
    Path

    Raises
    ------
    FormatError
        The file exists, or it or its folder cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import nngraph as ng
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "curvature.png"
    >>> def draw(figure):
    ...     ng.plotting.curvature_histogram([-1, 0, 1], ax=figure.subplots())
    >>> ng.plotting.save_picture(draw, path) == path
    True
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"cannot make the folder {str(path.parent)!r}: {error}") from error
    with atomic_path(path, overwrite=overwrite) as temporary:
        figure = require("matplotlib.figure", "plot").Figure(layout="constrained")
        draw(figure)
        if title:
            figure.suptitle(title)
        figure.savefig(temporary, format="png", dpi=_DPI)
    return path
