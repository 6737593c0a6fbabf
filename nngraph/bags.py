"""A bag of weights: named tensors of a checkpoint, as a Network that nobody has wired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod

import numpy as np

from ._canonical import plain_array
from ._errors import WeightError
from .network import Coverage, Layer, Network
from .stored import RAW_TYPES, StoredArray

_MAX_AXES = 5  # outputs, inputs, and a kernel of three


def from_tensors(
    tensors: Mapping[str, np.ndarray | StoredArray], *, source: str | None = None
) -> Network:
    """A network without wiring from named tensors: a state dict, the members of an archive.

    Every floating-point tensor of two to five axes becomes a layer; all others are skipped, with
    the reason in ``network.coverage``. Where ``torch.nn.utils.prune`` left ``X_orig`` and
    ``X_mask``, the layer is ``X`` with that mask.

    Parameters
    ----------
    tensors : mapping of str to ndarray or StoredArray
        By path, in the source's order. A layer's tensor is taken as ``(n_out, n_in, *kernel)``, as
        PyTorch, ONNX convolutions and Equinox store it; where the source stores it otherwise, say
        so in the chain (see :func:`nngraph.wire`). Stored arrays are not read, but for masks.
    source : str, optional
        The file or model, for messages and for :func:`nngraph.save`.

    Returns
    -------
    Network
        With ``wiring=None``. A layer is named as its tensor, without a trailing ``.weight`` where
        names stay unique so; ``layer.path`` is the tensor's full path. ``network.tensors`` keeps
        all tensors, those that were skipped too.

    Raises
    ------
    WeightError
        A name that is no string, a value that is no numeric array, or no tensor that can be a
        layer.

    See Also
    --------
    nngraph.wire : names which layer feeds which.

    Notes
    -----
    Cost: numbers are not looked at, but for masks; NaN and infinity are found when a layer is read.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.from_tensors({"fc.weight": np.ones((3, 4)), "fc.bias": np.zeros(3)})
    >>> net
    <Network: 1 layers, 12 parameters, a bag of weights>
    >>> print(net.coverage)
    1 parameter tensors used, 12 of 15 parameters (80.0%)
      skipped fc.bias (3): 1 axis: a bias or a vector of a norm
    """
    tensors = {path: _tensor(path, value) for path, value in tensors.items()}
    masks = {path: mask for path in tensors if (mask := mask_path(path, tensors)) is not None}
    reasons = {path: skip_reason(tensor.dtype, tensor.shape) for path, tensor in tensors.items()}
    reasons |= {mask: f"the mask of {path!r}" for path, mask in masks.items()}
    skipped = tuple(
        (path, prod(tensors[path].shape), reason) for path, reason in reasons.items() if reason
    )
    paths = [path for path, reason in reasons.items() if not reason]
    if not paths:
        listed = ", ".join(f"{path!r} ({reason})" for path, reason in list(reasons.items())[:8])
        raise WeightError(
            f"{source or 'the mapping'} holds no layer: of {len(tensors)} tensors none is floating "
            f"point with 2 to {_MAX_AXES} axes{': ' + listed if listed else ''}"
        )
    own = {path: path.removesuffix("_orig") if path in masks else path for path in paths}
    short = {path: name.removesuffix(".weight") or name for path, name in own.items()}
    count = Counter([*paths, *(name for path, name in short.items() if name != path)])
    layers = [
        Layer(
            short[path] if count[short[path]] == 1 else path,
            tensors[path],
            mask=_numbers(tensors[masks[path]]) != 0 if path in masks else None,
            path=path,
            source_dtype=_type_name(tensors[path].dtype),
        )
        for path in paths
    ]
    used = tuple((layer.path, layer.size) for layer in layers)
    for path in masks.keys() - own.keys():  # a bias, which a chain will look for by its own name
        vector = np.where(_numbers(tensors[masks[path]]) != 0, _numbers(tensors[path]), 0)
        tensors.setdefault(path.removesuffix("_orig"), vector)
    return Network(layers, coverage=Coverage(used, skipped), source=source, tensors=tensors)


def mask_path(path: str, tensors: Mapping[str, np.ndarray | StoredArray]) -> str | None:
    """The path of the mask of ``X_orig``, as ``torch.nn.utils.prune`` calls it; None: no mask."""
    mask = f"{path.removesuffix('_orig')}_mask"
    if not path.endswith("_orig") or mask not in tensors:
        return None
    return mask if tuple(tensors[mask].shape) == tuple(tensors[path].shape) else None


def skip_reason(dtype, shape) -> str | None:
    """Why a tensor of this type and shape is no layer, or None where it is one."""
    if str(dtype) not in RAW_TYPES and np.dtype(dtype).kind != "f":
        return f"{_type_name(dtype)}: no floating-point numbers"
    if 0 in shape:
        return "zero-size: it holds no number"
    if len(shape) == 0:
        return "0 axes: a single number"
    if len(shape) == 1:
        return "1 axis: a bias or a vector of a norm"
    if len(shape) > _MAX_AXES:
        return f"{len(shape)} axes: more than outputs, inputs and a kernel of three"
    return None


def _tensor(path, value) -> np.ndarray | StoredArray:
    if not isinstance(path, str):
        raise WeightError(f"tensor names must be strings, got {path!r}")
    if not _is_text(path):
        raise WeightError(f"the tensor name {path!r} is no valid Unicode; rename it")
    if isinstance(value, StoredArray):
        return value
    array = plain_array(value, f"tensor {path!r}", WeightError)
    if array.dtype.hasobject:
        raise WeightError(
            f"tensor {path!r} holds Python objects ({type(value).__name__}); give an array of "
            "numbers, or leave it out"
        )
    return array


def _numbers(tensor: np.ndarray | StoredArray) -> np.ndarray:
    return tensor.read() if isinstance(tensor, StoredArray) else tensor


def _is_text(name: str) -> bool:
    """False for halves of surrogate pairs, which no file or terminal takes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_name(dtype) -> str:
    """A type as people write it: ``float32`` rather than ``<f4``."""
    return str(dtype) if str(dtype) in RAW_TYPES else str(np.dtype(dtype))
