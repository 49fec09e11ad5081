"""ONNX Runtime on the CPU.

Sessions read and write NumPy arrays in place: if the caller passes an output array, it is bound to the session, so that
parts can be chained without copies. Preprocessing is compiled where possible (see `load_compiled`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...bundle.manifest import Manifest
from ...preprocess.compiled import PREPROCESS, CompiledPreprocessing, load_compiled
from ..base import Handle
from ..numpy_memory import NumpyMemory
from .session import Sessions, TensorLocation

if TYPE_CHECKING:
    import onnxruntime


class OrtEngine(NumpyMemory):
    """One session per part, all with the same execution providers; thread-safe (see `Engine`)."""

    name = "ort"

    def __init__(
        self, sessions: Mapping[str, onnxruntime.InferenceSession], manifest: Manifest, description: dict[str, str]
    ) -> None:
        self._sessions = Sessions(sessions)
        self._compiled: CompiledPreprocessing | None = None
        self._description = description
        if PREPROCESS in sessions:
            runner = f"onnxruntime {description['onnxruntime']}"
            self._compiled, description["preprocessing"] = load_compiled(manifest, self._run_graph, runner)

    def describe(self) -> dict[str, str]:
        return self._description

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        if part == PREPROCESS and self._compiled is not None:
            return self._compiled(inputs[0], out)
        if out is None:
            return self._sessions.call(part, inputs)
        self._sessions.run(part, [_location(array) for array in inputs], _location(out))
        return out

    def _run_graph(self, frames: Handle) -> Handle:
        return self._sessions.call(PREPROCESS, [frames])


def _location(array: Handle) -> TensorLocation:
    return TensorLocation("cpu", 0, array.dtype, array.shape, array.ctypes.data)
