"""From an ONNX graph to a wired Network."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import nngraph as ng
from nngraph.tables import require

from ._builder import Builder, Constant, NotKnownError, Value, opaque
from ._moves import Moves
from ._onnx_files import (
    all_tensors,
    node_label,
    onnx_module,
    parse,
    scope,
    subgraphs,
    tensor_array,
    type_name,
)
from ._onnx_ops import HANDLERS

# What lies and damage make Python raise: texts that are no UTF-8, attributes of a wrong type, ...
_DAMAGE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)
_RECURRENT = ("LSTM", "GRU", "RNN")
Shape = tuple[int | None, ...] | None  # None: not even the rank, or one extent, is known


class Graph:
    """Walks the nodes of a graph, and of the graphs inside it, and hands each to what knows its op.

    Parameters
    ----------
    model : onnx.ModelProto
    path : Path
        The file, for messages and external data.
    """

    def __init__(self, model, path: Path) -> None:
        self.builder = Builder()
        self.path = path
        self.prefix = ""
        self.env: ChainMap[str, Value | None] = ChainMap()
        self.tensors = all_tensors(model, path)
        self.shapes: dict[str, Shape] = {}
        self.zeros: dict[str, np.ndarray] = {}  # path of a quantised weight: its zero points
        self.opset = max((x.version for x in model.opset_import if x.domain in ("", "ai.onnx")),
                         default=1)  # fmt: skip
        self.n_examples: int | None = None
        self.constants = {name: self._constant(name) for name in self.tensors}

    def _constant(self, path: str) -> Constant:
        tensor, _ = self.tensors[path]
        dtype = type_name(tensor.data_type)
        if "float" not in dtype:
            self.builder.roles[path] = f"{dtype}: no floating-point numbers"
        elif not len(tensor.dims):
            self.builder.roles[path] = "0 axes: a single number"
        array, roots = tensor_array(tensor, self.path), frozenset([path])
        return Constant(array, path, Moves.of(array.shape), roots, dtype)

    def walk(self, graph) -> str:
        """Add the nodes of the outermost graph; returns the name of the output's node."""
        self._learn_shapes(graph)
        held = {tensor.name for tensor in graph.initializer}
        for value in graph.input:
            if value.name not in held:  # before IR version 4, initializers are listed here too
                self._input(value.name)
        if not self.builder.nodes:
            raise ng.FormatError(f"{str(self.path)!r}: the graph has no input")
        self._nodes(graph)
        for output in graph.output:
            if isinstance(self.env.get(output.name), str):
                return self.env[output.name]
        raise ng.FormatError(
            f"{str(self.path)!r} is damaged or cut short: no node gives its output "
            f"{graph.output[0].name!r} from its input"
        )

    def _input(self, name: str) -> None:
        shape, first = self.shapes.get(name), not self.builder.nodes
        options = {}
        if shape and len(shape) > 1 and None not in shape[1:]:
            options["shape"] = shape[1:]
        if first and shape:
            self.n_examples = shape[0]
        self.env[name] = self.builder.op("input" if first else name, "input", **options)

    def _learn_shapes(self, graph) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                self.shapes[value.name] = tuple(
                    d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
                    for d in dims
                )

    def _nodes(self, graph) -> None:
        for tensor in graph.initializer:
            self.env[tensor.name] = self.constants[self.prefix + tensor.name]
        for sparse in graph.sparse_initializer:
            self.env[sparse.values.name] = opaque([])
        for node in graph.node:
            missing = [name for name in node.input if name and name not in self.env]
            if missing:
                raise ng.FormatError(
                    f"{str(self.path)!r} lies: node {node_label(node)!r} reads {missing[0]!r}, "
                    "which no earlier node gives"
                )
            results = self._call(node)
            if not isinstance(results, list):
                results = [results] * len(node.output)
            for name, value in zip(node.output, results, strict=False):
                self.env[name] = value

    def _call(self, node) -> Any:
        onnx = onnx_module()
        standard = node.domain in ("", "ai.onnx")
        kind = node.op_type if standard else f"{node.domain}::{node.op_type}"
        inputs = [self.env[name] for name in node.input if name]
        try:
            if not standard or node.op_type not in HANDLERS:
                raise NotKnownError
            options = {
                a.name: onnx.helper.get_attribute_value(a) for a in node.attribute
                if not a.ref_attr_name
            }  # fmt: skip
            return HANDLERS[node.op_type](self, node, options)
        except NotKnownError as reason:
            constants = [value for value in inputs if isinstance(value, Constant)]
            inputs += self._inner(node)
            if inputs and len(constants) == len(inputs):
                return opaque(constants)
            if node.op_type in _RECURRENT:
                for constant in constants:
                    self.builder.note(constant, "recurrent layer: not yet")
            kind = f"{kind} {reason}".strip()
            return self.builder.unsupported(node_label(node), kind, filter(None, inputs))
        except _DAMAGE as error:
            raise ng.FormatError(
                f"{str(self.path)!r}: node {node_label(node)!r} ({kind}) is malformed: {error!r}"
            ) from error

    def _inner(self, node) -> list[Value]:
        """Walk the graphs inside a node, for their layers; returns what they read from outside.

        Their nodes are no part of the wiring: which of them run, and how often, depends on data.
        """
        read: list[Value] = []
        outer, prefix = self.env, self.prefix
        for name, graph in subgraphs(node):
            self.env, self.prefix = outer.new_child(), scope(prefix, node, name)
            try:
                self._learn_shapes(graph)
                for value in graph.input:
                    self.env[value.name] = next(iter(self.builder.nodes))
                self._nodes(graph)
            finally:
                self.env, self.prefix = outer, prefix
            read += [outer[x] for x in _names(graph) if isinstance(outer.get(x), str)]
        return read

    def value(self, node, k: int) -> Value | None:
        """Input k of a node; None where it is absent."""
        return self.env[node.input[k]] if k < len(node.input) and node.input[k] else None

    def at(self, node, k: int = 0) -> str:
        """The wiring's node of input k; NotKnownError for a constant."""
        value = self.value(node, k)
        if not isinstance(value, str):
            raise NotKnownError("of a constant")
        return value

    def numbers(self, node, k: int) -> np.ndarray | None:
        """The numbers of input k, which is a constant, or None where it is absent."""
        value = self.value(node, k)
        if isinstance(value, str):
            raise NotKnownError("with a computed argument")
        return None if value is None else value.value()

    def weight(self, node, k: int) -> Constant:
        """Input k, which is a parameter; NotKnownError where it is anything else."""
        value = self.value(node, k)
        if not isinstance(value, Constant) or value.path is None:
            raise NotKnownError("with a weight that is no parameter")
        return value

    def shape(self, node, k: int = 0) -> Shape:
        """The shape of input k, the examples' axis included, as far as it is known."""
        value = self.value(node, k)
        return value.shape if isinstance(value, Constant) else self.shapes.get(node.input[k])

    def rank(self, node, k: int = 0) -> int:
        """The number of axes of input k; NotKnownError where it is not known."""
        shape = self.shape(node, k)
        if shape is None:
            raise NotKnownError("of data whose shape is not known")
        return len(shape)

    def result_shape(self, node) -> Shape:
        """The shape of the first output, as far as it is known."""
        return self.shapes.get(node.output[0])


def _names(graph) -> Iterator[str]:
    """Every name that the nodes of a graph, and of those inside it, read or give out."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from node.input
        for _, inner in subgraphs(node):
            yield from _names(inner)


def read(path: Path) -> tuple[ng.Network, dict[str, np.ndarray]]:
    """The network of a file, and the zero points of its quantised weights."""
    try:
        return _read(path)
    except ng.GraphError:
        raise
    except _DAMAGE as error:
        raise ng.FormatError(f"{str(path)!r} is damaged: {error!r}") from error


def _read(path: Path) -> tuple[ng.Network, dict[str, np.ndarray]]:
    model = parse(path)
    graph = Graph(model, path)
    inline = require("onnx.inliner", "onnx").inline_local_functions
    infer = require("onnx.shape_inference", "onnx").infer_shapes
    _forget_negative(model.graph)
    with suppress(Exception):  # both help where they can be had, and are not needed
        model = inline(model) if model.functions else model
        model = infer(model, data_prop=True)
    output = graph.walk(model.graph)
    layers = {layer.path for layer in graph.builder.layers.values()}
    return graph.builder.network(output, _sizes(graph, layers), source=str(path)), graph.zeros


def _forget_negative(graph) -> None:
    """Drop extents below 0, as some write them for open ones: onnx may end the process on them."""
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")
    for node in graph.node:
        for _, inner in subgraphs(node):
            _forget_negative(inner)


def _sizes(graph: Graph, layers: Iterable[str]) -> dict[str, int]:
    """Entries of every initializer, and of every Constant node that became a layer."""
    return {
        path: int(np.prod(tensor.dims, dtype=object))
        for path, (tensor, initializer) in graph.tensors.items()
        if initializer or path in layers
    }
