"""Load networks from files and save masked copies: formats found by entry point, by suffix.

A package adds a format with one entry point per suffix in the group ``nngraph.formats``; its name
is the suffix with its dot, lower case, or ``folder`` for a format that reads folders::

    [project.entry-points."nngraph.formats"]
    ".gguf" = "my_package.gguf:FORMAT"

So the suffix is known before anything is imported, and only the format that is needed is imported.
The object is a :class:`Format`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from ._canonical import check_mask
from ._errors import (
    FileChangedError,
    FormatError,
    MaskError,
    MissingExtraError,
    MissingFileError,
    did_you_mean,
)
from .bags import mask_path
from .chains import wire
from .network import Network
from .tables import Table, atomic_path

_GROUP = "nngraph.formats"
_FOLDER = "folder"


class Format(Protocol):
    """What an entry point of the group ``nngraph.formats`` names.

    Three more members are optional: ``requires``, a module that must be installed and what to
    install for it, ``("onnx", "nngraph[onnx]")``; ``matches(path)``, False for files of the suffix
    that another format may read; ``folder_of(out)``, the folder that a write makes anew (`out`
    itself, or the folder around it), for formats that do not write a single file.

    Attributes
    ----------
    name : str
        How people call it: ``"safetensors"``.
    suffixes : tuple of str
        Lower case, with the dot; each has its entry point. Empty for folders.
    """

    name: str
    suffixes: tuple[str, ...]

    def read(self, path: Path) -> Network:
        """The network in an existing, non-empty file (or folder); weights are not read yet."""

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Copy `source` to `out` with masked weights zero and all other bytes of data the same.

        `masks` maps a parameter's path to a bool array in the source's layout; path and shape are
        checked already. `out` is a temporary path, which nngraph renames on success and removes on
        any error.
        """


def load(path, chain=None) -> Network:
    """The network in a file: its layers, what of the file they cover, and how they are joined.

    Parameters
    ----------
    path : str or path
        A file of a known format (see :func:`nngraph.known_formats`), or a folder of ``.npy`` files.
    chain : sequence, path or str, optional
        For files that hold weights only: which layer feeds which; see :func:`nngraph.wire`. None: a
        bag of weights without wiring.

    Returns
    -------
    Network
        Lazy where the format allows it: no weight is read before it is needed, and reading one that
        has changed since raises. ``print(network.coverage)`` tells what was used, what was skipped
        and why.

    Raises
    ------
    FormatError
        An unknown suffix, or a file that is empty, damaged, lying or unsafe. A file that does not
        exist is a MissingFileError, which ``except FileNotFoundError`` catches too.
    MissingExtraError
        The format needs a package that is not installed; the message names the extra.
    ChainError
        The chain does not fit.

    Notes
    -----
    No pickled object is ever loaded, in any format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import nngraph as ng
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.npz"
    >>> np.savez(path, **{"fc1.weight": np.ones((3, 4)), "fc1.bias": np.ones(3)})
    >>> ng.load(path)
    <Network: 1 layers, 12 parameters, a bag of weights>
    >>> ng.load(path, chain="fc1,relu")
    <Network: 1 layers, 12 parameters, 4 wired nodes>
    """
    path = Path(path)
    network = _read(_format_of_source(path), path)
    return network if chain is None else wire(network, chain)


def save(source, masks: Mapping[str, np.ndarray], out) -> None:
    """Write a copy of a file in which the masked weights are zero and all else is as it was.

    Parameters
    ----------
    source : str, path or Network
        The file, or a network that was loaded from it (needed where a chain renamed layers or said
        how they are stored).
    masks : Masks or mapping of str to ndarray of bool
        By layer name, of the layer's canonical shape; False becomes zero. Layers without a mask
        stay as they are.
    out : str or path
        A new file of the same format. For a folder of ``.npy`` files, a new folder; for a sharded
        ``.safetensors.index.json``, that name in a new folder.

    Raises
    ------
    MaskError
        A mask of no layer or of a wrong shape, or two different masks for one shared parameter.
    FormatError
        `out` exists or is of another format, the source is damaged, or the disk is full. Nothing is
        left behind then, and the source is never touched.

    Notes
    -----
    Masks do not make a file smaller. Kept numbers keep their bits and their type; masked ones
    become +0. Memory: one tensor, where the format allows it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import nngraph as ng
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> np.savez(folder / "net.npz", **{"fc.weight": np.array([[1.0, -2.0], [3.0, 4.0]])})
    >>> ng.save(folder / "net.npz", {"fc": np.eye(2, dtype=bool)}, folder / "pruned.npz")
    >>> ng.load(folder / "pruned.npz")["fc"].array()
    array([[1., 0.],
           [0., 4.]])
    """
    if isinstance(source, Network):
        if source.source is None:
            raise FormatError("this network was not loaded from a file; name the file to copy")
        path = Path(source.source)
    else:
        path = Path(source)
    out = Path(out)
    target = copy_target(path, out)
    form = _format_of_source(path)
    fresh = _read(form, path)
    network = source if isinstance(source, Network) else fresh
    stored = _to_source(network, masks, fresh)
    is_folder = hasattr(form, "folder_of")
    with atomic_path(target, folder=is_folder) as temporary:
        form.write(path, stored, temporary / out.relative_to(target) if is_folder else temporary)


def copy_target(source, out) -> Path:
    """The new file or folder that :func:`nngraph.save` makes; an error where `out` does not fit.

    Parameters
    ----------
    source : str or path
        The file, or folder, to copy.
    out : str or path

    Returns
    -------
    Path
        `out` itself, or the folder around it for formats of several files.

    Raises
    ------
    FormatError
        `out` is of another format, or there is no `source`.
    """
    source, out = Path(source), Path(out)
    form = _format_of_source(source)
    if _format_of_target(source, out) is not form:
        raise FormatError(
            f"{str(out)!r} is no name for a copy of {str(source)!r}: give it the same suffix"
        )
    return form.folder_of(out) if hasattr(form, "folder_of") else out


def known_formats() -> Table:
    """The formats that are found here: suffix, name, where it comes from, and whether it loads.

    Returns
    -------
    Table
        Columns suffix, format, provider, problem (None: ready to use).

    Notes
    -----
    Unlike loading, this imports every format.

    Examples
    --------
    >>> import nngraph as ng
    >>> ".npz" in ng.known_formats()["suffix"]
    True
    """
    rows = []
    for entry in sorted(_entries(), key=lambda entry: entry.name):
        row = {"suffix": entry.name, "format": None, "provider": entry.value, "problem": None}
        try:
            form = _import(entry)
            row["format"] = form.name
            _check_installed(form)
        except ImportError as error:
            row["problem"] = str(error)
        rows.append(row)
    return Table.from_records(rows)


class _SourceMasks(Mapping):
    """Masks by parameter path in the source's layout, each made when it is asked for.

    Where the source holds masks of its own, for these too.
    """

    def __init__(self, network: Network, masks: Mapping[str, np.ndarray], fresh: Network) -> None:
        self._masks = masks
        self._layers = {network[name].path: network[name] for name in masks}
        stored = {mask_path(path, fresh.tensors): layer for path, layer in self._layers.items()}
        self._layers |= {path: layer for path, layer in stored.items() if path is not None}

    def __getitem__(self, path: str) -> np.ndarray:
        layer = self._layers[path]
        return layer.layout.to_source(self._masks[layer.name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def _to_source(network: Network, masks: Mapping[str, np.ndarray], fresh: Network) -> _SourceMasks:
    """The masks by parameter path, in the source's layout; every mismatch raises."""
    if not isinstance(masks, Mapping):
        raise MaskError(f"masks must map layer names to bool arrays, got {type(masks).__name__}")
    known = set(network.names)
    for name in masks:
        if name not in known:
            raise MaskError(f"no layer is named {name!r}{did_you_mean(name, network.names)}")
        check_mask(name, masks[name], network[name].shape)
    stored = _SourceMasks(network, masks, fresh)
    present = {layer.path: layer.layout.source_shape for layer in fresh}
    for name in masks:
        layer = network[name]
        shape = layer.layout.source_shape
        if present.get(layer.path) != shape:
            raise FormatError(
                f"{network.source!r} holds no parameter {layer.path!r} of shape {shape} any more; "
                "load it again"
            )
        mask = layer.layout.to_source(masks[name])
        if not np.array_equal(stored[layer.path], mask):
            raise MaskError(
                f"layer {name!r} and another share the parameter {layer.path!r}, but their masks "
                "differ; give both the same"
            )
    return stored


def _read(form: Format, path: Path) -> Network:
    try:
        before = os.stat(path)
        network = form.read(path)
        after = os.stat(path)
    except OSError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"cannot read {str(path)!r}: {error}") from error
    # The handles know the file as it was when they were made, perhaps behind an older header.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChangedError(f"{str(path)!r} changed while it was read; load it again")
    return network


def _format_of_source(path: Path) -> Format:
    if not os.path.exists(path):  # False also for names that the system does not take
        raise MissingFileError(f"there is no file {str(path)!r}")
    if path.is_dir():
        return _choose(path, _entries(_FOLDER))
    entries = _entries_for(path)
    if not path.is_file():
        raise FormatError(f"{str(path)!r} is no regular file")
    try:
        with open(path, "rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise FormatError(f"cannot open {str(path)!r}: {error}") from error
    if empty:
        raise FormatError(f"{str(path)!r} is empty")
    return _choose(path, entries)


def _format_of_target(source: Path, out: Path) -> Format | None:
    if source.is_dir():
        return None if _suffix_of(out) else _choose(source, _entries(_FOLDER))
    return _choose(source, _entries_for(out))


def _entries(name: str | None = None) -> list[importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points(group=_GROUP)
    return [entry for entry in found if name is None or entry.name == name]


def _suffix_of(path: Path) -> str | None:
    """The longest known suffix that the path's name ends with."""
    name = path.name.lower()
    known = {entry.name for entry in _entries() if entry.name.startswith(".")}
    return max((suffix for suffix in known if name.endswith(suffix)), key=len, default=None)


def _entries_for(path: Path) -> list[importlib.metadata.EntryPoint]:
    suffix = _suffix_of(path)
    if suffix is None:
        known = sorted({entry.name for entry in _entries()})
        raise FormatError(
            f"{path.name!r} has no known suffix; known are {', '.join(known)}. A package adds "
            f"others by the entry-point group {_GROUP!r}"
        )
    return _entries(suffix)


def _choose(path: Path, entries: list[importlib.metadata.EntryPoint]) -> Format:
    """The format of these entry points; where several claim one suffix, the first that matches."""
    for entry in entries:
        form = _import(entry)
        if not hasattr(form, "matches") or form.matches(path):
            _check_installed(form)
            return form
    raise FormatError(f"no known format reads {str(path)!r}")


def _import(entry: importlib.metadata.EntryPoint) -> Format:
    try:
        return entry.load()
    except ImportError as error:
        raise MissingExtraError(
            f"the format of {entry.name!r} ({entry.value}) cannot be imported: {error}"
        ) from error


def _check_installed(form: Format) -> None:
    module, install = getattr(form, "requires", (None, ""))
    if module is not None and importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"{form.name} files need {module}, which is not installed: pip install {install!r}"
        )
