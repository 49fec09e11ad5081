"""Check a graph before it is written."""

from __future__ import annotations

import onnx

from ...errors import CheckError


def check_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` if it passes ONNX's full check and contains no batch norms.

    Raises:
        CheckError: the model is invalid or contains a batch norm.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckError(f"{model.graph.name} is not a valid ONNX graph: {str(error).splitlines()[0]}") from None
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        raise CheckError(f"{model.graph.name} contains a batch norm that was not folded")
    return model
