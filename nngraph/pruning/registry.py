"""The registry of pruning methods, and the protocol that they follow."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol

from .._errors import MaskError, did_you_mean
from ..tables import Table

NEEDS = {
    "nothing": "",
    "data": "example inputs, examples first: data=x",
    "gradients": "gradients, one array per layer name: data={name: gradient}",
}
_METHODS: dict[str, type] = {}


class PruningMethod(Protocol):
    """What an object must have for :func:`nngraph.prune`; there is no class to inherit from.

    A method is a frozen dataclass: its fields are its options, all with defaults, and the names
    below are class variables. Give it exactly one of ``scores`` and ``masks``:

    ``scores(network, data)``
        One number per parameter, a mapping of layer name to array of the layer's shape, for every
        layer; high: keep. ``prune`` does the rest: the layers' own masks, budget, ties. It may give
        -inf and +inf, as :meth:`nngraph.Masks.from_scores` explains. Keep float32 as it is, and
        read one layer at a time.

    ``masks(network, budget, *, density, data, rng)``
        For samplers and for methods that decide on whole units: the masks themselves, for every
        layer, within `budget` (a :class:`nngraph.Budget`) and `density` (checked already; None only
        where the budget sets it). It must keep nothing that a layer's own mask has dropped;
        :func:`respect_masks` helps. Draw random numbers from
        ``numpy.random.default_rng(rng).spawn(len(network))``, one stream per layer, so that a
        layer's mask does not depend on the order in which layers are read.

    Attributes
    ----------
    name : str
        For people and for the command line, in snake case.
    needs : {"nothing", "data", "gradients"}
        What ``data`` must hold.
    summary : str
        One line.
    paper : str, optional
        The paper's key in the bibliography of :func:`nngraph.cite`.
    allocation : str, optional
        The method's own allocation over layers: then the budget ``"global"`` stands for it, and any
        other allocation is refused.

    Examples
    --------
    >>> import numpy as np, nngraph as ng
    >>> from dataclasses import dataclass
    >>> from typing import ClassVar
    >>> @dataclass(frozen=True)
    ... class Power:
    ...     exponent: float = 2.0
    ...     name: ClassVar[str] = "power"
    ...     needs: ClassVar[str] = "nothing"
    ...     summary: ClassVar[str] = "a power of |w|"
    ...
    ...     def scores(self, network, data):
    ...         return {layer.name: abs(layer.array()) ** self.exponent for layer in network}
    >>> net = ng.Network([ng.Layer("fc", np.array([[1.0, -2.0], [3.0, 0.5]]))])
    >>> ng.prune(net, Power(3.0), density=0.5)["fc"]
    array([[False,  True],
           [ True, False]])
    """

    name: ClassVar[str]
    needs: ClassVar[Literal["nothing", "data", "gradients"]]
    summary: ClassVar[str]


def register(cls: type) -> type:
    """Add a pruning method to the registry, so that it is found by its name; a class decorator.

    Parameters
    ----------
    cls : type
        A class as :class:`nngraph.pruning.PruningMethod` describes, which can be made without
        arguments.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    MaskError
        A part is missing or wrong, or the name belongs to another class.

    Examples
    --------
    >>> import nngraph as ng
    >>> ng.register(ng.Magnitude) is ng.Magnitude  # again: nothing happens
    True
    """
    _check_method(cls, cls.__name__)
    known = _METHODS.get(cls.name)
    # A module that is loaded again makes its classes anew; that is not another method.
    if known and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise MaskError(
            f"a pruning method {cls.name!r} is registered already ({known.__module__}."
            f"{known.__qualname__}); give {cls.__name__} another name"
        )
    _METHODS[cls.name] = cls
    return cls


def methods() -> Table:
    """The registered pruning methods.

    Returns
    -------
    Table
        Columns name, needs, summary, and paper: a key that :func:`nngraph.cite` knows.

    Examples
    --------
    >>> import nngraph as ng
    >>> "magnitude" in ng.methods()["name"]
    True
    """
    names = sorted(_METHODS)
    return Table({
        "name": names,
        "needs": [_METHODS[name].needs for name in names],
        "summary": [_METHODS[name].summary for name in names],
        "paper": [getattr(_METHODS[name], "paper", None) for name in names],
    })


def resolve(method) -> PruningMethod:
    """The method object that a name, a class or an object stands for.

    Parameters
    ----------
    method : str, type or object
        A registered name, a class (made without arguments), or a method object.

    Returns
    -------
    PruningMethod

    Raises
    ------
    MaskError
        An unknown name, or an object that is no pruning method.

    Examples
    --------
    >>> from nngraph.pruning import resolve
    >>> resolve("magnitude")
    Magnitude()
    """
    if isinstance(method, str):
        if method not in _METHODS:
            hint = did_you_mean(method, sorted(_METHODS))
            raise MaskError(f"no pruning method is named {method!r}{hint}")
        return _METHODS[method]()
    _check_method(method, repr(method))
    return method() if isinstance(method, type) else method


def _check_method(method: Any, what: str) -> None:
    for key in ("name", "needs", "summary"):
        if not isinstance(getattr(method, key, None), str):
            raise MaskError(f"{what} is no pruning method: it has no string {key!r}")
    if method.needs not in NEEDS:
        raise MaskError(f"{what}: needs is {method.needs!r}, which is none of {list(NEEDS)}")
    if hasattr(method, "scores") == hasattr(method, "masks"):
        raise MaskError(f"{what} must have either scores(...) or masks(...), and not both")
