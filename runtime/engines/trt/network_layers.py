"""Precisions of the layers in a network definition, for TensorRT-RTX, which compiles kernels when a plan first runs.

The network is strongly typed, so its types are those that the library must compute in. A layer between quantize and
dequantize layers is counted as int8, which is what the graph asks for; only the GPU shows whether its kernel is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .precision_check import UNKNOWN

_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "FP8": "fp8", "INT8": "int8"}
_PRODUCTS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")


def network_precision_counts(network: Any) -> dict[str, int]:
    """Count the matrix-product layers of a parsed network by the precision that it asks for."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantized = {
        layer.get_output(index).name
        for layer in layers
        if layer.type.name == "DEQUANTIZE"
        for index in range(layer.num_outputs)
    }
    products = (layer for layer in layers if layer.type.name in _PRODUCTS)
    return dict(Counter(_precision(layer, dequantized) for layer in products))


def _precision(layer: Any, dequantized: set[str]) -> str:
    inputs = list(_inputs(layer))
    if inputs and all(tensor.name in dequantized for tensor in inputs):
        return "int8"
    return _PRECISIONS.get(inputs[0].dtype.name, UNKNOWN) if inputs else UNKNOWN


def _inputs(layer: Any) -> Iterator[Any]:
    """Yield the factors of a product: the data and, unless it is part of the layer, the kernel, but not the bias."""
    for index in range(min(layer.num_inputs, 2)):
        tensor = layer.get_input(index)
        if tensor is not None:
            yield tensor
