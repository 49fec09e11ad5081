"""Sessions of ONNX Runtime: made from a part's graph, checked against the manifest, run on bound memory.

Parts too small to share out (gates, classifiers, the accumulator) run on the calling thread; a thread pool for each of
twenty sessions would only have them spin against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ....errors import BundleError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Array, EngineOptions
from ..graph_check import TensorInfo, check_signature, is_large_part

if TYPE_CHECKING:
    import onnxruntime

CPU_PROVIDERS = ("CPUExecutionProvider",)
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
_BINDINGS_KEPT = 256


class TensorLocation(NamedTuple):
    """Where a tensor is, as a session is told it: kind and number of the device, dtype, shape and address."""

    device: str
    number: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    address: int


class Sessions:
    """The sessions of the parts, with the bindings of the tensors that they were run on.

    Thread-safe, as long as no two calls write to the same place: a binding belongs to its places.
    """

    def __init__(self, sessions: Mapping[str, onnxruntime.InferenceSession]) -> None:
        self._sessions = sessions
        self._inputs = {part: [i.name for i in session.get_inputs()] for part, session in sessions.items()}
        self._outputs = {part: session.get_outputs()[0].name for part, session in sessions.items()}
        self._bindings: dict[tuple[object, ...], onnxruntime.IOBinding] = {}

    def call(self, part: str, inputs: Sequence[Array]) -> Array:
        """Run a session on arrays and return its output in a new one."""
        output: Array = self._sessions[part].run(None, dict(zip(self._inputs[part], inputs)))[0]
        return output

    def run(
        self, part: str, inputs: Sequence[TensorLocation], out: TensorLocation, options: onnxruntime.RunOptions = None
    ) -> None:
        """Run a session in place."""
        self._sessions[part].run_with_iobinding(self._binding(part, inputs, out), options)

    def _binding(self, part: str, inputs: Sequence[TensorLocation], out: TensorLocation) -> onnxruntime.IOBinding:
        """Return the binding of these places; slots come again and again, and making one costs as much as a gate."""
        key = (part, *inputs, out)
        binding = self._bindings.get(key)
        if binding is None:
            if len(self._bindings) >= _BINDINGS_KEPT:
                self._bindings.clear()
            binding = self._bindings[key] = self._sessions[part].io_binding()
            for name, location in zip(self._inputs[part], inputs):
                binding.bind_input(name, *location)
            binding.bind_output(self._outputs[part], *out)
        return binding


def host_session(
    bundle: Bundle[Manifest], part: str, path: Path, options: EngineOptions
) -> onnxruntime.InferenceSession:
    """Make the session of a part on the CPU.

    Raises:
        BundleError: it is no graph, or not the part's.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = options.threads if is_large_part(bundle.manifest.parts[part]) else 1
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=list(CPU_PROVIDERS))
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise graph_error(path, error) from None
    check_session(bundle, part, session)
    return session


def check_session(bundle: Bundle[Manifest], part: str, session: onnxruntime.InferenceSession) -> None:
    """Compare what a session takes and gives with the manifest.

    Raises:
        BundleError: it is another part's.
    """
    tensors = (*session.get_inputs(), *session.get_outputs())
    check_signature(bundle, part, [TensorInfo(t.name, _DTYPES.get(t.type, t.type), tuple(t.shape)) for t in tensors])


def graph_error(path: Path, error: Exception) -> BundleError:
    """Return the error for a graph that ONNX Runtime does not read."""
    return BundleError(f"{path}: ONNX Runtime refused it: {first_line(error)}", "export it again")


def first_line(error: Exception) -> str:
    """Return the first line of what went wrong."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
