"""Graphs for GPUs: every step is evaluated for every row, and a mask selects each row's own step.

A GPU computes the products of all steps in about the time of one. There is no control flow, so an engine can launch the
graph as a whole and record it as a CUDA graph.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..graph.onnx_text import Constants, float32_vector, int64_vector, text_model
from .layers import StackedHeads, StepLayer

_MASK = """
own_step = Equal (step, numbers)
mask = Unsqueeze (own_step, axis_2)
"""
_LAYER = """
{out}_all = Gemm <transB = 1> ({x}, {layer}_weight, {layer}_bias)
{out}_by_step = Reshape ({out}_all, {layer}_shape)
{out}_own = Where (mask, {out}_by_step, zero)
{out} = ReduceSum <keepdims = 0> ({out}_own, axis_1)
"""
_EXIT_VALUE = """
both = Concat <axis = 1> (state_features, previous_features)
{linear}
low = Sigmoid (logit)
value = Sub (one, low)
reached = GreaterOrEqual (step, first_step)
not_passed = LessOrEqual (step, last_step)
has_gate = And (reached, not_passed)
gate = Where (has_gate, value, zero)
"""


def gates(signature: str, heads: StackedHeads, opset: int) -> onnx.ModelProto:
    """Return the graph that evaluates gates; a row at a step without a gate yields 0."""
    conv1, conv2, linear = heads.layers
    nodes = [_MASK]
    for tensor in ("state", "previous"):
        nodes += [_layer(conv1, tensor, f"{tensor}_1"), f"{tensor}_relu = Relu ({tensor}_1)"]
        nodes += [_layer(conv2, f"{tensor}_relu", f"{tensor}_2"), f"{tensor}_features = Relu ({tensor}_2)"]
    nodes.append(_EXIT_VALUE.format(linear=_layer(linear, "both", "logit")))
    return text_model(signature, "\n".join(nodes), _constants(heads), opset)


def classifiers(signature: str, heads: StackedHeads, opset: int) -> onnx.ModelProto:
    """Return the graph that evaluates classifiers; a row at step 0 yields zeros."""
    return text_model(signature, _MASK + _layer(heads.layers[0], "state", "logits"), _constants(heads), opset)


def _layer(layer: StepLayer, x: str, out: str) -> str:
    return _LAYER.format(layer=layer.name, x=x, out=out)


def _constants(heads: StackedHeads) -> Constants:
    found: dict[str, np.ndarray] = {
        "numbers": float32_vector(*heads.steps).reshape(1, -1),
        "first_step": float32_vector(heads.steps[0]),
        "last_step": float32_vector(heads.steps[-1]),
        "zero": float32_vector(0),
        "one": float32_vector(1),
        "axis_1": int64_vector(1),
        "axis_2": int64_vector(2),
    }
    for layer in heads.layers:
        steps, outputs, inputs = layer.weight.shape
        found[f"{layer.name}_weight"] = layer.weight.reshape(steps * outputs, inputs)
        found[f"{layer.name}_bias"] = layer.bias.reshape(-1)
        found[f"{layer.name}_shape"] = int64_vector(-1, steps, outputs)
    return found
