"""ONNX Runtime on the CPU.

Sessions read and write numpy arrays in place: an output that is given is bound to the session, so that parts are
chained without a copy. Parts too small to share out (gates, classifiers, the accumulator) run on the calling thread;
a thread pool for each of twenty sessions would only have them spin against each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError
from .bundle import Bundle
from .engine import Engine, EngineOptions, Handle, missing_package
from .graphs import Found, check_tensors, graph_files, worth_sharing
from .host import HostMemory
from .manifest import Manifest

if TYPE_CHECKING:
    import onnxruntime

_PROVIDERS = ("CPUExecutionProvider",)
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}


_BINDINGS_KEPT = 256


class OrtEngine(HostMemory):
    """One session per part, all on the same execution providers."""

    name = "ort"

    def __init__(self, sessions: dict[str, onnxruntime.InferenceSession], description: dict[str, str]) -> None:
        self._sessions = sessions
        self._inputs = {part: [i.name for i in session.get_inputs()] for part, session in sessions.items()}
        self._outputs = {part: session.get_outputs()[0].name for part, session in sessions.items()}
        self._bindings: dict[tuple[object, ...], onnxruntime.IOBinding] = {}
        self._description = description

    def describe(self) -> dict[str, str]:
        """Return version, providers and threads."""
        return self._description

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Run one session."""
        if out is None:
            return self._sessions[part].run(None, dict(zip(self._inputs[part], inputs)))[0]
        self._sessions[part].run_with_iobinding(self._binding(part, inputs, out))
        return out

    def _binding(self, part: str, inputs: tuple[Handle, ...], out: Handle) -> onnxruntime.IOBinding:
        """Return the binding of these addresses; slots come again and again, and making one costs as much as a gate."""
        arrays = (*inputs, out)
        key = (part, *((array.ctypes.data, array.shape) for array in arrays))
        binding = self._bindings.get(key)
        if binding is None:
            if len(self._bindings) >= _BINDINGS_KEPT:
                self._bindings.clear()
            binding = self._bindings[key] = self._sessions[part].io_binding()
            names = (*self._inputs[part], self._outputs[part])
            for name, array, bind in zip(names, arrays, [binding.bind_input] * len(inputs) + [binding.bind_output]):
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return binding


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Make a session for every part; see ``load_engine``."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_package("onnxruntime", "cpu") from None
    graphs = graph_files(bundle, options.precision, options)
    sessions = {part: _session(bundle, part, path, options) for part, path in graphs.items()}
    threads = str(options.threads) if options.threads else "all cores"
    description = {
        "onnxruntime": onnxruntime.__version__,
        "providers": ",".join(_PROVIDERS),
        "precision": options.precision,
        "threads": threads,
    }
    return OrtEngine(sessions, description)


def _session(bundle: Bundle[Manifest], part: str, path: Path, options: EngineOptions) -> onnxruntime.InferenceSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = options.threads if worth_sharing(bundle.manifest.parts[part]) else 1
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=list(_PROVIDERS))
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise BundleError(f"{path}: ONNX Runtime refused it: {_first_line(error)}", "export it again") from None
    tensors = (*session.get_inputs(), *session.get_outputs())
    check_tensors(bundle, part, [Found(t.name, _DTYPES.get(t.type, t.type), tuple(t.shape)) for t in tensors])
    return session


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
