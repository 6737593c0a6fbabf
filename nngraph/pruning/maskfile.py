"""The file that masks are saved in: an .npz archive of packed bits and a header; no pickle."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from math import prod

import numpy as np

from .._canonical import freeze
from .._errors import FormatError, MissingFileError
from ..stored import ZIP_ERRORS
from ..tables import atomic_path

FORMAT, VERSION = "nngraph masks", 1
_LONGEST_HEADER = 1 << 26  # bytes; a header is some tens of bytes per layer


def write(masks: Mapping[str, np.ndarray], path, overwrite: bool) -> None:
    """Write masks to a new file, atomically."""
    layers = [{"name": name, "shape": list(mask.shape)} for name, mask in masks.items()]
    header = json.dumps({"format": FORMAT, "version": VERSION, "layers": layers}).encode()
    bits = np.concatenate([np.packbits(mask) for mask in masks.values()])
    with atomic_path(path, overwrite=overwrite) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, header=np.frombuffer(header, dtype=np.uint8), bits=bits)


def read(path) -> dict[str, np.ndarray]:
    """The masks of a file, checked against its header."""
    if not os.path.isfile(path):
        raise MissingFileError(f"there is no file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            header = _member(archive, "header.npy", _LONGEST_HEADER)
            shapes = _shapes(header)
            sizes = [-(-prod(shape) // 8) for shape in shapes.values()]
            bits = _member(archive, "bits.npy", sum(sizes))
    except FormatError as error:
        raise FormatError(f"{str(path)!r} is no masks file that can be read: {error}") from None
    except ZIP_ERRORS as error:
        raise FormatError(
            f"{str(path)!r} is no masks file, or is damaged ({error}); give one that Masks.save "
            "wrote"
        ) from error
    if len(bits) != sum(sizes):
        raise FormatError(
            f"{str(path)!r} holds {len(bits)} bytes of bits, but its shapes need {sum(sizes)}"
        )
    masks, start = {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        part = np.unpackbits(bits[start : start + size], count=prod(shape))
        masks[name] = freeze(part.view(bool).reshape(shape))
        start += size
    return masks


def _member(archive: zipfile.ZipFile, name: str, longest: int) -> np.ndarray:
    """One member, an array of bytes no longer than said; checked before memory is set aside."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:  # a few bytes might become many
        raise FormatError(f"{name} is compressed, which Masks.save never does")
    with archive.open(name) as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype != np.uint8 or len(shape) != 1 or shape[0] > longest:
            raise FormatError(
                f"{name} is {dtype} of shape {shape}, and at most {longest} bytes are due"
            )
        data = stream.read(shape[0] + 1)
    if len(data) != shape[0]:
        raise FormatError(f"{name} does not hold the {shape[0]} bytes that it claims")
    return np.frombuffer(data, dtype=np.uint8)


def _shapes(header: np.ndarray) -> dict[str, tuple[int, ...]]:
    try:
        content = json.loads(header.tobytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its header is no JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FormatError(f"its header does not say {FORMAT!r}")
    if content.get("version") != VERSION:
        raise FormatError(
            f"it has version {content.get('version')!r}, and this nngraph reads {VERSION}; "
            "use a newer nngraph"
        )
    layers = content.get("layers")
    if not isinstance(layers, list) or not layers:
        raise FormatError("its header names no layers")
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        name, shape = (layer.get(k) if isinstance(layer, dict) else None for k in ("name", "shape"))
        if not isinstance(name, str) or name in shapes:
            raise FormatError(f"its header has a layer without a name of its own: {name!r}")
        if not isinstance(shape, list) or not 2 <= len(shape) <= 16:
            raise FormatError(f"layer {name!r} has the shape {shape!r}")
        if not all(type(n) is int and n > 0 for n in shape):
            raise FormatError(f"layer {name!r} has the shape {shape!r}")
        shapes[name] = tuple(shape)
    return shapes
