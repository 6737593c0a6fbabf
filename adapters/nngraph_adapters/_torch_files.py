"""PyTorch checkpoints: read without running any code, lazily where the file allows it."""

from __future__ import annotations

import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

import nngraph as ng

from ._torch_values import to_numpy, torch_module, type_name

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_DEPTH = 8  # of nested mappings; a pickle may nest, or contain itself, without end
_NUMPY = {
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", "bool", "complex64", "complex128",
}  # fmt: skip
_RAW = {"bfloat16", "float8_e4m3fn", "float8_e5m2"}  # types of StoredArray that NumPy lacks


class TorchFormat:
    """``torch.save`` files of a state dict, alone or inside a checkpoint."""

    name = "torch"
    suffixes = (".pt", ".pth", ".th", ".bin")
    requires = ("torch", "nngraph[torch]")

    def read(self, path: Path) -> ng.Network:
        """The tensors of the file as a bag of weights.

        Nothing is read but the index where the file is a zip archive and its tensors are
        contiguous; older files are read whole.
        """
        spans = _spans(path)
        tensors = {} if spans is None else _stored(path, spans)
        if tensors:
            return ng.from_tensors(tensors, source=str(path))
        held = dict(_tensors(_load(path, "cpu"), path))
        arrays = {name: to_numpy(tensor, f"{name!r} of {path}") for name, tensor in held.items()}
        network = ng.from_tensors(arrays, source=str(path))
        layers = (replace(x, source_dtype=type_name(held[x.path].dtype)) for x in network)
        return replace(network, layers=tuple(layers))

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """Save the same objects again, masked entries zero; shared memory stays shared."""
        torch = torch_module()
        content = _load(source, "cpu")
        tensors = dict(_tensors(content, source))
        owners: dict[tuple, str] = {}
        for path, mask in masks.items():
            tensor = tensors[path].detach()
            place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            first = owners.setdefault(place, path)
            if not np.array_equal(masks[first], mask):
                raise ng.MaskError(
                    f"{first!r} and {path!r} are one tensor, but their masks differ; give both the "
                    "same"
                )
            # Through integers of the same width: any type, and +0 whatever was there.
            bits = tensor.view(getattr(torch, f"int{8 * tensor.element_size()}"))
            bits.masked_fill_(torch.from_numpy(~mask), 0)
        try:
            with open(out, "wb") as stream:
                torch.save(content, stream)
        except Exception as error:  # torch says a full disk in words of its own
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            if isinstance(reason, OSError):
                raise reason from None
            raise ng.FormatError(f"{str(source)!r} cannot be saved again: {error}") from error


def _load(path: Path, where: str):
    """What a file holds, of tensors and plain containers only."""
    torch = torch_module()
    try:
        # Torch warns about TorchScript archives and foreign pickles, and then raises; so do we.
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, weights_only=True, map_location=where)
    except Exception as error:  # pickle, zip and torch each raise their own, some plain Exception
        raise _refusal(path, error) from None


def _refusal(path: Path, error: Exception) -> ng.FormatError:
    """What went wrong with a file, and the remedy, without torch's advice to load it anyway."""
    text = str(error)
    if "TorchScript" in text:
        return ng.FormatError(
            f"{str(path)!r} is a TorchScript archive, which is a program; save model.state_dict() "
            "instead, or export it to ONNX"
        )
    if found := re.search(r"GLOBAL (\S+)", text):
        return ng.FormatError(
            f"{str(path)!r} holds a pickled {found[1]}, and pickled objects can run code when they "
            "are loaded: nngraph loads tensors only, and nothing was run. If this is a whole "
            "model, save model.state_dict() where you trust it"
        )
    reason = "no pickle of torch.save" if "weights_only" in text else text.partition("\n")[0]
    return ng.FormatError(
        f"{str(path)!r} is no PyTorch file, or is damaged ({type(error).__name__}: {reason}); "
        "save model.state_dict() with torch.save"
    )


def _tensors(content, path: Path) -> Iterator[tuple[str, object]]:
    """Name and tensor of everything in a checkpoint, without the prefixes that wrappers add."""
    torch = torch_module()
    content = _unwrap(content)
    if isinstance(content, torch.Tensor):
        content = {"weight": content}
    found = list(_walk(content, "", path, _DEPTH))
    if not found:
        keys = list(content)[:8] if isinstance(content, Mapping) else type(content).__name__
        raise ng.FormatError(f"{str(path)!r} holds no tensors: {keys}; save model.state_dict()")
    names = [name for name, _ in found]
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in names)), None):
        names = [name[len(prefix) :] for name in names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ng.FormatError(f"{str(path)!r} holds two tensors of the name {twice!r}")
    yield from zip(names, (tensor for _, tensor in found), strict=True)


def _unwrap(content):
    for _ in range(_DEPTH):
        if isinstance(content, (list, tuple)) and len(content) == 1:
            content = content[0]
        elif isinstance(content, Mapping) and (
            key := next((k for k in _WRAPPERS if isinstance(content.get(k), (Mapping, list))), None)
        ):
            content = content[key]
    return content


def _walk(content, prefix: str, path: Path, depth: int) -> Iterator[tuple[str, object]]:
    torch = torch_module()
    if not depth:
        raise ng.FormatError(f"{str(path)!r} nests its tensors too deep; save model.state_dict()")
    items = content.items() if isinstance(content, Mapping) else enumerate(content or ())
    for key, value in items:
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, (Mapping, list, tuple)):
            yield from _walk(value, f"{prefix}{key}.", path, depth - 1)


def _spans(path: Path) -> dict[int, int] | None:
    """Begin and length of each member of a zip archive; None where its bytes cannot be mapped."""
    spans = {}
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                    return None
                if info.filename.endswith("/byteorder") and (
                    archive.read(info) != sys.byteorder.encode()
                ):
                    return None
                stream.seek(info.header_offset + 26)  # two lengths end the local header
                name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
                spans[info.header_offset + 30 + name + extra] = info.file_size
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ng.FormatError(f"{str(path)!r} is a damaged zip archive: {error}") from error
    return spans


def _stored(path: Path, spans: Mapping[int, int]) -> dict[str, ng.StoredArray] | None:
    """Handles to all tensors; None where one is no plain contiguous run of numbers.

    Torch tells where a storage begins when it loads a file to the meta device; where an old version
    does not, files are read whole.
    """
    handles = {}
    for name, tensor in _tensors(_load(path, "meta"), path):
        dtype = type_name(tensor.dtype)
        if tensor.layout != torch_module().strided or dtype not in _NUMPY | _RAW:
            return None
        begin = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
        if begin is None or not tensor.is_contiguous():
            return None
        skip = tensor.storage_offset() * tensor.element_size()
        if spans.get(begin, -1) < skip + tensor.numel() * tensor.element_size():
            raise ng.FormatError(f"{str(path)!r} lies: tensor {name!r} is longer than its record")
        stored = dtype if dtype in _RAW else np.dtype(dtype).str
        handles[name] = ng.StoredArray.at(path, tuple(tensor.shape), stored, offset=begin + skip)
    return handles
