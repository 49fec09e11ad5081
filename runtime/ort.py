"""ONNX Runtime on the CPU.

Handles are numpy arrays: on the CPU a session reads them in place. Parts too small to share out (gates, classifiers,
the accumulator) run on the calling thread; a thread pool for each of twenty sessions would only have them spin
against each other.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from ..errors import BundleError
from .bundle import Bundle
from .engine import Array, Engine, EngineOptions, Handle, missing_package
from .manifest import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

_PROVIDERS = ("CPUExecutionProvider",)
_WORTH_SHARING_MACS = 20_000_000
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}


class OrtEngine:
    """One session per part, all on the same execution providers."""

    name = "ort"

    def __init__(self, sessions: dict[str, onnxruntime.InferenceSession], description: dict[str, str]) -> None:
        self._sessions = sessions
        self._inputs = {part: [i.name for i in session.get_inputs()] for part, session in sessions.items()}
        self._description = description

    def describe(self) -> dict[str, str]:
        """Return version, providers and threads."""
        return self._description

    def put(self, array: Array) -> Handle:
        """Return the array itself."""
        return array

    def run(self, part: str, *inputs: Handle) -> Handle:
        """Run one session."""
        return self._sessions[part].run(None, dict(zip(self._inputs[part], inputs)))[0]

    def get(self, handle: Handle) -> Array:
        """Return the array itself."""
        array: Array = handle
        return array


def load(bundle: Bundle, options: EngineOptions) -> Engine:
    """Make a session for every part; see ``load_engine``."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_package("onnxruntime", "cpu") from None
    sessions = {part: _session(bundle, part, options) for part in bundle.manifest.parts}
    threads = str(options.threads) if options.threads else "all cores"
    description = {
        "onnxruntime": onnxruntime.__version__,
        "providers": ",".join(_PROVIDERS),
        "precision": options.precision,
        "threads": threads,
    }
    return OrtEngine(sessions, description)


def _session(bundle: Bundle, part: str, options: EngineOptions) -> onnxruntime.InferenceSession:
    import onnxruntime

    path = bundle.part_file(part, options.precision)
    if b"location" in path.read_bytes():  # the key of every reference to another file, whose digest nobody checked
        raise BundleError(f"{path}: keeps weights in another file, which no manifest vouches for", "export it again")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    shared_out = bundle.manifest.parts[part].macs >= _WORTH_SHARING_MACS
    settings.intra_op_num_threads = options.threads if shared_out else 1
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=list(_PROVIDERS))
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise BundleError(f"{path}: ONNX Runtime refused it: {_first_line(error)}", "export it again") from None
    _check_tensors(bundle, part, session)
    return session


def _check_tensors(bundle: Bundle, part: str, session: onnxruntime.InferenceSession) -> None:
    spec = bundle.manifest.parts[part]
    graph = (*session.get_inputs(), *session.get_outputs())
    for wanted, found in zip_longest((*spec.inputs, spec.output), graph):
        if wanted is None or found is None or not _fits(wanted, found):
            raise BundleError(
                f"{bundle.path}: {part}: found {_found(found)}, manifest says {_wanted(wanted)}", "export it again"
            )


def _fits(wanted: TensorSpec, found: onnxruntime.NodeArg) -> bool:
    shape = list(found.shape)
    return (
        wanted.name == found.name
        and wanted.dtype == _DTYPES.get(found.type)
        and len(shape) == len(wanted.shape)
        and all(isinstance(want, str) or want == have for want, have in zip(wanted.shape, shape))
    )


def _found(tensor: onnxruntime.NodeArg | None) -> str:
    return (
        f"tensor {tensor.name} {_DTYPES.get(tensor.type, tensor.type)} {list(tensor.shape)}" if tensor else "no tensor"
    )


def _wanted(tensor: TensorSpec | None) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" if tensor else "no more tensors"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
