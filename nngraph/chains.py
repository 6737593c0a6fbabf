"""Chains: which layer of a bag of weights feeds which, as the user says it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ._canonical import as_weights
from ._errors import ChainError, FormatError, MissingFileError, did_you_mean
from ._options import OPS, REQUIRED
from .network import Coverage, Layer, Layout, Network, Node
from .stored import StoredArray
from .widths import Width, check_width, width_after

# What an item may say beside "name" and "inputs"; an op's own options are those of OPS.
_GEOMETRY = ("stride", "padding", "dilation", "groups", "transposed", "output_padding", "kind")
_LAYER_KEYS = {"layer", "name", "inputs", "bias", "in_out", *_GEOMETRY}
_NORM_KEYS = {"layer", "name", "inputs", "eps"}
_NO_OP = {"input", "layer", "bias", "batch_norm", "unsupported"}  # these need tensors, or a shape


def wire(network: Network, chain) -> Network:
    """The network of a bag of weights, its layers joined as `chain` says.

    Parameters
    ----------
    network : Network
        A bag: ``network.wiring`` is None.
    chain : sequence of str or mapping, or path, or str
        Items in the order of computation, or the path of a JSON file with such a list (or with
        ``{"chain": [...]}``), or names with commas between them: ``"fc1,relu,fc2"``. An item is

        * the name of an op without options: ``"relu"``, ``"flatten"``;
        * the prefix of a layer: ``"fc1"`` is the weight ``fc1.weight``, and the bias ``fc1.bias``
          where there is one; a tensor's full path will do too;
        * the prefix of a batch norm, which has ``.running_mean`` and ``.running_var``;
        * ``{"layer": prefix}`` with any of ``name``, ``inputs``, ``stride``, ``padding``,
          ``dilation``, ``groups``, ``transposed``, ``output_padding``, ``kind``;
          ``"in_out": true`` for a weight stored ``(*kernel, inputs, outputs)``, as Keras and Flax
          do; ``"bias": false`` to leave the bias out, or the path of the bias; for a batch norm
          ``eps`` (1e-5);
        * ``{"op": name}`` with the options of that op, ``name`` and ``inputs``;
        * ``{"input": [1, 28, 28]}``, the shape of one example, as the first item only.

        ``inputs`` lists names of earlier items (``"input"`` is the network's input); the default is
        the item before. A layer's name stands for what comes after its bias.

    Returns
    -------
    Network
        The layers of the chain in its order, the wiring, and a coverage in which the layers that
        the chain leaves out count as skipped. A prefix that comes twice is one layer in two nodes.

    Raises
    ------
    ChainError
        An unknown name or option, sizes that do not fit, inputs that come later, or a network that
        is wired already.
    FormatError
        A description that cannot be read or is no JSON.

    See Also
    --------
    nngraph.load : takes the same `chain`.

    Notes
    -----
    The number of channels is followed through the chain; what depends on the size of the input
    (the features after a flatten) is checked when data flow. Biases and norms are read here, the
    weights are not.

    Examples
    --------
    >>> import nngraph as ng
    >>> bag = ng.from_tensors({
    ...     "fc1.weight": np.ones((8, 4)), "fc1.bias": np.zeros(8), "fc2.weight": np.ones((3, 8))})
    >>> net = ng.wire(bag, "fc1,relu,fc2")
    >>> [node.name for node in net.wiring]
    ['input', 'fc1', 'fc1.bias', 'relu', 'fc2']
    """
    if network.wiring is not None:
        raise ChainError(
            f"{network.source or 'this network'} states its own topology; leave the chain out"
        )
    first, *rest = (_normal(item) for item in read_chain(chain))
    builder = _Builder(network)
    if "input" in first:
        builder.begin(first)
    else:
        builder.begin({})
        builder.add(first)
    for item in rest:
        builder.add(item)
    return builder.network()


def read_chain(chain) -> list:
    """The items of a chain that is given as a list, a path, or names with commas between."""
    if isinstance(chain, os.PathLike) or (isinstance(chain, str) and chain.endswith(".json")):
        chain = _read_json(Path(chain))
    if isinstance(chain, str):
        chain = [item.strip() for item in chain.split(",")]
    if isinstance(chain, Mapping):
        if set(chain) - {"about", "chain"} or "chain" not in chain:
            raise ChainError(f"a description holds 'chain' and perhaps 'about', got {list(chain)}")
        chain = chain["chain"]
    if not isinstance(chain, Sequence) or isinstance(chain, str) or not chain:
        raise ChainError(f"a chain is a list of at least one item, got {chain!r}")
    return list(chain)


def _read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"there is no description {str(path)!r}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{str(path)!r} is no readable JSON description: {error}") from error


def _normal(item) -> dict[str, Any]:
    """An item as a mapping with exactly one of the keys layer, op and input."""
    if isinstance(item, str):
        return {"op": item} if item in OPS and item not in _NO_OP else {"layer": item}
    if not isinstance(item, Mapping) or len({"layer", "op", "input"} & set(item)) != 1:
        raise ChainError(
            'an item of a chain is a name, {"layer": prefix, ...}, {"op": name, ...} or first '
            f'{{"input": shape}}; got {item!r}'
        )
    for key in ("layer", "op", "name"):
        if not isinstance(item.get(key, ""), str):
            raise ChainError(f"{key!r} must be a string, got {item!r}")
    return dict(item)


class _Builder:
    """Turns items into nodes one by one; `ends` maps an item's name to the node that ends it."""

    def __init__(self, network: Network) -> None:
        self.source = network
        self.tensors = {layer.path: layer.weight for layer in network} | dict(network.tensors)
        self.known = {layer.path: layer for layer in network} | {
            layer.name: layer for layer in network
        }
        self.layers: dict[str, Layer] = {}
        self.nodes: list[Node] = []
        self.ends: dict[str, str] = {}
        self.widths: dict[str, Width | None] = {}
        self.last = "input"

    def begin(self, item: Mapping) -> None:
        if set(item) - {"input"}:
            raise ChainError(f'the input takes no other key: {{"input": shape}}, got {item!r}')
        options, width = {}, None
        if item:
            shape = item["input"]
            if not isinstance(shape, Sequence) or not shape or not all(
                type(n) is int and n > 0 for n in shape
            ):
                raise ChainError(f"the input's shape must be positive integers, got {shape!r}")
            options, width = {"shape": tuple(shape)}, Width(shape[0], True, "input")
        self.nodes.append(Node("input", "input", options=options))
        self.ends["input"], self.widths["input"] = "input", width

    def add(self, item: dict[str, Any]) -> None:
        if "input" in item:
            raise ChainError('{"input": shape} can only be the first item')
        if "op" in item:
            self._op(item)
            return
        prefix = item["layer"]
        layer = self.known.get(prefix) or self.known.get(f"{prefix}.weight")
        if layer is not None:
            self._layer(item, layer)
        elif f"{prefix}.running_mean" in self.tensors and f"{prefix}.running_var" in self.tensors:
            self._norm(item, prefix)
        else:
            if f"{prefix}.weight" in self.tensors:
                raise ChainError(
                    f"{prefix!r} is neither a layer (its weight has no two axes) nor a batch norm "
                    "(it has no running_mean and running_var)"
                )
            norms = [p.removesuffix(".running_mean") for p in self.tensors if p.endswith("_mean")]
            known = [*self.source.names, *norms, *(op for op in OPS if op not in _NO_OP)]
            raise ChainError(
                f"{prefix!r} is no op, and there is no tensor {f'{prefix}.weight'!r}"
                f"{did_you_mean(prefix, known)}"
            )

    def _inputs(self, item: Mapping) -> list[str]:
        names = item.get("inputs", [self.last])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, Sequence) or not names:
            raise ChainError(f"inputs must be names of earlier items, got {names!r}")
        for name in names:
            if not isinstance(name, str) or name not in self.ends:
                raise ChainError(
                    f"{_label(item)} reads {name!r}, which no earlier item gives"
                    f"{did_you_mean(name, self.ends)}"
                )
        return [self.ends[name] for name in names]

    def _free(self, name: str) -> str:
        """`name`, or with a number behind it that makes it new."""
        fresh, k = name, 2
        while fresh in self.widths:
            fresh, k = f"{name}_{k}", k + 1
        return fresh

    def _append(self, item: str | None, node: Node, width: Width | None) -> None:
        if node.name in self.widths:
            raise ChainError(f"two items are named {node.name!r}; give each its own name")
        self.nodes.append(node)
        self.widths[node.name] = width
        self.last = item or node.name
        self.ends[self.last] = node.name

    def _op(self, item: dict[str, Any]) -> None:
        op = item["op"]
        if op not in OPS or op in _NO_OP:
            known = [name for name in OPS if name not in _NO_OP]
            raise ChainError(
                f"a chain knows no op {op!r}; layers, biases and norms are "
                f'{{"layer": prefix}}{did_you_mean(op, known)}'
            )
        options = {k: _frozen(v) for k, v in item.items() if k not in ("op", "name", "inputs")}
        missing = [key for key in REQUIRED.get(op, ()) if key not in options]
        if missing:
            raise ChainError(f"{_label(item)} needs {{'op': {op!r}, {missing[0]!r}: ...}}")
        inputs = self._inputs(item)
        if (op in ("add", "concat")) != (len(inputs) > 1):
            raise ChainError(
                f"{_label(item)} reads {len(inputs)} item(s) where it needs "
                f"{'at least two' if op in ('add', 'concat') else 'one'}: list them under 'inputs'"
            )
        name = item.get("name") or self._free(op)
        node = Node(name, op, inputs, options=options)  # checks the options
        self._append(None, node, width_after(op, options, [self.widths[at] for at in inputs]))

    def _layer(self, item: dict[str, Any], base: Layer) -> None:
        _only(item, _LAYER_KEYS)
        name = item.get("name") or base.name
        layer = _placed(base, name, item)
        known = self.layers.setdefault(name, layer)
        if known is not layer and not _same(known, layer):
            raise ChainError(
                f"two different layers are named {name!r}; give the second another 'name'"
            )
        inputs = self._inputs(item)
        _one(item, inputs)
        check_width(layer, self.widths[inputs[0]])
        width = Width(layer.n_out, True, name)
        node = self._free(name)
        self._append(None, Node(node, "layer", inputs, layer=name), width)
        bias = self._bias(item, layer)
        if bias is not None:
            options = {"bias": bias, "axis": -1 if layer.kind == "linear" else 1}
            self._append(node, Node(f"{node}.bias", "bias", (node,), options=options), width)

    def _bias(self, item: Mapping, layer: Layer) -> np.ndarray | None:
        wanted = item.get("bias", True)
        if wanted is False:
            return None
        cut = max(layer.path.rfind("."), layer.path.rfind("/")) + 1
        path = wanted if isinstance(wanted, str) else f"{layer.path[:cut]}bias"
        if path not in self.tensors:
            if "bias" in item:
                raise ChainError(
                    f"{_label(item)}: there is no bias {path!r}{did_you_mean(path, self.tensors)}"
                )
            return None
        return self._vector(path, layer.n_out, layer.name)

    def _norm(self, item: dict[str, Any], prefix: str) -> None:
        _only(item, _NORM_KEYS)
        n = int(np.prod(self.tensors[f"{prefix}.running_mean"].shape))
        inputs = self._inputs(item)
        _one(item, inputs)
        width = self.widths[inputs[0]]
        if width is not None and width.exact and width.n != n:
            raise ChainError(
                f"the norm {prefix!r} scales {n} channels, but {width.origin!r} gives {width.n}; "
                "check the order of the chain"
            )
        options = {
            "mean": self._vector(f"{prefix}.running_mean", n, prefix),
            "var": self._vector(f"{prefix}.running_var", n, prefix),
            "eps": item.get("eps", 1e-5),
            "axis": 1,
        }
        for key, leaf in (("scale", "weight"), ("shift", "bias")):
            if f"{prefix}.{leaf}" in self.tensors:
                options[key] = self._vector(f"{prefix}.{leaf}", n, prefix)
        name = item.get("name") or self._free(prefix)
        self._append(None, Node(name, "batch_norm", inputs, options=options), width)

    def _vector(self, path: str, n: int, owner: str) -> np.ndarray:
        tensor = self.tensors[path]
        if tuple(tensor.shape) != (n,):
            raise ChainError(
                f"{path!r} has shape {tuple(tensor.shape)}, but {owner!r} has {n} outputs"
            )
        values = tensor.read() if isinstance(tensor, StoredArray) else tensor
        return as_weights(np.array(values), f"tensor {path!r}")  # small: keep no file mapped for it

    def network(self) -> Network:
        if not self.layers:
            raise ChainError("the chain names no layer")
        paths = {layer.path for layer in self.layers.values()}
        left = [layer for layer in self.source if layer.path not in paths]
        old = self.source.coverage
        coverage = Coverage(
            tuple((path, n) for path, n in old.used if path in paths),
            (*old.skipped, *((layer.path, layer.size, "not in the chain") for layer in left)),
        )
        return replace(
            self.source, layers=tuple(self.layers.values()), wiring=tuple(self.nodes),
            coverage=coverage,
        )  # fmt: skip


def _label(item: Mapping) -> str:
    kind = "op" if "op" in item else "layer"
    return f"{kind} {item.get('name') or item[kind]!r}"


def _only(item: Mapping, known: set[str]) -> None:
    unknown = sorted(set(item) - known)
    if unknown:
        raise ChainError(
            f"{_label(item)} takes no {unknown[0]!r}{did_you_mean(unknown[0], sorted(known))}"
        )


def _one(item: Mapping, inputs: list[str]) -> None:
    if len(inputs) != 1:
        raise ChainError(f"{_label(item)} reads {len(inputs)} items; add or concat them first")


def _frozen(value):
    """JSON lists as tuples."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _placed(base: Layer, name: str, item: Mapping) -> Layer:
    """The bag's layer with the geometry and the storage that the item states."""
    geometry = {key: _frozen(item[key]) for key in _GEOMETRY if key in item}
    try:
        if not item.get("in_out") and not item.get("transposed"):
            return replace(base, name=name, **geometry)
        if base.layout != Layout.identity(base.shape):
            raise ChainError("how it is stored is known already")
        layout = _stored_as(base.shape, item)
        lazy = isinstance(base.weight, StoredArray)
        weight = base.weight if lazy else layout.to_canonical(base.weight)
        mask = None if base.mask is None else layout.to_canonical(base.mask)
        return replace(base, name=name, weight=weight, mask=mask, layout=layout, **geometry)
    except (TypeError, ValueError) as error:
        raise ChainError(f"{_label(item)}: {error}") from error


def _stored_as(shape: tuple[int, ...], item: Mapping) -> Layout:
    groups = int(item.get("groups", 1))
    if item.get("in_out"):
        *kernel, inputs, outputs = range(len(shape))
        if not item.get("transposed"):
            return Layout.permuted(shape, (outputs, inputs, *kernel))
        if groups != 1:
            raise ChainError("a transposed layer stored kernel first cannot have groups")
        return Layout.permuted(shape, (inputs, outputs, *kernel))  # Keras swaps the last two
    if len(shape) < 3 or groups < 1 or shape[0] % groups:
        raise ChainError(f"shape {shape} is no transposed convolution of {groups} groups")
    return Layout.transposed_conv(shape, groups)


def _same(a: Layer, b: Layer) -> bool:
    keys = ("path", "layout", "groups", "stride", "padding", "dilation", "transposed", "kind")
    return all(getattr(a, key) == getattr(b, key) for key in (*keys, "output_padding"))
