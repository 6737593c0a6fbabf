"""Tied weights: layers that hold one parameter in several ways count once and get one mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..network import Layer, Network
from .budgets import Budget, check_names
from .masks import Masks


def untied(network: Network) -> Network:
    """Only the first layer of each parameter; absent in it is what is absent in any of them.

    The wiring is left out where a layer is, because it names that one too.
    """
    owners: dict[tuple, Layer] = {}
    for layer in network:
        owner = owners.setdefault(_parameter(layer), layer)
        if owner is not layer and layer.mask is not None:
            mask = _as_in(owner, layer, layer.mask)
            mask = mask if owner.mask is None else mask & owner.mask
            owners[_parameter(layer)] = owner.with_mask(mask)
    if len(owners) == len(network):
        return network
    return replace(network, layers=tuple(owners.values()), wiring=None)


def untied_budget(budget: Budget, network: Network, single: Network) -> Budget:
    """A budget with densities for all layers, without those of layers that were left out."""
    given = budget.densities
    if given is None or single is network:
        return budget
    check_names(given, network.names, "the budget has densities for")
    return replace(budget, allocation={name: given[name] for name in single.names})


def for_all(network: Network, masks: Masks) -> Masks:
    """Masks for every layer from those of the first layer of each parameter."""
    owners: dict[tuple, Layer] = {}
    found = {}
    for layer in network:
        owner = owners.setdefault(_parameter(layer), layer)
        mask = masks[owner.name]
        found[layer.name] = mask if owner is layer else _as_in(layer, owner, mask)
    return Masks(found)


def _parameter(layer: Layer) -> tuple:
    return layer.path, layer.layout.source_shape


def _as_in(layer: Layer, other: Layer, mask) -> np.ndarray:
    """A mask of `other` as one of `layer`, which holds the same parameter."""
    return np.ascontiguousarray(layer.layout.to_canonical(other.layout.to_source(mask)))
