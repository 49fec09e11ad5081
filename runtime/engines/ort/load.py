"""Load a bundle into ONNX Runtime on the selected device."""

from __future__ import annotations

from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Engine, EngineOptions
from ..device import select_gpu
from ..graph_check import graph_files
from ..install_hint import missing_package
from .cpu import OrtEngine
from .cuda import load_cuda
from .session import CPU_PROVIDERS, host_session


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Create a session for every part; see ``load_engine``."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_package("onnxruntime", "cpu") from None
    if select_gpu(options) is not None:
        return load_cuda(bundle, options)
    graphs = graph_files(bundle, options.precision, options, "ort_cpu")
    threads = options.thread_count()
    sessions = {part: host_session(bundle, part, path, threads) for part, path in graphs.items()}
    description = {
        "onnxruntime": onnxruntime.__version__,
        "providers": ",".join(CPU_PROVIDERS),
        "precision": options.precision,
        "threads": str(threads),
    }
    return OrtEngine(sessions, bundle.manifest, description)
