"""Runs one part with ONNX Runtime inside Triton's Python backend, for servers without the ONNX Runtime backend."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils

from .numpy_check import check_numpy
from .one_line import one_line

THREADS = "VBENCH_PART_THREADS"


class TritonPythonModel:
    """The graph ``model.onnx``, on the CPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph with the number of threads in ``$VBENCH_PART_THREADS``, one by default.

        Raises:
            TritonModelException: the installed NumPy does not work with this server, the variable is not a positive
                integer, or the graph cannot be opened.
        """
        check_numpy()
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads(os.environ.get(THREADS, "1"))
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise pb_utils.TritonModelException(f"cannot open {graph}: {one_line(error)}") from None
        self._outputs = [each["name"] for each in json.loads(args["model_config"])["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return the response to each request."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        try:
            values = self._session.run(self._outputs, {each.name(): each.as_numpy() for each in request.inputs()})
        except Exception as error:
            problem = pb_utils.TritonError(f"{type(error).__name__}: {one_line(error)}")
            return pb_utils.InferenceResponse(output_tensors=[], error=problem)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self._outputs, values)])


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise pb_utils.TritonModelException(f"{THREADS} must be a number of threads, got {text!r}; set it to 1 or more")
    return int(text)
