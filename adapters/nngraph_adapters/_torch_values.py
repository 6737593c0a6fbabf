"""Torch tensors as NumPy arrays, and how the modules of ``torch.nn`` store their weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import nngraph as ng
from nngraph.tables import require

from ._moves import Moves


def torch_module():
    """The torch package, or an error that names the extra."""
    return require("torch", "torch")


def type_name(dtype) -> str:
    """``torch.bfloat16`` as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def check_numbers(tensor, what: str) -> None:
    """Raise WeightError where a tensor has no memory yet."""
    if tensor.is_meta or torch_module().nn.parameter.is_lazy(tensor):
        raise ng.WeightError(f"{what} has no numbers yet (meta device or lazy); run the model once")


def to_numpy(tensor, what: str) -> np.ndarray:
    """A read-only array of a tensor's numbers: a view of its memory where NumPy knows the type.

    Floating-point types that NumPy lacks become float32, which holds them exactly.
    """
    torch = torch_module()
    check_numbers(tensor, what)
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = (tensor.to_dense() if tensor.layout != torch.strided else tensor).cpu()
    known = (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and tensor.dtype not in known:
        tensor = tensor.float()
    try:
        array = tensor.resolve_conj().resolve_neg().numpy().view()
    except TypeError as error:
        raise ng.WeightError(f"{what} holds {tensor.dtype}, which NumPy lacks: {error}") from None
    array.flags.writeable = False
    return array


def canonical_moves(module, attribute: str, shape) -> Moves | None:
    """How a parameter becomes ``(n_out, n_in / groups, *kernel)``; None: that is not known.

    Known are the modules of ``torch.nn``; what another module does with its parameters only a
    trace can tell.
    """
    nn = torch_module().nn
    moves = Moves.of(shape)
    known = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
    if len(shape) < 2:
        return None
    if isinstance(module, nn.modules.conv._ConvTransposeNd) and attribute == "weight":
        return moves.transposed_conv(module.groups)
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return moves.transpose((1, 0))
    return moves if isinstance(module, known) else None


def geometry(module) -> dict:
    """Stride, padding and so on of a convolution of ``torch.nn``, as a Layer takes them."""
    nn = torch_module().nn
    if not isinstance(module, nn.modules.conv._ConvNd):
        return {"kind": "embedding"} if isinstance(module, nn.Embedding) else {}
    kernel, dilation = module.kernel_size, module.dilation
    found = {
        "stride": module.stride, "dilation": dilation, "groups": module.groups,
        "padding": padding_pairs(module.padding, kernel, dilation),
    }  # fmt: skip
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        found |= {"transposed": True, "output_padding": module.output_padding}
    return found


def padding_pairs(padding, kernel, dilation) -> tuple[tuple[int, int], ...]:
    """Torch's padding, a string or one or more ints, as (low, high) pairs."""
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    values = (padding,) * len(kernel) if isinstance(padding, int) else tuple(padding)
    values = values * len(kernel) if len(values) == 1 else values
    return tuple((int(p), int(p)) for p in values)


def layer_name(path: str) -> str:
    """The module's path for its ``weight``, else the parameter's own path."""
    return path.removesuffix(".weight") or path


def pruning_hooks(module) -> Iterator[tuple[int, object]]:
    """The forward pre-hooks of ``torch.nn.utils.prune`` on a module, by their id."""
    base = require("torch.nn.utils.prune", "torch").BasePruningMethod
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, base):
            yield key, hook
