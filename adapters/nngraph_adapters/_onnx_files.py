"""ONNX files: parsed, with every reference to another file checked before it is followed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

import nngraph as ng
from nngraph.tables import require

_LIMIT = 2**31 - 1  # bytes of one protobuf message


def onnx_module():
    """The onnx package, or an error that names the extra."""
    return require("onnx", "onnx")


def parse(path: Path):
    """The model of a file, without the tensors that lie in other files."""
    onnx = onnx_module()
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf's decoders raise their own kinds
        raise ng.FormatError(f"{str(path)!r} is no ONNX model, or is damaged: {error}") from error
    if not model.graph.node or not model.graph.output:
        raise ng.FormatError(
            f"{str(path)!r} is no ONNX model, or is cut short: its graph has no nodes or no output"
        )
    return model


def subgraphs(node) -> Iterator[tuple[str, object]]:
    """Name and graph of each attribute of a node that holds a graph."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for k, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}.{k}", graph


def node_label(node) -> str:
    """A node's name, else that of its first output, which is unique in its graph."""
    return node.name or next(filter(None, node.output), node.op_type)


def scope(prefix: str, node, attribute: str) -> str:
    """The prefix of paths in a sub-graph; outputs are unique, names of nodes need not be."""
    return f"{prefix}{next(filter(None, node.output), node.name)}.{attribute}/"


def graph_tensors(graph, prefix: str = "") -> Iterator[tuple[str, object, bool]]:
    """Path and tensor of every initializer and Constant node, and whether it is an initializer."""
    for tensor in graph.initializer:
        yield prefix + tensor.name, tensor, True
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain:
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield prefix + node.output[0], attribute.t, False
        for name, inner in subgraphs(node):
            yield from graph_tensors(inner, scope(prefix, node, name))


def all_tensors(model, path: Path) -> dict[str, tuple[object, bool]]:
    """Every tensor by its path."""
    found: dict[str, tuple[object, bool]] = {}
    for name, tensor, initializer in graph_tensors(model.graph):
        if name in found:
            raise ng.FormatError(f"{str(path)!r} lies: there are two tensors of the name {name!r}")
        found[name] = tensor, initializer
    return found


def type_name(tensor_type: int) -> str:
    """``FLOAT8E4M3FN`` as NumPy and ml_dtypes call it: ``float8_e4m3fn``."""
    onnx = onnx_module()
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(tensor_type).name
    except (KeyError, ValueError, TypeError):
        return f"type {tensor_type}"


def tensor_array(tensor, path: Path) -> np.ndarray | ng.StoredArray:
    """A tensor's numbers; a handle to them where they lie in another file."""
    onnx = onnx_module()
    if min(tensor.dims, default=0) < 0:
        raise ng.FormatError(f"{str(path)!r} lies: {tensor.name!r} has shape {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, path)
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # ValueError, TypeError and others, by the kind of damage
        raise ng.FormatError(
            f"{str(path)!r}: the tensor {tensor.name!r} cannot be read: {error}"
        ) from error
    array = array.view()
    array.flags.writeable = False
    return array


def _external(tensor, path: Path) -> ng.StoredArray:
    """A handle to a tensor in another file, which must lie in the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    what = f"{str(path)!r}: tensor {tensor.name!r}"
    file = _contained(entries.get("location", ""), path, what)
    name = type_name(tensor.data_type)
    raw = name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
    try:
        dtype = np.dtype({1: "u1", 2: "u2"}[2 if name == "bfloat16" else 1] if raw else name)
        offset, need = int(entries.get("offset") or 0), prod(tensor.dims) * dtype.itemsize
        length = int(entries.get("length") or need)
    except (TypeError, ValueError) as error:
        raise ng.FormatError(f"{what} of {name} in {file.name!r} cannot be read: {error}") from None
    if offset < 0 or length != need or offset + need > os.path.getsize(file):
        raise ng.FormatError(
            f"{what} needs {need:,} bytes at {offset:,} of {str(file)!r}, whose size is "
            f"{os.path.getsize(file):,}, and claims {length:,}: the files do not belong together"
        )
    stored = name if raw else dtype.newbyteorder("<").str
    return ng.StoredArray.at(file, tuple(tensor.dims), stored, offset=offset)


def _contained(location: str, path: Path, what: str) -> Path:
    """The file that a location names; only plain files below the model's folder are believed."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    if not parts or ".." in parts or "\\" in location or "\0" in location or (
        PurePosixPath(location).is_absolute() or windows.is_absolute() or windows.drive
    ):
        raise ng.FormatError(
            f"{what} lies in {location!r}; external data must be in the model's own folder, so it "
            "is not opened"
        )
    file = path.parent
    for part in parts:
        file = file / part
        if file.is_symlink():
            raise ng.FormatError(
                f"{what} lies in {location!r}, where {str(file)!r} is a symbolic link, so it is "
                "not opened; put the file itself there"
            )
    if not file.is_file():
        raise ng.MissingFileError(f"{what} lies in {str(file)!r}, which is missing")
    return file


def write_masked(
    path: Path, masks: Mapping[str, np.ndarray], zeros: Mapping[str, np.ndarray], out: Path
) -> None:
    """Copy a model with zeros where the masks are False; `zeros` gives the codes of quantised ones.

    Data of other files move into the new file, so that it stands alone.
    """
    model = parse(path)
    tensors = all_tensors(model, path)
    every = [tensor for tensor, _ in tensors.values()]
    for tensor in every:
        if tensor.data_location == onnx_module().TensorProto.EXTERNAL:
            stored = tensor_array(tensor, path)
            bits = stored.bits()
            if model.ByteSize() + bits.nbytes > _LIMIT:
                raise ng.FormatError(
                    f"{str(path)!r} with its external data is larger than 2 GB, which one ONNX "
                    "file cannot hold, and writing external data is not supported"
                )
            _fill(tensor, bits)
            stored.check_unchanged()
    for name, mask in masks.items():
        tensor = tensors[name][0]
        array = np.array(tensor_array(tensor, path))
        array[~mask] = zeros[name][~mask] if name in zeros else 0
        _fill(tensor, array)
    try:
        out.write_bytes(model.SerializeToString())
    except ValueError as error:  # protobuf's own limit
        raise ng.FormatError(f"{str(path)!r} is too large to be written: {error}") from error


def _fill(tensor, array: np.ndarray) -> None:
    """Put numbers into a tensor of their type, in its raw form."""
    if array.dtype.kind in "fiu":  # not the types of ml_dtypes, which have no byte order
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data",
                  "external_data", "data_location"):  # fmt: skip
        tensor.ClearField(field)
    tensor.raw_data = array.tobytes()
