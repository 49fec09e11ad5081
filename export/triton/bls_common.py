"""First half of a Triton repository's model.py: parses requests, builds responses, and runs parts via other models.

It runs in the Python backend of Triton Inference Server, which provides numpy and ``triton_python_backend_utils`` but
not vbench. The network's settings come from ``policy.json`` in the same folder. An error is returned as the response to
the request that caused it and is never raised, because an exception would fail all requests in the batch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

PARAMETERS = ("first_threshold", "gate_threshold", "frames", "cascade")


class RequestError(Exception):
    """An error that is returned to the client instead of a result."""


class Clip:
    """One clip in a request: uint8 ``frames [T, H, W, 3]``, its policy, its state and its result."""

    def __init__(self, frames: Any, policy: dict[str, Any]) -> None:
        self.frames, self.policy = frames, policy
        self.logits: Any = None
        self.exit_step = self.frames_used = 0
        self.error = ""
        self.state: Any = None
        self.previous: Any = None
        self.gate: float | None = None
        self.step_logits: Any = None
        self.labels: list[int] = []

    def finish(self, logits: Any, exit_step: int, frames_used: int) -> None:
        """Record the result: float32 logits ``[classes]``, 1-based exit step, and number of frames used."""
        self.logits, self.exit_step, self.frames_used = logits, exit_step, frames_used


class Parts:
    """The parts of the network, each of which is a model on the same server."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.parts, self.rows = settings["parts"], settings["rows"]

    def run(self, part: str, *inputs: Any) -> Any:
        """Return a part's output for all rows of ``inputs``, making calls of at most ``rows`` rows."""
        starts = range(0, len(inputs[0]), self.rows)
        return np.concatenate(
            [self.call(part, [rows[start : start + self.rows] for rows in inputs]) for start in starts]
        )

    def call(self, part: str, inputs: list[Any]) -> Any:
        """Return the output of a single call."""
        spec = self.parts[part]
        tensors = [pb_utils.Tensor(name, np.ascontiguousarray(rows)) for name, rows in zip(spec["inputs"], inputs)]
        request = pb_utils.InferenceRequest(
            model_name=spec["model"],
            requested_output_names=[spec["output"]],
            inputs=tensors,
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),  # numpy reads only CPU memory
        )
        response = request.exec()
        if response.has_error():
            raise RequestError(f"{spec['model']}: {response.error().message()}")
        return pb_utils.get_output_tensor_by_name(response, spec["output"]).as_numpy()


class Network:
    """Base class of all served networks; ``settings`` are the contents of ``policy.json``."""

    settings: dict[str, Any]
    parts: Parts

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Read the settings; parts may be called only during requests, as Triton requires."""
        self.settings = json.loads(Path(__file__).with_name("policy.json").read_text(encoding="utf-8"))
        self.parts = Parts(self.settings)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return the response to each request, in order; clips from all requests run together."""
        parsed = [self.parse(request) for request in requests]
        clips = [clip for clips_or_error in parsed if not isinstance(clips_or_error, str) for clip in clips_or_error]
        try:
            self.run(clips)
        except Exception as error:
            for clip in clips:
                clip.error = "" if clip.logits is not None else error_text(error)
        return [self.response(clips_or_error) for clips_or_error in parsed]

    def run(self, clips: list[Clip]) -> None:
        """Run all clips to completion."""
        raise NotImplementedError

    def policy_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the policy selected by a request's parameters."""
        raise NotImplementedError

    def parse(self, request: Any) -> list[Clip] | str:
        """Return the clips in a request, or an error message."""
        try:
            tensor = pb_utils.get_input_tensor_by_name(request, "FRAMES")
            frames = None if tensor is None else tensor.as_numpy()
            if frames is None or frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[4] != 3:
                raise RequestError("FRAMES must be uint8 [clips, T, H, W, 3]")
            if 0 in frames.shape:
                raise RequestError(f"FRAMES {list(frames.shape)} is empty")
            policy = self.policy_of(parameters_of(request))
            return [Clip(clip, policy) for clip in frames]
        except Exception as error:
            return error_text(error)

    def response(self, parsed: list[Clip] | str) -> Any:
        """Return the response to a request: the results of all its clips, or the first error."""
        error = parsed if isinstance(parsed, str) else next((clip.error for clip in parsed if clip.error), "")
        if error or isinstance(parsed, str):
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(error))
        logits = np.stack([clip.logits for clip in parsed]).astype(np.float32)
        classes = logits.argmax(axis=1)
        tensors = [
            pb_utils.Tensor("LOGITS", logits),
            pb_utils.Tensor("CLASS", column(classes)),
            pb_utils.Tensor("EXIT_STEP", column([clip.exit_step for clip in parsed])),
            pb_utils.Tensor("FRAMES_USED", column([clip.frames_used for clip in parsed])),
        ]
        names = self.settings["class_names"]
        if names is not None:
            label_names = [[names[place].encode()] for place in classes]
            tensors.append(pb_utils.Tensor("CLASS_NAME", np.array(label_names, dtype=np.object_)))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def column(values: Any) -> Any:
    """Return integers as int32 ``[n, 1]``."""
    return np.asarray(values, dtype=np.int32)[:, None]


def error_text(error: Exception) -> str:
    """Return the message of an error, on one line."""
    text = str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split()) or "failed"


def parameters_of(request: Any) -> dict[str, Any]:
    """Return the policy parameters of a request, without the parameters that servers and clients add."""
    text = request.parameters()
    parameters = json.loads(text) if text else {}
    return {name: value for name, value in parameters.items() if name in PARAMETERS}


def fractions(name: str, value: Any) -> list[float]:
    """Return the numbers, all in [0, 1], that a parameter contains: one, or several separated by commas."""
    try:
        numbers = [float(number) for number in str(value).split(",")]
    except ValueError:
        raise RequestError(f"{name} {value} is not a number") from None
    for number in numbers:
        if not 0 <= number <= 1:
            raise RequestError(f"{name} {number} is outside [0, 1]")
    return numbers


def certainty(logits: Any, output: str = "softmax") -> tuple[float, float]:
    """Return the top probability and normalized entropy (0 = certain, 1 = uniform) of logits ``[classes]``.

    They are computed in float32, as in vbench, because thresholds are tuned to such values.
    """
    if output == "sigmoid":
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            shares = [1 / (1 + np.exp(-signed)) for signed in (logits, -logits)]
            sides = [np.where(share == 0, np.float32(0), share * np.log(share)) for share in shares]
        return float(shares[0].max()), float(-np.add(*sides).mean()) / float(np.log(2))
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities == 0, np.float32(0), probabilities * np.log(probabilities))
    return float(probabilities.max()), float(-terms.sum() / np.log(max(len(logits), 2)))
