"""prune: from a network and a pruning method to masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .._errors import MaskError
from ..network import Network
from .budgets import Budget, check_density, check_names
from .masks import Masks
from .registry import NEEDS, resolve
from .ties import for_all, untied, untied_budget


def prune(
    network: Network, method, *, density: float | None, budget="global", data=None, rng=None
) -> Masks:
    """Masks that keep a given fraction of a network's parameters, by any pruning method.

    Parameters
    ----------
    network : Network
        Layers of every kind take part, embeddings and recurrent ones too; biases and norms are no
        layers. It is not changed.
    method : str or object
        A name of :func:`nngraph.methods`, or a method object with its options.
    density : float or None
        Fraction kept, from 0 to 1, of all parameters of the layers. What a layer's own mask has
        dropped stays dropped and still counts as a parameter, so that a density means the same
        before and after pruning in rounds. None where the budget sets it (see
        :meth:`Masks.from_scores`).
    budget : Budget, str or mapping of str to float, optional
        How the parameters are shared out over layers, and in what pattern: ``"global"``,
        ``"uniform"``, ``"erdos_renyi"``, ``"erk"``, ``"rows"``, ``"columns"``, ``"2:4"``,
        ``"uniform+rows"``, a mapping of densities; see :class:`nngraph.Budget`. A method with an
        allocation of its own takes that for ``"global"``.
    data : optional
        What ``method.needs``: example inputs or gradients.
    rng : seed or numpy.random.Generator, optional
        For methods that draw, and for ties, which go by layer order and index where it is None.

    Returns
    -------
    Masks
        One mask per layer; put them back with ``network.with_masks(masks)``, with
        :func:`nngraph.save`, or with an adapter.

    Raises
    ------
    MaskError
        An unknown method, missing data, a density or budget that is impossible.

    Notes
    -----
    Layers of one parameter, such as an embedding and an output layer that is tied to it, are one:
    the parameter counts once, the scores of the first of them decide, and all get its mask.

    Cost: that of the method, then O(parameters). A score of 32 bits stays one; at the peak the
    scores of all layers, one copy of them (for a global budget) and 2 bytes per parameter are in
    memory, and one layer's weights.

    Examples
    --------
    >>> import nngraph as ng
    >>> net = ng.Network([ng.Layer("fc1", np.eye(4)), ng.Layer("fc2", np.ones((2, 4)))])
    >>> masks = ng.prune(net, "magnitude", density=0.25)
    >>> masks.kept, masks.covered
    (6, 24)
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"a Network is needed, got {type(network).__name__}; make one with nngraph.load, an "
            "adapter, or nngraph.Network([nngraph.Layer(name, weights), ...])"
        )
    if not len(network):
        raise MaskError(f"{network.source or 'the network'} has no layers; there is nothing to do")
    method = resolve(method)
    budget = _own_allocation(method, Budget.of(budget))
    if density is not None:
        density = check_density(density)
    elif not budget.sets_density:
        raise MaskError(f"density is needed: the budget {str(budget)!r} does not set one")
    if method.needs != "nothing" and data is None:
        raise MaskError(f"method {method.name!r} needs {NEEDS[method.needs]}")
    single = untied(network)
    budget = untied_budget(budget, network, single)
    if hasattr(method, "masks"):
        masks = Masks(method.masks(single, budget, density=density, data=data, rng=rng))
        _check_masks(single, masks, method.name)
    else:
        scores = method.scores(network, data)
        check_names(scores, network.names, "there are scores for")
        scores = respect_masks(single, {name: scores[name] for name in single.names})
        masks = Masks.from_scores(scores, density=density, budget=budget, rng=rng)
    return masks if single is network else for_all(network, masks)


def respect_masks(network: Network, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores in the network's order, -inf where a layer's own mask says that there is nothing.

    Parameters
    ----------
    network : Network
    scores : mapping of str to array_like
        One array of the layer's shape for every layer.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    MaskError
        Names or shapes that are not the network's.

    Examples
    --------
    >>> import nngraph as ng
    >>> layer = ng.Layer("fc", np.ones((1, 2)), mask=np.array([[True, False]]))
    >>> respect_masks(ng.Network([layer]), {"fc": np.array([[5.0, 7.0]])})
    {'fc': array([[  5., -inf]])}
    """
    check_names(scores, network.names, "there are scores for")
    found = {}
    for layer in network:
        values = np.asarray(scores[layer.name])
        if values.shape != layer.shape:
            raise MaskError(
                f"layer {layer.name!r} has shape {layer.shape}, but its scores {values.shape}"
            )
        if layer.mask is not None and not layer.mask.all():
            kind = values.dtype.type if values.dtype.kind == "f" else np.float64
            values = np.where(layer.mask, values, kind(-np.inf))
        found[layer.name] = values
    return found


def _own_allocation(method, budget: Budget) -> Budget:
    own = getattr(method, "allocation", None)
    if own is None or budget.allocation == own:
        return budget
    if budget.allocation != "global":
        raise MaskError(
            f"method {method.name!r} shares parameters out by itself ({own}); leave the budget "
            f"at 'global' instead of {str(budget)!r}, or take the method 'random'"
        )
    return replace(budget, allocation=own)


def _check_masks(network: Network, masks: Masks, name: str) -> None:
    check_names(masks, network.names, f"method {name!r} gave masks for")
    for layer in network:
        mask = masks[layer.name]
        if mask.shape != layer.shape:
            raise MaskError(
                f"method {name!r}: layer {layer.name!r} has shape {layer.shape}, "
                f"but its mask {mask.shape}"
            )
        if layer.mask is not None and (mask & ~layer.mask).any():
            raise MaskError(
                f"method {name!r} keeps parameters of layer {layer.name!r} that are absent already"
            )
