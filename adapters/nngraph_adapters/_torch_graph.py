"""From an exported program of aten ops to a wired Network."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import nngraph as ng

from ._builder import Builder, Constant, NotKnownError, Value
from ._moves import Moves, NotExactError
from ._torch_ops import HANDLERS
from ._torch_shape_ops import PERMUTATIONS, RESHAPES, SAME
from ._torch_values import to_numpy, torch_module, type_name


class Graph:
    """Walks the nodes of an exported program and hands each to what knows its op.

    Parameters
    ----------
    program : torch.export.ExportedProgram
    model : torch.nn.Module
        In evaluation mode, without pruning hooks.
    masks : mapping of int to tensor
        Masks of pruned parameters, by the parameter's id.
    strict : bool
    """

    def __init__(self, program, model, masks: Mapping[int, Any], strict: bool) -> None:
        self.builder = Builder(strict)
        self.program = program
        self.tensors: dict[Any, Any] = {}  # node: its tensor, where it needs no data
        self.env: dict[Any, Value | list] = {}
        self.constants = _parameters(model, masks)
        self.held = program.constants | program.state_dict
        self.n_examples = 0

    def walk(self) -> str:
        """Add all nodes to the builder; returns the name of the output's."""
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "call_function" and node.users:
                self._call(node)
            elif node.op == "output":
                return self._output(node.args[0])
        raise ng.GraphError("the exported program has no output")

    def _placeholder(self, node) -> None:
        signature = self.program.graph_signature
        name = node.name
        if name in signature.user_inputs:
            first, shape = not self.builder.nodes, self.shape(node)
            self.n_examples = shape[0] if first else self.n_examples
            self.env[node] = self.builder.op("input" if first else name, "input", shape=shape[1:])
        elif name in signature.inputs_to_parameters:
            path = signature.inputs_to_parameters[name]
            self.env[node], self.tensors[node] = self.constants[path]
        else:
            target = signature.inputs_to_buffers.get(name) or (
                signature.inputs_to_lifted_tensor_constants.get(name)
            )
            if target in self.held:
                self._constant(node, self.held[target], frozenset())

    def _constant(self, node, tensor, roots) -> None:
        """Remember a tensor that needs no data."""
        self.tensors[node] = tensor
        try:
            self.env[node] = Constant(to_numpy(tensor, f"tensor {node.name!r}"), roots=roots)
        except ng.WeightError:  # of a type that no op here reads
            self.env[node] = Constant(None, roots=roots)

    def _call(self, node) -> None:
        if node.target is operator.getitem:
            whole = self.env.get(node.args[0])
            picked = whole[node.args[1]] if isinstance(whole, list) else whole
            self.env[node] = picked
            if node.args[0] in self.tensors:
                self.tensors[node] = self.tensors[node.args[0]][node.args[1]]
            return
        name, options = op_name(node), arguments(node)
        needs_no_data = all(x in self.tensors for x in node.all_input_nodes)
        if needs_no_data and self._fold(node, name, options):
            return
        try:
            if name not in HANDLERS:
                raise NotKnownError
            self.env[node] = HANDLERS[name](self, node, options)
        except NotKnownError as reason:
            inputs = [self.env[x] for x in node.all_input_nodes if x in self.env]
            flat = [x for value in inputs for x in (value if isinstance(value, list) else [value])]
            kind = f"aten.{name} {reason}".strip()
            self.env[node] = self.builder.unsupported(self.label(node), kind, flat)

    def _fold(self, node, name: str, options: Mapping) -> bool:
        """Compute a node that needs no data, where that has one answer and changes nothing."""
        torch = torch_module()
        target = node.target
        tags = getattr(target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags or not hasattr(target, "_schema"):
            return False
        pick = lambda x: self.tensors[x] if isinstance(x, torch.fx.Node) else x  # noqa: E731
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), pick)
        with torch.no_grad():
            result = target(*args, **kwargs)
        roots = frozenset().union(*(self.env[x].roots for x in node.all_input_nodes))
        if isinstance(result, (tuple, list)):
            self.tensors[node] = result
            self.env[node] = [Constant(to_numpy(x, node.name), roots=roots) for x in result]
            return True
        moved = self._moved(node, name, options, tuple(result.shape))
        if moved is not None:
            self.env[node], self.tensors[node] = moved, result
        else:
            self._constant(node, result, roots)
        return True

    def _moved(self, node, name: str, options: Mapping, shape) -> Constant | None:
        """A parameter after an op that only moves its entries."""
        first = node.args[0] if node.args else None
        before = self.value(first)
        if not isinstance(before, Constant) or before.path is None:
            return None
        if name in SAME and node.meta["val"].dtype == self.tensors[first].dtype:
            return before
        try:
            if name in RESHAPES:
                moves = before.moves.reshape(shape)
            elif name in PERMUTATIONS:
                moves = before.moves.transpose(PERMUTATIONS[name](options, len(shape)))
            else:
                return None
        except NotExactError:
            return None
        return Constant(
            before.array, before.path, moves, before.roots, before.source_dtype, before.mask
        )

    def _output(self, outputs) -> str:
        for output in outputs if isinstance(outputs, (tuple, list)) else [outputs]:
            if isinstance(self.env.get(output), str):
                return self.env[output]
        raise ng.GraphError("no output of the model depends on its inputs")

    def at(self, node) -> str:
        """The wiring's node for a node of the graph; NotKnownError for a constant."""
        value = self.value(node)
        if not isinstance(value, str):
            raise NotKnownError("of a constant")
        return value

    def value(self, argument):
        """What an argument stands for: a node's name, a constant, or the number that it is."""
        return self.env.get(argument) if hasattr(argument, "op") else argument

    @staticmethod
    def shape(node) -> tuple[int, ...]:
        """The shape of a node's tensor, the examples' axis included."""
        return tuple(int(n) for n in node.meta["val"].shape)

    def label(self, node) -> str:
        """The path of the torch.nn module that a node comes from, else the node's own name."""
        for path, kind in reversed((node.meta.get("nn_module_stack") or {}).values()):
            kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
            if path and kind.startswith("torch.nn.modules.") and ".container." not in kind:
                return path
            break
        return node.name


def op_name(node) -> str:
    """``aten.conv2d.default`` as ``conv2d``."""
    parts = str(node.target).split(".")
    return parts[1] if parts[0] == "aten" and len(parts) > 1 else str(node.target)


def arguments(node) -> dict[str, Any]:
    """All arguments of a call by name, defaults included."""
    if not hasattr(node.target, "_schema"):
        return {}
    found = {}
    for k, argument in enumerate(node.target._schema.arguments):
        if k < len(node.args):
            found[argument.name] = node.args[k]
        else:
            found[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return found


def _parameters(model, masks: Mapping[int, Any]) -> dict[str, tuple[Constant, Any]]:
    """Every parameter by each of its names; tied ones have one path, that of the first name."""
    found: dict[str, tuple[Constant, Any]] = {}
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        path = first.setdefault(id(parameter), name)
        if path != name:
            found[name] = found[path]
            continue
        mask = masks.get(id(parameter))
        constant = Constant(
            to_numpy(parameter, f"parameter {path!r}"), path, Moves.of(parameter.shape),
            frozenset([path]), type_name(parameter.dtype),
            None if mask is None else to_numpy(mask, f"the mask of {path!r}") != 0,
        )  # fmt: skip
        tensor = parameter.detach()
        found[name] = constant, tensor if mask is None else tensor * mask
    return found
