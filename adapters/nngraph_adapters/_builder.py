"""What the adapters of traced models share: nodes, layers and constants become a Network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import nngraph as ng

from ._moves import Moves, NotExactError


class NotKnownError(Exception):
    """This op, as it is used here, has no counterpart in nngraph; the message says why."""


@dataclass(frozen=True)
class Constant:
    """A value that needs no data: a parameter of the source, or what was computed from some.

    Parameters
    ----------
    array : ndarray or StoredArray or None
        A parameter's numbers as they lie in the source; else the value itself. None: the numbers
        are of no interest.
    path : str, optional
        The parameter's path, as long as only reshapes and transpositions (`moves`) befell it.
    moves : Moves, optional
    roots : frozenset of str
        The parameters that it was computed from.
    source_dtype : str, optional
    mask : ndarray of bool, optional
        Which entries exist, as they lie in the source.
    """

    array: np.ndarray | ng.StoredArray | None
    path: str | None = None
    moves: Moves | None = None
    roots: frozenset[str] = frozenset()
    source_dtype: str | None = None
    mask: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that it has now."""
        if self.moves is not None:
            return self.moves.shape
        return () if self.array is None else tuple(self.array.shape)

    def value(self) -> np.ndarray:
        """The numbers in the shape of now; 0 where a mask says that there is none."""
        if self.array is None:
            raise NotKnownError("with a computed argument")
        array = self.array.read() if isinstance(self.array, ng.StoredArray) else self.array
        array = array if self.mask is None else np.where(self.mask, array, 0)
        return array if self.moves is None else self.moves.layout().to_canonical(array)


Value = str | Constant  # the name of a node, or a constant


def opaque(constants: Iterable[Constant]) -> Constant:
    """What was computed from constants, where its numbers are of no interest."""
    return Constant(None, roots=frozenset().union(*(x.roots for x in constants)))


def _plain(value) -> np.ndarray:
    """A small constant as floating-point numbers; a copy, because networks are frozen."""
    value = np.array(value)
    if value.dtype.kind not in "fiuV" or not value.size:  # V: the types of ml_dtypes
        raise NotKnownError(f"with a constant of {value.size} {value.dtype}")
    return value if value.dtype.kind == "f" else value.astype(np.float32)


class Builder:
    """Collects nodes and layers in the order of computation.

    Parameters
    ----------
    strict : bool
        Whether an op that nngraph does not know is an error.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.nodes: dict[str, ng.Node] = {}
        self.layers: dict[str, ng.Layer] = {}
        self.roles: dict[str, str] = {}  # parameter: why it is no layer
        self._known: dict[tuple, str] = {}

    def _free(self, name: str, taken: Mapping) -> str:
        fresh, k = name, 2
        while fresh in taken:
            fresh, k = f"{name}_{k}", k + 1
        return fresh

    def op(self, name: str, op: str, inputs: Iterable[str] = (), **options) -> str:
        """Add a node; returns its name, which is `name` made unique."""
        name = self._free(name, self.nodes)
        self.nodes[name] = ng.Node(name, op, tuple(inputs), options=options)
        return name

    def unsupported(self, name: str, kind: str, inputs: Iterable[Value]) -> str:
        """Add a node for an op that nngraph does not know; strict: UnsupportedOpError."""
        if self.strict:
            raise ng.UnsupportedOpError(
                f"nngraph knows no {kind}, found at {name!r}; without strict=True it becomes a "
                "node of op 'unsupported', and metrics of single layers still work"
            )
        inputs = list(inputs)
        for value in inputs:
            if isinstance(value, Constant):
                norm = "norm" in kind.lower() and len(value.shape) == 1
                self.note(value, "norm" if norm else f"used by {kind}, which nngraph does not know")
        nodes = list(dict.fromkeys(value for value in inputs if isinstance(value, str)))
        first = next(iter(self.nodes), None)
        return self.op(name, "unsupported", nodes or [first], type=kind)

    def note(self, constant: Constant, role: str) -> None:
        """Remember what the parameters behind a constant are, where they turn out as no layer."""
        for path in constant.roots:
            self.roles.setdefault(path, role)

    def layer(
        self, at: Value, weight: Value, moves, *, node: str, name: str | None = None, kind=None,
        **geometry,
    ) -> str:  # fmt: skip
        """Add a layer and a node for it; returns the node's name.

        `moves` turns the weight's Moves into those of the canonical shape. A parameter that is
        used twice in the same way is one layer in two nodes.
        """
        if not isinstance(at, str):
            raise NotKnownError("of a constant")
        if not isinstance(weight, Constant) or weight.path is None:
            raise NotKnownError("with a weight that is no parameter")
        try:
            layout = moves(weight.moves).layout()
        except NotExactError:
            raise NotKnownError("with a weight that was reshaped across axes") from None
        key = (weight.path, layout, kind, *sorted(geometry.items()))
        if key not in self._known:
            stored = isinstance(weight.array, ng.StoredArray)
            name = self._free(name or weight.path, self.layers)
            try:
                self.layers[name] = ng.Layer(
                    name,
                    weight.array if stored else layout.to_canonical(weight.array),
                    mask=None if weight.mask is None else layout.to_canonical(weight.mask),
                    kind=kind, path=weight.path, layout=layout, source_dtype=weight.source_dtype,
                    **geometry,
                )  # fmt: skip
            except (ng.WeightError, ng.ChainError) as error:
                raise NotKnownError(f"that makes no layer ({error})") from None
            self._known[key] = name
        node = self._free(node, self.nodes)
        self.nodes[node] = ng.Node(node, "layer", (at,), layer=self._known[key])
        return node

    def bias(self, at: str, constant: Value, n_out: int, axis: int) -> str:
        """Add a layer's bias, one number per output, along an axis; returns the node's name."""
        if not isinstance(constant, Constant):
            raise NotKnownError("with a computed bias")
        values = _plain(constant.value())
        if values.size != 1 and not values.shape[-1:] == (n_out,) == (values.size,):
            raise NotKnownError("with a bias that is no vector of its outputs")
        self.note(constant, "bias")
        values = np.broadcast_to(values.reshape(-1), n_out).copy()
        return self.op(f"{at}.bias", "bias", [at], bias=values, axis=axis)

    def shift(self, name: str, at: str, value, shape: Sequence[int | None], *, sign=1) -> str:
        """Add a constant: a number, one per entry of an axis, or one per place of an example."""
        number, axis = self._broadcast(value, shape, "bias")
        options = {} if axis is None else {"axis": axis}
        return self.op(name, "bias", [at], bias=number if sign == 1 else -number, **options)

    def scale(self, name: str, at: str, value, shape: Sequence[int | None], *, power=1) -> str:
        """Multiply with a constant, or divide by one: a number, or one per entry of an axis."""
        number, axis = self._broadcast(value, shape, "scale")
        if number.ndim and axis is None:
            raise NotKnownError("with one factor for each place")
        with np.errstate(divide="ignore"):  # forward rounds once, to the type of the data
            factor = number.astype(np.float64) ** power
        if not np.isfinite(factor).all():
            raise NotKnownError("with an infinite factor")
        options = {} if axis is None else {"axis": axis}
        return self.op(name, "batch_norm", [at], scale=factor, **options)

    def _broadcast(self, value, shape, role: str) -> tuple[np.ndarray, int | None]:
        """The numbers, and the axis along which they lie: None for one number, or many axes."""
        if isinstance(value, Constant):
            self.note(value, role)
            value = value.value()
        value = _plain(value)
        if shape is None or value.ndim > len(shape):
            raise NotKnownError("with a constant of another rank")
        if value.size == 1:
            return value.reshape(()), None
        value = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
        for n, known in zip(value.shape, shape, strict=True):
            if n > 1 and known is not None and n != known:
                raise NotKnownError("with a constant that repeats the examples")
        long = [axis for axis, n in enumerate(value.shape) if n > 1]
        if long[0] == 0:
            raise NotKnownError("with a constant that tells examples apart")
        if len(long) > 1:
            return value.reshape(value.shape[1:]), None
        return value.reshape(-1), long[0]

    def normalise(self, name: str, at: str, vectors: Mapping[str, Constant | None], eps) -> str:
        """Batch normalisation by stored statistics, along axis 1."""
        options = {}
        for key, constant in vectors.items():
            if constant is None:
                continue
            if not isinstance(constant, Constant) or len(constant.shape) != 1:
                raise NotKnownError("with computed statistics")
            self.note(constant, "norm")
            options[key] = _plain(constant.value())
        return self.op(name, "batch_norm", [at], eps=float(eps), axis=1, **options)

    def add(self, name: str, values: Sequence[str], shapes: Sequence) -> str:
        """The sum of several nodes."""
        known = [shape for shape in shapes if shape is not None]
        if len({len(shape) for shape in known}) > 1:
            raise NotKnownError("of different ranks")
        return self.op(name, "add", values)

    def reshaped(self, name: str, at: str, old, new: Sequence[int]) -> str:
        """One example from the shape `old` to the shape `new`; a flatten where it is one."""
        old = None if old is None else tuple(old)
        new = tuple(int(n) for n in new)
        if old == new:
            return at
        if len(new) == 1:
            return self.op(name, "flatten", [at], start=1)
        return self.op(name, "reshape", [at], shape=new)

    def network(
        self, output: str, sizes: Mapping[str, int], *, source: str | None = None
    ) -> ng.Network:
        """The network whose output is a node; `sizes` counts the parameters of the source.

        Nodes that the output does not depend on are dropped; their layers stay.
        """
        if not self.layers:
            raise ng.WeightError(
                f"{source or 'the model'} has no layer that nngraph knows: no linear one, no "
                "convolution, no embedding"
            )
        paths = {layer.path for layer in self.layers.values()}
        used = tuple((path, n) for path, n in sizes.items() if path in paths)
        skipped = tuple(
            (path, n, self.roles.get(path, "not used in the forward pass"))
            for path, n in sizes.items()
            if path not in paths
        )
        return ng.Network(
            tuple(self.layers.values()), self._needed(output),
            coverage=ng.Coverage(used, skipped), source=source,
        )  # fmt: skip

    def _needed(self, output: str) -> list[ng.Node]:
        needed, queue = {next(iter(self.nodes))}, [output]
        while queue:
            name = queue.pop()
            if name not in needed:
                needed.add(name)
                queue.extend(self.nodes[name].inputs)
        nodes = [node for name, node in self.nodes.items() if name in needed]
        if nodes[-1].name != output:
            nodes.append(ng.Node(self._free("output", self.nodes), "identity", (output,)))
        return nodes
