"""ONNX: the wiring computes what onnxruntime computes, masks reach the initializers, and no file
outside the model's folder is ever opened."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nngraph as ng

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

DATA = Path(os.environ.get("NNGRAPH_DATA", ""))
needs_data = pytest.mark.skipif("NNGRAPH_DATA" not in os.environ, reason="$NNGRAPH_DATA is not set")
RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(nodes, tensors, shape, *, opset=17, inputs=None, out="y", ir_version=8):
    """A model from a list of nodes; data come in as ``x`` and leave as `out`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def saved(folder, *args, **options):
    path = folder / "net.onnx"
    onnx.save_model(model(*args, **options), path)
    return path


def run(path, x):
    options = runtime.SessionOptions()
    # Optimised, it computes products with quantised weights in fewer bits.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def agrees(path, x, atol=1e-5):
    net = ng.load(path)
    np.testing.assert_allclose(ng.forward(net, x), run(path, x), atol=atol, rtol=1e-4)
    return net


CONV = {"w": (6, 4, 3, 3)}
IMAGE = (4, 9, 10)
CASES = {
    "conv": ([node("Conv", "x w b", "y", strides=[2, 1], pads=[1, 0, 2, 1])],
             {"w": (6, 4, 3, 3), "b": (6,)}, IMAGE),
    "groups": ([node("Conv", "x w", "y", group=2, dilations=[2, 1])], {"w": (6, 2, 3, 3)}, IMAGE),
    "depthwise": ([node("Conv", "x w", "y", group=4)], {"w": (8, 1, 3, 3)}, IMAGE),
    "conv1d": ([node("Conv", "x w", "y", pads=[0, 2])], {"w": (5, 4, 3)}, (4, 8)),
    "conv3d": ([node("Conv", "x w", "y")], {"w": (3, 2, 2, 2, 2)}, (2, 3, 4, 3)),
    "upper": ([node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 3])],
              {"w": (6, 4, 4, 3)}, IMAGE),
    "lower": ([node("Conv", "x w", "y", auto_pad="SAME_LOWER")], {"w": (6, 4, 4, 2)}, IMAGE),
    "valid": ([node("Conv", "x w", "y", auto_pad="VALID")], CONV, IMAGE),
    "turned": ([node("ConvTranspose", "x w b", "y", strides=[2, 3], pads=[1, 0, 0, 1],
                     output_padding=[1, 0], group=2)],
               {"w": (4, 3, 3, 3), "b": (6,)}, IMAGE),
    "turned shape": ([node("ConvTranspose", "x w", "y", strides=[2, 2], output_shape=[18, 19])],
                     {"w": (4, 3, 3, 3)}, IMAGE),
    "turned same": ([node("ConvTranspose", "x w", "y", strides=[2, 2], auto_pad="SAME_UPPER")],
                    {"w": (4, 3, 3, 4)}, IMAGE),
    "gemm": ([node("Gemm", "x w b", "y", alpha=0.5, beta=2.0)], {"w": (7, 3), "b": (1, 3)}, (7,)),
    "gemm turned": ([node("Gemm", "x w b", "y", transB=1)], {"w": (3, 7), "b": ()}, (7,)),
    "tokens": ([node("MatMul", "x w", "h"), node("Add", "h b", "y")],
               {"w": (7, 3), "b": (3,)}, (5, 7)),
    "places": ([node("MatMul", "x w", "h"), node("Add", "p h", "y")],
               {"w": (7, 3), "p": (1, 5, 3)}, (5, 7)),
    "scaled": ([node("Div", "x c", "a"), node("Sub", "a d", "b"), node("Sub", "c b", "d2"),
                node("Mul", "e d2", "f"), node("Conv", "f w", "y")],
               {**CONV, "c": (), "d": (4, 1, 1), "e": (1, 4, 1, 1)}, IMAGE),
    "skip": ([node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Relu", "a", "b"),
              node("Conv", "b w", "c", pads=[1, 1, 1, 1]), node("Sum", "a c x", "d"),
              node("Concat", "d x", "y", axis=-3)], {"w": (4, 4, 3, 3)}, IMAGE),
    "smooth": ([node("Conv", "x w", "a"), node("Tanh", "a", "b"), node("Sigmoid", "b", "c"),
                node("Flatten", "c", "d"), node("Softmax", "d", "y", axis=-1)], CONV, IMAGE),
    "max pool": ([node("Conv", "x w", "a"), node("MaxPool", "a", "y", kernel_shape=[3, 2],
                  strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1)], CONV, IMAGE),
    "pool of stride 1": ([node("Conv", "x w", "a"), node("MaxPool", "a", "y", kernel_shape=[2, 2],
                          auto_pad="SAME_LOWER")], CONV, IMAGE),
    "mean pool": ([node("Conv", "x w", "a"), node("AveragePool", "a", "y", kernel_shape=[3, 3],
                   strides=[2, 2], pads=[1, 1, 1, 1])], CONV, IMAGE),
    "mean pool counts": ([node("Conv", "x w", "a"),
                          node("AveragePool", "a", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                               count_include_pad=1)], CONV, IMAGE),
    "all space": ([node("Conv", "x w", "a"), node("GlobalAveragePool", "a", "b"),
                   node("Flatten", "b", "c"), node("Gemm", "c v", "y")],
                  {**CONV, "v": (6, 3)}, IMAGE),
    "all maximum": ([node("Conv", "x w", "a"), node("GlobalMaxPool", "a", "y")], CONV, IMAGE),
    "reduced": ([node("Conv", "x w", "a"), node("ReduceMean", "a", "y", axes=[-1, 2], keepdims=0)],
                CONV, IMAGE),
    "moved": ([node("Conv", "x w", "a"), node("Transpose", "a", "b", perm=[0, 2, 3, 1]),
               node("MatMul", "b v", "y")], {**CONV, "v": (6, 3)}, IMAGE),
    "behind": ([node("Transpose", "v", "v1", perm=[2, 0, 1]), node("Unsqueeze", "v1 axes", "v2"),
                node("Squeeze", "v2 axes", "v3"), node("Identity", "v3", "v4"),
                node("Reshape", "v4 shape", "v5"), node("Flatten", "x", "a"),
                node("MatMul", "a v5", "y")],
               {"v": (4, 3, 5), "axes": np.array([1]), "shape": np.array([0, -1])}, (5,)),
    "reshaped": ([node("Reshape", "x s", "a"), node("Gemm", "a w", "y")],
                 {"w": (12, 3), "s": np.array([-1, 12])}, (3, 4)),
    "regrouped": ([node("Reshape", "x s", "a"), node("Conv", "a w", "y")],
                  {"w": (3, 2, 2, 2), "s": np.array([0, 2, -1, 3])}, (3, 4)),
    "old softmax": ([node("Gemm", "x w", "a"), node("Softmax", "a", "y")], {"w": (7, 3)}, (7,)),
}  # fmt: skip


def filled(shapes):
    return {name: numbers(*s) if isinstance(s, tuple) else s for name, s in shapes.items()}


@pytest.mark.parametrize("case", CASES)
def test_ops_compute_what_onnxruntime_computes(tmp_path, case):
    nodes, shapes, shape = CASES[case]
    opset = 11 if case == "old softmax" else 17
    path = saved(tmp_path, nodes, filled(shapes), shape, opset=opset)
    net = agrees(path, numbers(3, *shape))
    assert not [n for n in net.wiring if n.op == "unsupported"]
    assert net.coverage.total == sum(np.prod(a.shape) for a in filled(shapes).values())


def test_norm_pad_slice_dropout_and_gelu(tmp_path):
    tensors = filled({"w": (6, 7, 3, 3), "s": (6,), "b": (6,), "m": (6,)})
    tensors |= {
        "v": np.abs(numbers(6)), "pads": np.array([0, 1, 1, 0, 0, 2, 0, 3]),
        "fill": np.float32(1.5), "starts": np.array([1, -5]), "ends": np.array([2**31 - 1, -1]),
        "axes": np.array([1, 3]), "steps": np.array([2, 1]), "ratio": np.float32(0.5),
    }  # fmt: skip
    nodes = [
        node("Pad", "x pads fill", "a"), node("Conv", "a w", "c"),
        node("BatchNormalization", "c s b m v", "d", epsilon=0.01), node("Dropout", "d ratio", "e"),
        node("Slice", "e starts ends axes steps", "f"), node("Gelu", "f", "y"),
    ]  # fmt: skip
    net = agrees(saved(tmp_path, nodes, tensors, IMAGE, opset=20), numbers(3, *IMAGE))
    assert {p: r for p, _, r in net.coverage.skipped}["m"] == "norm"
    assert [n.op for n in net.wiring].count("slice") == 2


def test_embedding_and_casts(tmp_path):
    ids = [helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 5])]
    tensors = {"table": numbers(11, 4), "half": numbers(4, 3).astype(np.float16)}
    nodes = [
        node("Gather", "table x", "a"), node("Cast", "half", "w", to=TensorProto.FLOAT),
        node("MatMul", "a w", "y"),
    ]  # fmt: skip
    path = saved(tmp_path, nodes, tensors, (), inputs=ids)
    net = agrees(path, RNG.integers(0, 11, size=(3, 5)))
    assert [layer.kind for layer in net] == ["embedding", "linear"]
    assert [layer.shape for layer in net] == [(4, 11), (3, 4)]
    assert net["half"].source_dtype == "float16"
    ng.save(path, {"half": np.zeros((3, 4), bool)}, tmp_path / "out.onnx")
    assert not run(tmp_path / "out.onnx", RNG.integers(0, 11, size=(3, 5))).any()


def test_open_sizes_functions_and_constants(tmp_path):
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"],
        [helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.float32(2))),
         node("Mul", "a two", "b")], [helper.make_opsetid("", 17)],
    )  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "c", "h", "w"])]
    nodes = [
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Constant", [], ["order"], value_ints=[0, 6, -1]),
        helper.make_node("Twice", ["x"], ["a"], domain="own"), node("Add", "a three", "b"),
        node("Conv", "b w", "c"), node("Reshape", "c order", "d"), node("Softmax", "d", "e"),
        node("Slice", "e lo hi axes", "y"),
    ]  # fmt: skip
    tensors = {"w": numbers(6, 4, 3, 3), "lo": np.array([1]), "hi": np.array([-1]),
               "axes": np.array([2])}  # fmt: skip
    source = model(nodes, tensors, (), inputs=inputs)
    source.functions.append(twice)
    source.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save_model(source, tmp_path / "net.onnx")
    net = agrees(tmp_path / "net.onnx", numbers(2, *IMAGE))
    assert [n.op for n in net.wiring] == [
        "input", "batch_norm", "bias", "layer", "reshape", "softmax", "slice"
    ]  # fmt: skip


def test_weights_that_no_stride_can_describe(tmp_path):
    nodes = [node("Transpose", "w", "a"), node("Reshape", "a s", "b"), node("Gemm", "x b", "c"),
             node("Gemm", "c u", "y")]  # fmt: skip
    tensors = {"w": numbers(4, 3), "s": np.array([2, 6]), "u": numbers(6, 6)}
    net = ng.load(saved(tmp_path, nodes, tensors, (2,)))
    assert net.names == ("u",)
    reasons = {path: reason for path, _, reason in net.coverage.skipped}
    assert reasons["w"].startswith("used by Gemm")


def test_input_shapes_and_names(tmp_path):
    net = ng.load(saved(tmp_path, [node("Conv", "x w", "y")], {"w": numbers(6, 4, 3, 3)}, IMAGE))
    assert net.input_shape == IMAGE
    assert [n.name for n in net.wiring] == ["input", "y"]
    assert (net["w"].name, net["w"].path) == ("w", "w")
    open_shape = ["n", "channels", "height", "width"]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, open_shape)]
    weights = {"w": numbers(6, 4, 3, 3)}
    path = saved(tmp_path, [node("Conv", "x w", "y")], weights, (), inputs=inputs)
    assert agrees(path, numbers(2, *IMAGE)).input_shape is None


@pytest.mark.parametrize("kind", ["raw", "typed", "constant node"])
def test_masks_become_zeros_and_nothing_else_changes(tmp_path, kind):
    nodes, shapes, shape = CASES["behind"]
    tensors = filled(shapes)
    source = onnx.shape_inference.infer_shapes(model(nodes, tensors, shape))  # the checker asks
    weight = source.graph.initializer[0]
    if kind == "typed":
        weight.CopyFrom(helper.make_tensor("v", TensorProto.FLOAT, (4, 3, 5), tensors["v"].ravel()))
    if kind == "constant node":
        del source.graph.initializer[0]
        value = numpy_helper.from_array(tensors["v"])
        source.graph.node.insert(0, helper.make_node("Constant", [], ["v"], value=value))
    onnx.save_model(source, tmp_path / "net.onnx")
    net = ng.load(tmp_path / "net.onnx")
    masks = ng.prune(net, "magnitude", density=0.4)
    out = tmp_path / "out.onnx"
    ng.save(net, masks, out)
    onnx.checker.check_model(onnx.load_model(out), full_check=True)
    x = numbers(3, *shape)
    np.testing.assert_allclose(run(out, x), ng.forward(net.with_masks(masks), x), atol=1e-5)
    kept = np.sort(np.abs(tensors["v"]).ravel())[-masks.kept :]
    found = ng.load(out)["v"].array()
    np.testing.assert_array_equal(np.sort(np.abs(found[found != 0])), kept)
    pruned = onnx.load_model(out)
    pruned.graph.ClearField("initializer"), source.graph.ClearField("initializer")
    if kind != "constant node":
        assert pruned.SerializeToString() == source.SerializeToString()
    with pytest.raises(ng.FormatError, match="exists"):
        ng.save(net, masks, out)


@pytest.mark.parametrize("per_axis", [False, True])
def test_a_quantised_weight_is_zero_at_its_zero_point(tmp_path, per_axis):
    codes = RNG.integers(-100, 100, size=(7, 3)).astype(np.int8)
    n = 3 if per_axis else 1
    scale = np.abs(numbers(n)) + 0.1 if per_axis else np.float32(0.3)
    zero = np.array([4, -3, 0], np.int8) if per_axis else np.int8(4)
    tensors = {"q": codes, "s": scale, "z": zero}
    nodes = [node("DequantizeLinear", "q s z", "w", axis=1), node("MatMul", "x w", "y")]
    path = saved(tmp_path, nodes, tensors, (7,))
    x = numbers(5, 7)
    net = agrees(path, x)
    assert net["q"].source_dtype == "int8"
    masks = ng.prune(net, "magnitude", density=0.5)
    ng.save(path, masks, tmp_path / "out.onnx")
    after = run(tmp_path / "out.onnx", x)
    np.testing.assert_allclose(after, ng.forward(net.with_masks(masks), x), atol=1e-4)
    stored = numpy_helper.to_array(onnx.load_model(tmp_path / "out.onnx").graph.initializer[0])
    np.testing.assert_array_equal(stored, np.where(masks["q"].T, codes, zero))


def test_one_initializer_used_twice(tmp_path):
    nodes = [node("Gemm", "x w", "a"), node("Relu", "a", "b"), node("Gemm", "b w", "c"),
             node("Gemm", "c w", "y", transB=1)]  # fmt: skip
    net = agrees(saved(tmp_path, nodes, {"w": numbers(5, 5)}, (5,)), numbers(3, 5))
    assert [(layer.name, layer.path) for layer in net] == [("w", "w"), ("w_2", "w")]
    assert [n.layer for n in net.wiring if n.layer] == ["w", "w", "w_2"]
    assert net.coverage.covered == 25
    mask = np.eye(5, dtype=bool)
    mask[0, 1] = True
    ng.save(net, {"w": mask, "w_2": mask.T}, tmp_path / "out.onnx")
    with pytest.raises(ng.MaskError, match="share"):
        ng.save(net, {"w": mask, "w_2": mask}, tmp_path / "other.onnx")


UNKNOWN = {
    "Erf": [node("Gemm", "x w", "a"), node("Erf", "a", "y")],
    "LSTM": [node("LSTM", "x w", "y")],
    "my.own::Gemm": [helper.make_node("Gemm", ["x", "w"], ["y"], domain="my.own")],
    "Gemm with a weight that is no parameter": [node("Add", "w x", "v"), node("Gemm", "x v", "y")],
    "Mul of two computed values": [node("Gemm", "x w", "a"), node("Mul", "a a", "y")],
    "Gemm of transposed data": [node("Gemm", "x w", "y", transA=1)],
    "Gemm with a computed bias": [node("Gemm", "x w x", "y")],
    "MatMul of a vector": [node("MatMul", "x v3", "a"), node("Gemm", "a w", "y")],
    "Softmax over several axes, or across examples": [node("Softmax", "x", "y", axis=0)],
    "Dropout in training mode": [node("Dropout", "x half yes", "y")],
    "ReduceMean over other axes": [node("ReduceMean", "x", "a", axes=[1]),
                                   node("Gemm", "a w", "y")],
    "Slice backwards": [node("Slice", "x p zero p minus", "y")],
    "Slice of examples": [node("Slice", "x zero p", "y")],
    "Concat of examples": [node("Concat", "x x", "y", axis=0)],
    "Flatten that joins examples": [node("Flatten", "x", "y", axis=0)],
    "AveragePool with dilation": [node("Reshape", "x image", "a"),
                                  node("AveragePool", "a", "b", kernel_shape=[1], dilations=[2]),
                                  node("Flatten", "b", "y")],
    "Conv with negative padding": [node("Conv", "x v3", "a", pads=[-1, 0]),
                                   node("Flatten", "a", "y")],
    "Gather that is no embedding": [node("Gather", "w ids", "y", axis=1)],
    "Cast to int64": [node("Cast", "x", "a", to=TensorProto.INT64),
                      node("Cast", "a", "y", to=TensorProto.FLOAT)],
    "Div of a constant by data": [node("Div", "half x", "y")],
    "Mul with one factor for each place": [node("Gemm", "x w", "b"),
                                           node("Reshape", "b image", "a"),
                                           node("Mul", "a places", "c"), node("Flatten", "c", "y")],
    "Add with a constant of another rank": [node("Add", "x v3", "a"), node("Flatten", "a", "y")],
    "Reshape that may move the axis of examples": [node("Reshape", "x four", "y")],
    "Pad that adds examples": [node("Pad", "x widths", "y")],
    "Transpose that moves the axis of examples": [node("Transpose", "x", "a", perm=[1, 0]),
                                                  node("Gemm", "a w", "y")],
    "Pad of mode reflect": [node("Pad", "x p", "a", mode="reflect"), node("Gemm", "a w", "y")],
    "MaxPool with automatic padding for a size that is not known":
        [node("Unsqueeze", "x p", "b"), node("MaxPool", "b", "y", kernel_shape=[3],
                                                  strides=[2], auto_pad="SAME_UPPER")],
}  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_ops_are_nodes_by_name(tmp_path, kind):
    tensors = {
        "w": numbers(4, 4), "u": numbers(4, 4), "p": np.array([1]), "v3": numbers(2, 4, 4),
        "half": np.float32(0.5), "yes": np.array(True), "zero": np.array([0]),
        "minus": np.array([-1]), "image": np.array([-1, 2, 2]), "places": numbers(1, 2, 2),
        "four": np.array([-1, 4]), "widths": np.array([1, 0, 0, 0]),
    }  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"]),
    ]
    nodes = [*UNKNOWN[kind], node("MatMul", "y u", "out")]
    net = ng.load(saved(tmp_path, nodes, tensors, (), out="out", inputs=inputs))
    assert net["u"].shape == (4, 4)
    kinds = [n.options["type"] for n in net.wiring if n.op == "unsupported"]
    assert any(found.startswith(kind) for found in kinds), kinds
    with pytest.raises((ng.UnsupportedOpError, ng.ChainError)):
        ng.forward(net, numbers(2, 4))
    if kind == "LSTM":
        assert ("w", 16, "recurrent layer: not yet") in net.coverage.skipped


def test_a_second_input_and_a_second_output(tmp_path):
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "z")]
    nodes = [node("Gemm", "x w", "y"), node("Gemm", "z w", "side")]
    source = model(nodes, {"w": numbers(4, 4)}, (), inputs=inputs)
    source.graph.output.append(helper.make_tensor_value_info("side", TensorProto.FLOAT, None))
    onnx.save_model(source, tmp_path / "two.onnx")
    net = ng.load(tmp_path / "two.onnx")
    assert [n.name for n in net.wiring] == ["input", "y"]  # what the first output needs
    nodes.append(node("Add", "y side", "sum"))
    net = ng.load(saved(tmp_path, nodes, {"w": numbers(4, 4)}, (), inputs=inputs, out="sum"))
    with pytest.raises(ng.UnsupportedOpError, match="second input"):
        ng.forward(net, numbers(2, 4))


def test_layers_inside_an_if_are_found(tmp_path):
    def branch(name, weight):
        constant = helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(weight))
        out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        return helper.make_graph([constant, node("MatMul", "a v", name)], name, [], out)

    tensors = {"w": numbers(4, 4), "yes": np.array(True)}
    choice = helper.make_node(
        "If", ["yes"], ["y"], then_branch=branch("t", numbers(4, 3)),
        else_branch=branch("e", numbers(4, 3)),
    )  # fmt: skip
    path = saved(tmp_path, [node("Gemm", "x w", "a"), choice], tensors, (4,))
    net = ng.load(path)
    assert set(net.names) == {"w", "y.then_branch/v", "y.else_branch/v"}
    assert [(n.op, n.inputs) for n in net.wiring[1:]] == [
        ("layer", ("input",)), ("unsupported", ("a",)),
    ]  # fmt: skip
    ng.save(net, {"y.then_branch/v": np.zeros((3, 4), bool)}, tmp_path / "out.onnx")
    assert not run(tmp_path / "out.onnx", numbers(2, 4)).any()


# External data: what lies where it should is mapped, anything else is refused unopened.


def external(folder, location="weights.bin", *, offset=None, length=None):
    weight = numbers(4, 3)
    source = model([node("MatMul", "x w", "y")], {"w": weight}, (4,))
    tensor = source.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    (folder / "net.onnx").write_bytes(source.SerializeToString())
    return folder / "net.onnx", weight


def test_external_data_are_mapped_and_move_into_the_copy(tmp_path):
    (tmp_path / "model" / "data").mkdir(parents=True)
    path, weight = external(tmp_path / "model", "data/weights.bin", offset=16)
    (path.parent / "data" / "weights.bin").write_bytes(bytes(16) + weight.tobytes())
    net = ng.load(path)
    assert isinstance(net["w"].weight, ng.StoredArray)
    np.testing.assert_array_equal(net["w"].array(), weight.T)
    mask = weight.T > 0
    ng.save(path, {"w": mask}, tmp_path / "out.onnx")
    x = numbers(2, 4)
    np.testing.assert_allclose(run(tmp_path / "out.onnx", x), x @ (weight * mask.T), atol=1e-6)
    (path.parent / "data" / "weights.bin").write_bytes(bytes(16) + bytes(weight.nbytes + 1))
    with pytest.raises(ng.FileChangedError):
        net["w"].array()


OUTSIDE = ["../evil.bin", "a/../../evil.bin", "/etc/hostname", "", "..\\evil.bin", "C:\\evil.bin"]


@pytest.mark.parametrize("location", OUTSIDE)
def test_external_data_outside_the_folder_are_refused(tmp_path, location):
    (tmp_path / "evil.bin").write_bytes(bytes(100))
    (tmp_path / "model" / "a").mkdir(parents=True)
    path, _ = external(tmp_path / "model", location)
    with pytest.raises(ng.FormatError, match="not opened"):
        ng.load(path)


@pytest.mark.parametrize("where", ["file", "folder"])
def test_external_data_behind_a_link_are_refused(tmp_path, where):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "w.bin").write_bytes(bytes(48))
    (tmp_path / "model").mkdir()
    if where == "file":
        (tmp_path / "model" / "w.bin").symlink_to(tmp_path / "secret" / "w.bin")
    else:
        (tmp_path / "model" / "sub").symlink_to(tmp_path / "secret")
    path, _ = external(tmp_path / "model", "w.bin" if where == "file" else "sub/w.bin")
    with pytest.raises(ng.FormatError, match="symbolic link"):
        ng.load(path)


def test_external_data_that_are_missing_or_too_short(tmp_path):
    with pytest.raises(ng.MissingFileError, match="missing"):
        ng.load(external(tmp_path)[0])
    (tmp_path / "weights.bin").write_bytes(bytes(40))
    for options in ({}, {"offset": 10**15}, {"offset": -8}, {"length": 4}, {"offset": "x"}):
        with pytest.raises(ng.FormatError, match=r"weights\.bin"):
            ng.load(external(tmp_path, **options)[0])


# Damaged and lying files.


def test_damaged_files(tmp_path):
    nodes, shapes, shape = CASES["all space"]
    good = model(nodes, filled(shapes), shape).SerializeToString()
    path = tmp_path / "bad.onnx"
    no_text = good.replace(b"graph", b"\xff\xfe\xff\xfe\xff").replace(b"\x01w", b"\x01\xff")
    halves = (good[: len(good) // 2], good[:40])
    for data in (b"hello world" * 20, *halves, b"\x08\x08", bytes(64), no_text):
        path.write_bytes(data)
        with pytest.raises(ng.FormatError, match=r"bad\.onnx"):
            ng.load(path)


def test_lying_models(tmp_path):
    weights = {"w": numbers(4, 3)}
    nodes = [node("MatMul", "x w", "y")]
    cases = {
        "which no earlier node gives": model([node("MatMul", "x v", "y")], weights, (4,)),
        "no node gives": model(nodes, weights, (4,), out="z"),
        "malformed": model([node("MaxPool", "x", "a"), *nodes], weights, (4,)),
        "two tensors": model(nodes, weights, (4,)),
        "cannot be read": model(nodes, weights, (4,)),
        "has shape": model(nodes, weights, (4,)),
    }
    cases["two tensors"].graph.initializer.append(cases["two tensors"].graph.initializer[0])
    cases["cannot be read"].graph.initializer[0].raw_data = bytes(40)
    cases["has shape"].graph.initializer[0].dims[:] = [-4, -3]
    for k, (words, source) in enumerate(cases.items()):
        path = tmp_path / f"{k}.onnx"
        path.write_bytes(source.SerializeToString())
        with pytest.raises(ng.FormatError, match=words):
            ng.load(path)


def test_no_layer_at_all(tmp_path):
    with pytest.raises(ng.WeightError, match="no layer"):
        ng.load(saved(tmp_path, [node("Relu", "x", "y")], {}, (4,)))


def test_masks_that_do_not_fit(tmp_path):
    path = saved(tmp_path, [node("Gemm", "x weight", "y")], {"weight": numbers(4, 3)}, (4,))
    for masks, words in (
        ({"wieght": np.ones((3, 4), bool)}, "did you mean 'weight'"),
        ({"weight": np.ones((4, 3), bool)}, r"\(3, 4\)"),
    ):
        with pytest.raises(ng.MaskError, match=words):
            ng.save(path, masks, tmp_path / "out.onnx")
    assert sorted(os.listdir(tmp_path)) == ["net.onnx"]


def test_without_onnx_the_error_names_the_extra(monkeypatch, tmp_path):
    path = saved(tmp_path, [node("Gemm", "x w", "y")], {"w": numbers(4, 3)}, (4,))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ng.MissingExtraError, match=r"nngraph\[onnx\]"):
        ng.load(path)


# Real models.


@pytest.fixture(scope="module")
def mnist():
    read = lambda name: gzip.decompress((DATA / "mnist" / name).read_bytes())  # noqa: E731
    images = np.frombuffer(read("t10k-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(read("t10k-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    return images.reshape(-1, 1, 28, 28).astype(np.float32), labels


def runtime_accuracy(path, images, labels):
    """The model takes one image at a time."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = [session.run(None, {name: image[None]})[0].argmax() for image in images]
    return np.mean(np.array(found) == labels)


@needs_data
def test_cntk_mnist_scores_the_same_here_and_in_onnxruntime(tmp_path, mnist):
    path = DATA / "onnx" / "mnist_cntk.onnx"
    net = ng.load(path)
    assert net.names == ("Parameter5", "Parameter87", "Parameter193")
    assert net["Parameter193"].layout.source_shape == (16, 4, 4, 10)
    assert ng.accuracy(net, *mnist) == 0.9891
    assert runtime_accuracy(path, *mnist) == 0.9891
    masks = ng.prune(net, "magnitude", density=0.5)
    ng.save(path, masks, tmp_path / "pruned.onnx")
    pruned = ng.accuracy(net, *mnist, masks=masks)
    assert pruned > 0.9
    assert runtime_accuracy(tmp_path / "pruned.onnx", *mnist) == pruned
    assert ng.accuracy(ng.load(tmp_path / "pruned.onnx"), *mnist) == pruned


@needs_data
def test_winml_cifar_network(tmp_path):
    path = DATA / "cifar_cnn_winml" / "ImageClassifier.onnx"
    held = np.load(DATA / "cifar10_subset" / "cifar10_test300.npz")
    images = ((held["x"] / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2).astype(np.float32)
    net = agrees(path, images, atol=1e-4)
    assert round(ng.accuracy(net, images, held["y"]), 3) == 0.653
    masks = ng.prune(net, "magnitude", density=0.5)
    ng.save(path, masks, tmp_path / "pruned.onnx")
    outputs = run(tmp_path / "pruned.onnx", images)
    np.testing.assert_allclose(ng.forward(net.with_masks(masks), images), outputs, atol=1e-4)


@needs_data
def test_silero_reports_what_it_skips(tmp_path):
    path = DATA / "silero_vad" / "silero_vad_16k_op15.onnx"
    net = ng.load(path)
    assert len(net) == 6
    reasons = {path: reason for path, _, reason in net.coverage.skipped}
    assert reasons["model.decoder.rnn.weight_hh"] == "recurrent layer: not yet"
    assert "If" in [n.options.get("type") for n in net.wiring]
    assert (net.coverage.covered, net.coverage.total) == (177_152, 309_633)
    ng.save(path, ng.prune(net, "magnitude", density=0.5), tmp_path / "out.onnx")
    runtime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])


def test_extents_below_zero_are_open(tmp_path):
    nodes = [
        node("Slice", "x a b c", "s"), node("Reshape", "s d", "r"), node("MatMul", "r w", "y"),
    ]  # fmt: skip
    cut = {"a": np.array([1]), "b": np.array([3]), "c": np.array([1]), "d": np.array([0, -1])}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [-1, -1, 5])
    path = saved(tmp_path, nodes, cut | {"w": numbers(10, 2)}, None, inputs=[x])
    # In a process of its own, because onnx ends the one in which it meets such a Slice.
    code = f"import nngraph as ng; print(len(ng.load({str(path)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n")
    agrees(path, numbers(2, 4, 5))
