"""Quantize graphs to 8 bits with Q/DQ nodes and constant scales, which ONNX Runtime, OpenVINO and TensorRT all read.

The quantizer is ONNX Runtime's, which the export requires anyway. NVIDIA's ModelOpt pins older releases of onnx
and ONNX Runtime, adds a dozen dependencies, and makes its own choice of operators. Weights are int8 per output channel
with zero point 0, and biases stay float: TensorRT rejects int32 biases (microsoft/onnxruntime issues 14229 and 17738)
and nonzero zero points, and ONNX Runtime quantizes biases when it loads a graph.

No single graph suits both kinds of hardware, so there are two:

- ``int8-trt`` for TensorRT: symmetric int8 activations, with Q/DQ only before int8 operators, so that ReLU and the
  residual addition fuse into the convolution. ONNX Runtime runs it on a CPU in float, slower than fp32.
- ``int8`` for x86 CPUs: uint8 activations with a zero point on every tensor of the trunk, so that ONNX Runtime fuses
  ReLU into the rounding and computes in integers throughout, 1.8 times as fast as fp32. Weights use 7 bits: a CPU
  without VNNI adds two 8 x 8-bit products in 16 bits, which saturates. With 8 bits, 46 of the demo's 400 exit steps
  change instead of 11, and OpenVINO, which computes ``int8-trt`` in integers, doubles its error on such a CPU.

In our measurements on FrameExit's backbones, keeping the first convolution or the last linear layer in float brought no
gain. Where it did, nodes stay in float: the classifier of a network that is a single part, the products of two
activations in attention, the residual additions of transformers, which have no ReLU to fuse (on Uniformer, ``int8`` is
then 1.2 times as fast with OpenVINO, and its error is 0.8 times as large), and 3D convolutions of pixels, which ONNX
Runtime computes nine times as slowly in integers (SlowFast's fast stem).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from ...errors import CheckError
from ...runtime.bundle.manifest import PrecisionSpec
from .activation_ranges import Ranges
from .common import ConvertedGraph, clean_up
from .quiet import quiet

_QDQ = ("QuantizeLinear", "DequantizeLinear")
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_LOGITS = "logits"
_AXES_3D, _COLORS = 5, 3


@dataclass(frozen=True)
class Recipe:
    """Configuration of a quantized precision.

    Attributes:
        activations: type of the quantized activations; uint8 has a zero point, and int8 has none.
        quantized_ops: operators whose inputs are quantized.
        float_outputs: those of ``quantized_ops`` whose output is passed on to the next operator unrounded.
        reduce_range: whether to use only 7 of a weight's 8 bits.
    """

    activations: Literal["int8", "uint8"]
    quantized_ops: tuple[str, ...]
    float_outputs: tuple[str, ...]
    reduce_range: bool


RECIPES = {
    "int8-trt": Recipe("int8", ("Conv", "Gemm", "MatMul"), ("Conv", "Gemm", "MatMul"), reduce_range=False),
    # The last linear layer outputs the features, which determine exits and therefore stay in float32.
    "int8": Recipe(
        "uint8",
        ("Conv", "Gemm", "MatMul", "MaxPool", "Add", "Relu"),
        ("Gemm", "MatMul"),
        reduce_range=True,
    ),
}


def to_int8_qdq(model: onnx.ModelProto, recipe: Recipe, ranges: Ranges) -> ConvertedGraph:
    """Return ``model`` with Q/DQ nodes; its inputs and outputs stay float32.

    Raises:
        CheckError: no operator can be quantized, or the result is not a valid graph.
    """
    import onnxruntime

    found = _with_qdq(model, recipe, ranges)
    converted, kept = _op_counts(found)
    if not converted:
        raise CheckError(f"{model.graph.name} has no operators that can be quantized", "omit this precision")
    spec = PrecisionSpec(
        parts=(model.graph.name,),
        weights="int8",
        activations=recipe.activations,
        granularity=_granularity(recipe),
        converted=converted,
        kept=kept,
        weights_flushed_to_zero=0,
        calibration=ranges.spec,
        tool="onnxruntime.quantization",
        version=onnxruntime.__version__,
    )
    return ConvertedGraph(found, spec)


def _granularity(recipe: Recipe) -> str:
    bits = "7 bits, " if recipe.reduce_range else ""
    zero = "symmetric" if recipe.activations == "int8" else "with zero point"
    return f"weights {bits}symmetric per output channel, activations {zero} per tensor"


def _with_qdq(model: onnx.ModelProto, recipe: Recipe, ranges: Ranges) -> onnx.ModelProto:
    from onnxruntime.quantization import QDQQuantizer, QuantType

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with quiet():
        quantizer = QDQQuantizer(
            copy,
            True,  # quantize weights per channel
            recipe.reduce_range,
            QuantType.QInt8,
            QuantType.QInt8 if recipe.activations == "int8" else QuantType.QUInt8,
            ranges.tensors,
            [],
            _float_nodes(model),
            list(recipe.quantized_ops),
            {
                "ActivationSymmetric": recipe.activations == "int8",
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(recipe.float_outputs),
            },
        )
        quantizer.quantize_model()
    return clean_up(quantizer.model.model, model)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that stay in float, although their operator is quantized elsewhere."""
    nodes = model.graph.node
    constants = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    outputs = {tensor.name for tensor in model.graph.output}
    # Nothing is gained by quantizing the output of a final activation.
    kept = [node for node in nodes if node.op_type == "Relu" and outputs.intersection(node.output)]
    kept += [node for node in nodes if node.op_type == "MatMul" and constants.keys().isdisjoint(node.input)]
    kept += [node for node in nodes if node.op_type == "Conv" and _reads_pixels(constants[node.input[1]])]
    if _LOGITS in outputs:
        kept.append([node for node in nodes if node.op_type in _WEIGHTED][-1])
    if any(node.op_type == "LayerNormalization" for node in nodes):
        kept += [node for node in nodes if node.op_type == "Add"]
    return [node.name for node in kept]


def _reads_pixels(weight: Sequence[int]) -> bool:
    """Return whether a weight of this shape belongs to a 3D convolution of three color channels."""
    return len(weight) == _AXES_3D and weight[1] == _COLORS


def _op_counts(model: onnx.ModelProto) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Return the number of nodes with quantized inputs, by operator, and the names of the other nodes."""
    constants = {tensor.name for tensor in model.graph.initializer}
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    converted: Counter[str] = Counter()
    kept: defaultdict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type in _QDQ:
            continue
        if all(name in dequantized for name in node.input if name not in constants):
            converted[node.op_type] += 1
        else:
            kept[node.op_type].append(node.name)
    return dict(converted), {op: tuple(names) for op, names in kept.items()}
