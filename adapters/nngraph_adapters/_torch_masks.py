"""Masks into PyTorch modules and out of them, by the convention of ``torch.nn.utils.prune``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import numpy as np

import nngraph as ng
from nngraph.tables import require

from ._torch_values import canonical_moves, layer_name, pruning_hooks, to_numpy, torch_module

Place = tuple[object, str]  # a module and the name of its parameter


def parameter_places(model) -> dict[str, Place]:
    """Every parameter's module and name there, by path; a pruned one goes by its own name."""
    places = {}
    for path, module in model.named_modules(remove_duplicate=False):
        for held, parameter in module._parameters.items():
            pruned = held.removesuffix("_orig")
            name = pruned if f"{pruned}_mask" in module._buffers else held
            if parameter is not None:
                places[f"{path}.{name}" if path else name] = (module, name)
    return places


def parameter_of(place: Place):
    """The parameter at a place, unmasked."""
    module, name = place
    return module._parameters.get(f"{name}_orig", module._parameters.get(name))


def put_masks(model, masks: Mapping[str, np.ndarray], network, method: str) -> None:
    """See :func:`nngraph_adapters.torch.apply_masks`."""
    if method not in ("prune", "bake"):
        raise ValueError(f"method must be 'prune' or 'bake', got {method!r}")
    if not isinstance(masks, Mapping):
        raise ng.MaskError(f"masks must map layer names to bool arrays, got {type(masks).__name__}")
    places = parameter_places(model)
    wanted: dict[int, tuple[str, np.ndarray]] = {}
    for name, mask in masks.items():
        path, layout = _target(name, places, network)
        source = _to_source(name, mask, layout, parameter_of(places[path]))
        key = id(parameter_of(places[path]))
        first, known = wanted.setdefault(key, (name, source))
        if not np.array_equal(known, source):
            raise ng.MaskError(
                f"{first!r} and {name!r} share one parameter, but their masks differ; give both "
                "the same"
            )
    write = _prune if method == "prune" else _bake
    done: set[Place] = set()
    for place in places.values():  # a tied parameter has several, and each gets the mask
        key = id(parameter_of(place))
        if key in wanted and place not in done:
            write(place, wanted[key][1])
            done.add(place)


def _target(name, places: Mapping[str, Place], network) -> tuple[str, ng.Layout]:
    """The path of the parameter that a mask is for, and how it lies there."""
    known = {layer_name(path): path for path in places} | {path: path for path in places}
    if network is not None:
        layers = {layer.path: layer for layer in network} | {x.name: x for x in network}
        if name in layers and layers[name].path in places:
            return layers[name].path, layers[name].layout
    elif name in known:
        module, attribute = places[known[name]]
        parameter = parameter_of(places[known[name]])
        moves = canonical_moves(module, attribute, parameter.shape)
        if moves is not None:
            return known[name], moves.layout()
        raise ng.MaskError(
            f"how {name!r}, of shape {tuple(parameter.shape)} in a {type(module).__name__}, joins "
            "inputs to outputs is not known; pass network=from_module(model, example_inputs)"
        )
    weights = [path for path, place in places.items() if parameter_of(place).ndim > 1]
    near = difflib.get_close_matches(str(name), [*map(layer_name, weights), *weights], 3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {weights[:12]}."
    if network is None:
        hint += " If from_module named it, pass network="
    raise ng.MaskError(f"the model has no layer {name!r}; {hint}")


def _to_source(name: str, mask, layout: ng.Layout, parameter) -> np.ndarray:
    mask = np.asarray(mask)
    if layout.source_shape != tuple(parameter.shape):
        raise ng.MaskError(
            f"{name!r} had shape {layout.source_shape} when it was traced, but has "
            f"{tuple(parameter.shape)} now; trace the model again"
        )
    if mask.dtype != bool or mask.shape != layout.shape:
        raise ng.MaskError(
            f"the mask of {name!r} must be bool of shape {layout.shape}, got {mask.dtype} of shape "
            f"{mask.shape}"
        )
    return np.ascontiguousarray(layout.to_source(mask))


def _prune(place: Place, mask: np.ndarray) -> None:
    """``name_orig``, ``name_mask`` and a pre-hook, as ``prune.custom_from_mask`` leaves them."""
    torch, prune = torch_module(), require("torch.nn.utils.prune", "torch")
    module, name = place
    values = torch.from_numpy(mask.copy())
    hook = next((hook for _, hook in pruning_hooks(module) if hook._tensor_name == name), None)
    if hook is None:
        parameter = parameter_of(place)
        prune.custom_from_mask(module, name, values.to(parameter.device))
        hook = next(hook for _, hook in pruning_hooks(module) if hook._tensor_name == name)
    else:  # torch would combine old and new; the new mask replaces the old
        module._buffers[f"{name}_mask"].copy_(values)
        if hasattr(hook, "mask"):
            hook.mask = module._buffers[f"{name}_mask"].clone()
    # Detached until the next forward pass: torch leaves a tensor here that deepcopy refuses.
    setattr(module, name, hook.apply_mask(module).detach())


def _bake(place: Place, mask: np.ndarray) -> None:
    """Zeros in the parameter itself; pruning that it had is made permanent first."""
    torch, prune = torch_module(), require("torch.nn.utils.prune", "torch")
    module, name = place
    parameter = parameter_of(place)
    with torch.no_grad():
        parameter.masked_fill_(torch.from_numpy(~mask).to(parameter.device), 0)
    if any(hook._tensor_name == name for _, hook in pruning_hooks(module)):
        module._buffers[f"{name}_mask"].fill_(1)
        prune.remove(module, name)


def stored_masks(model) -> Iterator[tuple[str, np.ndarray]]:
    """Name and canonical mask of every layer whose layout the module's type tells."""
    seen = set()
    for path, place in parameter_places(model).items():
        module, name = place
        parameter = parameter_of(place)
        moves = canonical_moves(module, name, parameter.shape)
        if moves is None or (id(parameter), moves) in seen:
            continue
        seen.add((id(parameter), moves))
        held = module._buffers.get(f"{name}_mask")
        kept = to_numpy(parameter if held is None else held, f"parameter {path!r}") != 0
        yield layer_name(path), moves.layout().to_canonical(kept)
