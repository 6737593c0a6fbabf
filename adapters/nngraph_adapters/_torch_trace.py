"""From a PyTorch module to a graph of aten ops, without a trace left on the module."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import nngraph as ng

from ._torch_values import pruning_hooks, torch_module


def positional(model, inputs) -> tuple:
    """Inputs as the positional arguments of a model; floating-point arrays take its type."""
    torch = torch_module()
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    tensors = []
    for x in inputs:
        if not isinstance(x, torch.Tensor):
            try:
                x = torch.as_tensor(x)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ng.GraphError(
                    f"example inputs are arrays, in the order of forward's arguments; got "
                    f"{type(x).__name__}: {error}"
                ) from None
            x = x.to(dtype) if x.is_floating_point() else x
        tensors.append(x)
    inputs = tuple(tensors)
    if not inputs or inputs[0].ndim < 2 or not len(inputs[0]):
        raise ng.GraphError(
            "example inputs are tensors with examples first, such as torch.zeros(1, 3, 32, 32); "
            f"got {[tuple(x.shape) for x in inputs]}"
        )
    return inputs


@contextmanager
def evaluating(model) -> Iterator[dict[int, Any]]:
    """`model` in evaluation mode and without pruning hooks; in the end it is as it was.

    Gives the masks of pruned parameters, by the parameter's id. A pruned parameter goes by its own
    name meanwhile. Evaluation mode is set flag by flag, because ``model.eval()`` may do more where
    a model overrides ``train``. Attributes, buffers and the random stream are put back.
    """
    torch = torch_module()
    modules = list(model.modules())
    saved = [(module, dict(module.__dict__)) for module in modules]
    inner = [
        (value, copy.copy(value))
        for _, attributes in saved
        for value in attributes.values()
        if isinstance(value, (dict, list, set))
    ]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    stream = torch.get_rng_state()
    try:
        held = {}
        for module in modules:
            module.training = False
            for key, hook in pruning_hooks(module):
                name = hook._tensor_name
                del module._forward_pre_hooks[key]
                module.__dict__.pop(name, None)
                module._parameters[name] = module._parameters.pop(f"{name}_orig")
                held[module, name] = module._buffers[f"{name}_mask"]
        yield _one_mask_each(model, held)
    finally:
        for module, attributes in saved:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for value, before in inner:
            value.clear()
            value.extend(before) if isinstance(value, list) else value.update(before)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.set_rng_state(stream)


def _one_mask_each(model, held: Mapping) -> dict[int, Any]:
    """Masks by the parameter's id, from those by place; a tied one has the same everywhere."""
    masks = {id(module._parameters[name]): mask for (module, name), mask in held.items()}
    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if id(parameter) in masks:
                mask, other = held.get((module, name)), masks[id(parameter)]
                if mask is not other and (mask is None or not mask.equal(other)):
                    raise ng.MaskError(
                        f"'{path}.{name}' is tied to a parameter with another mask, or one of the "
                        "two has none; nngraph_adapters.torch.apply_masks gives both the same"
                    )
    return masks


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Without the op that computes a whole transformer layer at once and hides its weights."""
    settings = torch_module().backends.mha
    before = settings.get_fastpath_enabled()
    settings.set_fastpath_enabled(False)
    try:
        yield
    finally:
        settings.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own deprecations and about attributes that forward sets.

    We put those attributes back; and what cannot be traced, which torch prints at length on
    standard error, is told by the coverage.
    """
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def exported(model, inputs: Sequence):
    """An exported program of functional aten ops, or the error that both ways of tracing gave.

    ``torch.export`` first; where it fails, once more on the graph of ``torch.fx``, which is free of
    the Python around it (attributes that forward sets, for one).
    """
    torch = torch_module()
    with _quiet(), torch.no_grad(), _no_fast_path():
        try:
            program = torch.export.export(model, tuple(inputs), strict=False)
        except Exception as error:  # anything may go wrong while a user's forward is traced
            try:
                graph = torch.fx.symbolic_trace(model)
                program = torch.export.export(graph, tuple(inputs), strict=False)
            except Exception:  # the first error tells more
                return error
        changes = (
            node.target._schema.is_mutable
            for node in program.graph.nodes
            if hasattr(node.target, "_schema")
        )
        return program.run_decompositions({}) if any(changes) else program
