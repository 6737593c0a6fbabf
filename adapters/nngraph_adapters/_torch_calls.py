"""What can be learned from running a PyTorch module with hooks: call order, and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import nngraph as ng

from ._torch_masks import parameter_of, parameter_places
from ._torch_trace import positional
from ._torch_values import canonical_moves, geometry, layer_name, to_numpy, torch_module, type_name


def called(model, inputs: Sequence) -> list[str]:
    """Paths of the modules that hold parameters of their own, in the order they are called.

    The model is run once; the caller puts it into evaluation mode, and back.
    """
    order: dict[str, None] = {}
    hooks = [
        module.register_forward_hook(lambda *_, path=path: order.setdefault(path))
        for path, module in model.named_modules()
        if module._parameters
    ]
    try:
        _run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


def _run(model, inputs: Sequence) -> None:
    """Run a model without gradients; whatever its forward raises becomes a GraphError."""
    try:
        with torch_module().no_grad():
            model(*inputs)
    except Exception as error:
        raise ng.GraphError(
            f"the model cannot be run on inputs of shapes {[tuple(x.shape) for x in inputs]}: "
            f"{type(error).__name__}: {error}"
        ) from error


def by_calls(model, inputs: Sequence, masks: Mapping[int, Any], problem: str) -> ng.Network:
    """The layers of torch.nn in the order their modules are called, without wiring.

    `problem` says why there is none; it stands in the coverage.
    """
    rank = {path: k for k, path in enumerate(called(model, inputs))}
    places = parameter_places(model)
    owner = lambda path: path.rpartition(".")[0]  # noqa: E731
    layers, skipped, seen = [], [("wiring", 0, f"{problem}; layers are in call order")], set()
    for path in sorted(places, key=lambda path: rank.get(owner(path), len(rank))):
        (module, name), parameter = places[path], parameter_of(places[path])
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        moves = canonical_moves(module, name, parameter.shape) if name == "weight" else None
        if owner(path) not in rank:
            skipped.append((path, parameter.numel(), "not used in the forward pass"))
        elif moves is None:
            kind = type(module).__name__
            reason = "bias" if name == "bias" else "norm" if parameter.ndim == 1 else (
                f"a parameter of {kind}, whose use only a trace can tell"
            )
            skipped.append((path, parameter.numel(), reason))
        else:
            layout, mask = moves.layout(), masks.get(id(parameter))
            kept = None if mask is None else to_numpy(mask, f"the mask of {path!r}") != 0
            layers.append(ng.Layer(
                layer_name(path), layout.to_canonical(to_numpy(parameter, f"parameter {path!r}")),
                mask=None if kept is None else layout.to_canonical(kept), path=path, layout=layout,
                source_dtype=type_name(parameter.dtype), **geometry(module),
            ))  # fmt: skip
    if not layers:
        raise ng.WeightError(f"the model has no layer of torch.nn; {problem}")
    used = tuple((layer.path, layer.size) for layer in layers)
    return ng.Network(tuple(layers), coverage=ng.Coverage(used, tuple(skipped)))


def module_outputs(model, batches: Iterable, modules) -> Iterator[dict[str, np.ndarray]]:
    """See :func:`nngraph_adapters.torch.stream_activations`."""
    torch = torch_module()
    paths = {path: module for path, module in model.named_modules() if path}
    wanted = {path for path, module in paths.items() if not any(module.children())}
    wanted = wanted if modules is None else set(modules)
    for path in wanted - set(paths):
        raise ng.GraphError(f"the model has no module {path!r}; it has {list(paths)[:12]}")
    for batch in batches:
        found: dict[str, np.ndarray] = {}

        def keep(path: str, output, found=found) -> None:
            if isinstance(output, torch.Tensor):
                name, k = path, 2
                while name in found:
                    name, k = f"{path}_{k}", k + 1
                # A copy, because an op in place may come after.
                found[name] = to_numpy(output.detach().clone(), f"the output of {path!r}")

        hooks = [
            paths[path].register_forward_hook(lambda _, __, output, path=path: keep(path, output))
            for path in wanted
        ]
        try:
            with _eval_flags(model):
                _run(model, positional(model, batch))
        finally:
            for hook in hooks:
                hook.remove()
        yield found


@contextmanager
def _eval_flags(model) -> Iterator[None]:
    """Evaluation mode, module by module, and the old modes in the end."""
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = False
        yield
    finally:
        for module, flag in flags:
            module.training = flag
