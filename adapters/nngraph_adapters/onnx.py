"""ONNX: models in, with their wiring; masked copies out, which any ONNX runtime takes.

Importing this module does not import onnx; reading and writing do (extra ``onnx``).

What the reader understands: Gemm, MatMul, Conv, ConvTranspose, Gather as an embedding,
BatchNormalization, the common activations, pooling, reshapes, transpositions, padding, slices,
sums and concatenations, and arithmetic with constants. Weights may stand behind Reshape, Transpose,
Squeeze, Identity, Cast and DequantizeLinear; masks find their way back to the initializer. Any
other op is a node of op ``"unsupported"``. Layers inside If, Loop and Scan are found, their wiring
is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import nngraph as ng

from ._onnx_files import write_masked
from ._onnx_graph import read

__all__ = ["FORMAT"]


class OnnxFormat:
    """``.onnx`` files, with or without external data."""

    name = "onnx"
    suffixes = (".onnx",)
    requires = ("onnx", "nngraph[onnx]")

    def read(self, path: Path) -> ng.Network:
        """The wired network of a model; a layer is named as its initializer.

        External data are mapped when they are needed, and must lie in the model's own folder, as
        plain files.
        """
        return read(path)[0]

    def write(self, source: Path, masks: Mapping[str, np.ndarray], out: Path) -> None:
        """The same model with zeros in its initializers; external data move into the file.

        A quantised weight gets its zero point, which stands for 0.
        """
        write_masked(source, masks, read(source)[1], out)


FORMAT = OnnxFormat()
