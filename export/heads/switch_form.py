"""Graphs for CPUs: one ``If`` per step, whose branch evaluates the rows at this step.

On a CPU, a gate costs as much as reading its weights from memory, so a graph must not touch the weights of a step that
no row has reached.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..graph.onnx_text import Constants, float32_vector, int64_vector, text_model
from .layers import StackedHeads

_START = """
at_step = Equal (step, numbers)
rows_at_step = Cast <to = 1> (at_step)
most = ReduceMax <keepdims = 0> (rows_at_step, axis_0)
reached = Cast <to = 9> (most)
{conditions} = Split <axis = 0, num_outputs = {count}> (reached)
size = Shape <start = 0, end = 1> (step)
shape = Concat <axis = 0> (size, width)
{before} = ConstantOfShape (shape)
"""
_STEP = """
{after} = If (reached_{step}) <
  then_branch = evaluate_{step} () => (float[n, {width}] evaluated_{step}) {{
    at_{step} = Equal (step, number_{step})
    places_{step} = NonZero (at_{step})
    rows_{step} = Gather <axis = 0> (places_{step}, first)
    {nodes}
    targets_{step} = Unsqueeze (rows_{step}, axis_1)
    evaluated_{step} = ScatterND ({before}, targets_{step}, values_{step})
  }},
  else_branch = skip_{step} () => (float[n, {width}] skipped_{step}) {{
    skipped_{step} = Identity ({before})
  }}
>
"""
_GATE = """
state_{step} = Gather <axis = 0> (state, rows_{step})
previous_{step} = Gather <axis = 0> (previous, rows_{step})
both_{step} = Concat <axis = 0> (state_{step}, previous_{step})
conv1_{step} = Gemm <transB = 1> (both_{step}, conv1_weight_{step}, conv1_bias_{step})
relu1_{step} = Relu (conv1_{step})
conv2_{step} = Gemm <transB = 1> (relu1_{step}, conv2_weight_{step}, conv2_bias_{step})
relu2_{step} = Relu (conv2_{step})
state_features_{step}, previous_features_{step} = Split <axis = 0, num_outputs = 2> (relu2_{step})
features_{step} = Concat <axis = 1> (state_features_{step}, previous_features_{step})
logit_{step} = Gemm <transB = 1> (features_{step}, linear_weight_{step}, linear_bias_{step})
low_{step} = Sigmoid (logit_{step})
values_{step} = Sub (one, low_{step})
"""
_CLASSIFIER = """
state_{step} = Gather <axis = 0> (state, rows_{step})
values_{step} = Gemm <transB = 1> (state_{step}, classifier_weight_{step}, classifier_bias_{step})
"""


def gates(signature: str, heads: StackedHeads, opset: int) -> onnx.ModelProto:
    """Return the graph that evaluates gates; a row at a step without a gate yields 0."""
    return _model(signature, heads, 1, _GATE, "gate", opset)


def classifiers(signature: str, heads: StackedHeads, opset: int) -> onnx.ModelProto:
    """Return the graph that evaluates classifiers; a row at step 0 yields zeros."""
    return _model(signature, heads, heads.layers[0].weight.shape[1], _CLASSIFIER, "logits", opset)


def _model(signature: str, heads: StackedHeads, width: int, nodes: str, output: str, opset: int) -> onnx.ModelProto:
    steps = heads.steps
    after = {step: output if step == steps[-1] else f"after_{step}" for step in steps}
    before = {step: after.get(step - 1, "start") for step in steps}
    conditions = ", ".join(f"reached_{step}" for step in steps)
    text = [_START.format(conditions=conditions, count=len(steps), before=before[steps[0]])]
    for step in steps:
        evaluated = nodes.format(step=step)
        text.append(_STEP.format(step=step, width=width, nodes=evaluated, before=before[step], after=after[step]))
    return text_model(signature, "\n".join(text), _constants(heads, width), opset)


def _constants(heads: StackedHeads, width: int) -> Constants:
    found: dict[str, np.ndarray] = {
        "numbers": float32_vector(*heads.steps).reshape(1, -1),
        "width": int64_vector(width),
        "one": float32_vector(1),
        "first": np.array(0, np.int64),
        "axis_0": int64_vector(0),
        "axis_1": int64_vector(1),
    }
    for index, step in enumerate(heads.steps):
        found[f"number_{step}"] = float32_vector(step)
        for layer in heads.layers:
            found[f"{layer.name}_weight_{step}"] = layer.weight[index]
            found[f"{layer.name}_bias_{step}"] = layer.bias[index]
    return found
