"""PyTorch: modules and checkpoints in, masks back by the convention of ``torch.nn.utils.prune``.

Importing this module does not import torch; its functions do (extra ``torch``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

import nngraph as ng

from ._torch_calls import by_calls, module_outputs
from ._torch_files import TorchFormat
from ._torch_graph import Graph
from ._torch_masks import put_masks, stored_masks
from ._torch_trace import evaluating, exported, positional
from ._torch_values import check_numbers, torch_module

__all__ = ["FORMAT", "activations", "apply_masks", "from_module", "stream_activations", "to_masks"]

FORMAT = TorchFormat()


def from_module(model, example_inputs, *, strict: bool = False) -> ng.Network:
    """The network of a PyTorch module: its layers, and how they are wired.

    Parameters
    ----------
    model : torch.nn.Module
        It is traced in evaluation mode and left as it was: modes, hooks, buffers, gradients.
    example_inputs : tensor, array_like or tuple of them
        What ``model(*example_inputs)`` takes, with examples first. Only the shapes matter.
    strict : bool, default False
        Whether an op that nngraph does not know, or a model that cannot be traced, is an error.

    Returns
    -------
    Network
        A layer is named as its module (``"layer1.0.conv1"``), ``layer.path`` is the parameter
        (``"layer1.0.conv1.weight"``). ``network.coverage`` says of every other parameter what it
        is. What nngraph does not know becomes a node of op ``"unsupported"``. A model that cannot
        be traced gives its layers in the order they are called, without wiring; the coverage says
        so. Of several outputs the first that depends on the inputs is the network's. Masks that the
        model carries by ``torch.nn.utils.prune`` are the layers' masks.

    Raises
    ------
    UnsupportedOpError
        With `strict`: the op and where it is, or why the model cannot be traced.
    GraphError
        The model cannot be run on these inputs, or has no layer; a parameter without numbers, or
        tied to one with another mask.
    MissingExtraError
        Torch is not installed.

    Notes
    -----
    Weights are read-only views of the model's memory, without a copy (except of types that NumPy
    lacks, which become float32): they follow the model when it is trained on. Biases and statistics
    are copies. Tied weights are one layer in several nodes; where they are used in two ways, as by
    an embedding and an output layer, they are two layers of one path, whose masks must agree.

    Cost: one ``torch.export`` with shapes only, without arithmetic; a second or so.

    Examples
    --------
    >>> import torch
    >>> from nngraph_adapters import torch as ngt
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> net = ngt.from_module(model, torch.zeros(1, 4))
    >>> [node.name for node in net.wiring]
    ['input', '0', '0.bias', '1', '2', '2.bias']
    >>> print(net.coverage)
    2 parameter tensors used, 18 of 23 parameters (78.3%)
      skipped 0.bias (3): bias
      skipped 2.bias (2): bias
    """
    _check_model(model)
    for path, parameter in model.named_parameters():
        check_numbers(parameter, f"parameter {path!r}")  # tracing would give a lazy one numbers
    inputs = positional(model, example_inputs)
    with evaluating(model) as masks:
        program = exported(model, inputs)
        if isinstance(program, Exception):
            problem = f"torch.export cannot trace the model: {_summary(program)}"
            if strict:
                raise ng.UnsupportedOpError(problem) from program
            return by_calls(model, inputs, masks, problem)
        graph = Graph(program, model, masks, strict)
        output = graph.walk()
        return graph.builder.network(output, {p: x.numel() for p, x in model.named_parameters()})


def apply_masks(
    model, masks: Mapping[str, np.ndarray], *, network: ng.Network | None = None,
    method: str = "prune",
) -> None:  # fmt: skip
    """Put masks into a PyTorch module, in place.

    Parameters
    ----------
    model : torch.nn.Module
    masks : Masks or mapping of str to ndarray of bool
        By layer name or parameter path, as :func:`from_module` gives them, in the canonical shape
        ``(n_out, n_in / groups, *kernel)``. Layers without a mask stay as they are.
    network : Network, optional
        What :func:`from_module` gave for this model; needed only for parameters of modules that
        are not of ``torch.nn``, whose layout nothing else tells.
    method : {"prune", "bake"}
        ``"prune"``: the convention of ``torch.nn.utils.prune``, parameter ``weight_orig``, buffer
        ``weight_mask`` and a forward pre-hook; kept weights train on, masked ones keep their
        numbers. ``"bake"``: zeros in the parameter itself, for good.

    Raises
    ------
    MaskError
        A name that the model does not have (with the nearest ones), a wrong shape or type, or two
        different masks for one shared parameter. Nothing is changed then.

    Notes
    -----
    A second call replaces the masks of the layers it names (torch's own functions would combine old
    and new). Tied parameters are masked at each of their places. ``torch.nn.utils.prune.remove``
    makes masks permanent. A pruned model can be deep-copied until its next forward pass with
    gradients, which leaves a tensor that torch cannot copy.

    Examples
    --------
    >>> import torch
    >>> from nngraph_adapters import torch as ngt
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False))
    >>> ngt.apply_masks(model, {"0": np.eye(2, dtype=bool)})
    >>> list(model.state_dict())
    ['0.weight_orig', '0.weight_mask']
    >>> model(torch.tensor([[1.0, 0.0]]))[0, 1].item()
    0.0
    """
    _check_model(model)
    put_masks(model, masks, network, method)


def to_masks(model) -> ng.Masks:
    """The masks that a PyTorch module carries.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    Masks
        One per layer of ``torch.nn``, named as :func:`from_module` does, canonical shape: the
        buffer ``weight_mask`` where the layer has one, else where its weight is not 0 (so masks
        that were baked in are found, and so are weights that are 0 of themselves).

    Raises
    ------
    MaskError
        The model has no such layer.

    Examples
    --------
    >>> import torch
    >>> from nngraph_adapters import torch as ngt
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False))
    >>> ngt.apply_masks(model, {"0": np.eye(2, dtype=bool)})
    >>> ngt.to_masks(model)["0"]
    array([[ True, False],
           [False,  True]])
    """
    _check_model(model)
    return ng.Masks(dict(stored_masks(model)))


def activations(model, inputs, *, modules: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """What the modules of a model give for some inputs, computed by torch.

    Parameters
    ----------
    model : torch.nn.Module
        Run in evaluation mode without gradients, and left as it was.
    inputs : tensor, array_like or tuple of them
        What ``model(*inputs)`` takes, with examples first.
    modules : iterable of str, optional
        Paths of modules. Default: all that hold no others.

    Returns
    -------
    dict of str to ndarray
        By module path, in the order they are called; a module that is called again adds ``_2`` and
        so on. Modules that give no tensor are left out.

    Raises
    ------
    GraphError
        An unknown module path, or a model that cannot be run on these inputs.

    See Also
    --------
    nngraph.activations : the same without torch, for every node of the wiring.

    Examples
    --------
    >>> import torch
    >>> from nngraph_adapters import torch as ngt
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU())
    >>> ngt.activations(model, torch.tensor([[[-1.0], [2.0]]]))["1"]
    array([[0., 2.]], dtype=float32)
    """
    return next(stream_activations(model, [inputs], modules=modules))


def stream_activations(
    model, batches: Iterable, *, modules: Iterable[str] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """What the modules of a model give, one batch after the other.

    Parameters
    ----------
    model : torch.nn.Module
    batches : iterable of tensor, array_like or tuple of them
        Each as `inputs` of :func:`activations`.
    modules : iterable of str, optional
        As for :func:`activations`.

    Yields
    ------
    dict of str to ndarray
        As :func:`activations` gives, for each batch; the caller's to keep.

    Raises
    ------
    GraphError
        An unknown module path, or a model that cannot be run on these inputs.

    Examples
    --------
    >>> import torch
    >>> from nngraph_adapters import torch as ngt
    >>> model = torch.nn.Sequential(torch.nn.ReLU())
    >>> batches = (torch.full((2, 1), float(k)) for k in (-1, 1))
    >>> [float(values["0"].sum()) for values in ngt.stream_activations(model, batches)]
    [0.0, 2.0]
    """
    _check_model(model)
    return module_outputs(model, batches, modules)


def _check_model(model) -> None:
    torch = torch_module()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"a torch.nn.Module is needed, got {type(model).__name__}; for a state dict use "
            "nngraph.from_tensors, for a file nngraph.load"
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError(
            f"{type(model).__name__} is or holds a TorchScript module, which takes no hooks; pass "
            "the torch.nn.Module that it was made from"
        )


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}"
