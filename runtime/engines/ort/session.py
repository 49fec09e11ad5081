"""ONNX Runtime sessions: created from a part's graph, checked against the manifest, and run on bound memory.

Small parts (gates, classifiers, the accumulator) run on the calling thread; if each session had a thread pool, the
pools of twenty sessions would compete for the CPU by spinning. The threads of large parts spin only briefly, because
reader threads need the CPU, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ....errors import BundleError
from ....startup import phase
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Array
from ..graph_check import TensorInfo, check_signature, is_large_part, run_error

if TYPE_CHECKING:
    import onnxruntime

CPU_PROVIDERS = ("CPUExecutionProvider",)
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
_BINDINGS_KEPT = 256
# Longer than the calling thread takes between two nodes. ONNX Runtime's default is so long that a thread whose share of
# a node is done keeps a reader, or the thread that it waits for, from running.
_SPIN_MICROSECONDS = 100


class TensorLocation(NamedTuple):
    """A tensor's location in the form that session bindings take: device kind and index, dtype, shape and address."""

    device: str
    number: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    address: int


class Sessions:
    """The parts' sessions, with cached bindings of their tensors.

    Thread-safe as long as no two calls write to the same location, because each binding serves only its own locations.
    """

    def __init__(self, sessions: Mapping[str, onnxruntime.InferenceSession]) -> None:
        self._sessions = sessions
        self._inputs = {part: [i.name for i in session.get_inputs()] for part, session in sessions.items()}
        self._outputs = {part: session.get_outputs()[0].name for part, session in sessions.items()}
        self._bindings: dict[tuple[object, ...], onnxruntime.IOBinding] = {}

    def call(self, part: str, inputs: Sequence[Array]) -> Array:
        """Run a session on arrays and return its output in a new array.

        Raises:
            EngineError: the part cannot be run.
        """
        session, named = self._sessions[part], dict(zip(self._inputs[part], inputs))
        try:
            output: Array = session.run(None, named)[0]
        except Exception as error:  # onnxruntime's exceptions have no public base class
            raise run_error("ONNX Runtime", part, first_line(error)) from None
        return output

    def run(
        self, part: str, inputs: Sequence[TensorLocation], out: TensorLocation, options: onnxruntime.RunOptions = None
    ) -> None:
        """Run a session in place.

        Raises:
            EngineError: the part cannot be run.
        """
        session, binding = self._sessions[part], self._binding(part, inputs, out)
        try:
            session.run_with_iobinding(binding, options)
        except Exception as error:  # onnxruntime's exceptions have no public base class
            raise run_error("ONNX Runtime", part, first_line(error)) from None

    def _binding(self, part: str, inputs: Sequence[TensorLocation], out: TensorLocation) -> onnxruntime.IOBinding:
        """Return the binding for these locations (cached: slots recur, and creating one costs as much as a gate)."""
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


def host_session(bundle: Bundle[Manifest], part: str, path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Create the session for a part on the CPU; large parts run on ``threads`` threads.

    The number of threads is always set: by default, ONNX Runtime pins one thread to each core of the machine, including
    cores that the process may not use.

    Raises:
        BundleError: the file is not a graph, or not the graph of this part.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # errors are raised anyway, and the log lines contain escape sequences
    settings.intra_op_num_threads = threads if is_large_part(bundle.manifest.parts[part]) else 1
    # earlier versions, which do not have this setting, ignore it
    settings.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    try:
        with phase(f"engine/{part}"):
            session = onnxruntime.InferenceSession(str(path), settings, providers=list(CPU_PROVIDERS))
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise graph_error(path, error) from None
    check_session(bundle, part, session)
    return session


def check_session(bundle: Bundle[Manifest], part: str, session: onnxruntime.InferenceSession) -> None:
    """Compare the inputs and outputs of a session with the manifest.

    Raises:
        BundleError: the session's tensors differ from those in the manifest.
    """
    tensors = (*session.get_inputs(), *session.get_outputs())
    try:
        found = [TensorInfo(t.name, _DTYPES.get(t.type, t.type), tuple(t.shape)) for t in tensors]
    except UnicodeDecodeError:  # ONNX Runtime decodes a name when it is accessed
        raise BundleError(
            f"{bundle.path}: {part} has a tensor whose name is not UTF-8", "export the checkpoint again"
        ) from None
    check_signature(bundle, part, found)


def graph_error(path: Path, error: Exception) -> BundleError:
    """Return the error for a graph that ONNX Runtime cannot load."""
    return BundleError(f"ONNX Runtime cannot load {path}: {first_line(error)}", "export the checkpoint again")


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
