"""GPU sessions without silent fallback.

By default, ONNX Runtime runs a graph on the CPU if the GPU, its driver or a library is missing, and reports this only
in its log. Here, the CPU fallback (both ORT's and the Python wrapper's) is disabled, and the providers obtained are
checked against those requested. The provider of each node is checked as well, if this version of ONNX Runtime reports
it.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import MissingError
from ..device import TF32_OVERRIDE, GpuId
from ..install_hint import install
from .nvidia_libraries import load_cuda_libraries, load_tensorrt_libraries
from .session import first_line, graph_error

if TYPE_CHECKING:
    import onnxruntime

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
Settings = dict[str, str]
_FELL_BACK = "assigned to the default CPU EP"  # from ONNX Runtime's message about nodes that no other provider accepts
_ON_THE_CPU = "use --device cpu"


@dataclass(frozen=True)
class Request:
    """The device and provider requested for a session.

    Attributes:
        gpu: the GPU.
        capture: whether CUDA graphs may be captured.
        tf32: whether products may be rounded to TF32.
        tensorrt: options of the TensorRT provider, which must then run every node; None if the CUDA provider must.
    """

    gpu: GpuId
    capture: bool = False
    tf32: bool = False
    tensorrt: Settings | None = None

    @property
    def provider(self) -> str:
        """The provider that must run every node."""
        return CUDA if self.tensorrt is None else TENSORRT

    def providers(self) -> list[tuple[str, Settings]]:
        """Return a session's providers, including the CUDA provider for nodes that the TensorRT provider rejects."""
        device = {"device_id": str(self.gpu.number)}
        cuda = {**device, "use_tf32": str(int(self.tf32)), "enable_cuda_graph": str(int(self.capture))}
        return [(CUDA, cuda)] if self.tensorrt is None else [(TENSORRT, device | self.tensorrt), (CUDA, cuda)]


def check_build(request: Request) -> None:
    """Check that ONNX Runtime was built with the provider, and load the libraries that the provider needs.

    Raises:
        MissingError: ONNX Runtime was built without the provider.
    """
    import onnxruntime

    if request.provider not in onnxruntime.get_available_providers():
        raise MissingError(
            f"this onnxruntime ({onnxruntime.__version__}) was built without {request.provider}",
            f"pip uninstall onnxruntime, then {install('gpu')}",
        )
    load_cuda_libraries()
    if request.tensorrt is not None:
        load_tensorrt_libraries()


def open_probe(graph: bytes, request: Request) -> onnxruntime.InferenceSession:
    """Create a session for a graph that is known to be valid, so that any failure is due to the machine.

    Raises:
        MissingError: the provider does not work on this machine.
    """
    try:
        session = _session(graph, request)
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise _unusable_error(request, first_line(error)) from None
    if not _matches_request(session, request):
        raise _unusable_error(request, f"got {', '.join(session.get_providers())}")
    _check_nodes("a probe", session, request)
    return session


def open_session(part: str, path: Path, request: Request) -> onnxruntime.InferenceSession:
    """Create the session for a part.

    Raises:
        MissingError: some nodes would run on another provider.
        BundleError: ONNX Runtime cannot load the graph.
    """
    try:
        session = _session(str(path), request)
    except Exception as error:  # onnxruntime's exceptions have no public base class
        if _FELL_BACK in str(error):
            raise _placement_error(part, request, "some nodes", "the CPU") from None
        raise graph_error(path, error) from None
    if not _matches_request(session, request):
        raise _placement_error(part, request, "the whole graph", ", ".join(session.get_providers()))
    _check_nodes(part, session, request)
    return session


def tf32(provider: str, requested: bool) -> str:
    """Say whether float32 products are rounded to TF32; the TensorRT provider has no option for this."""
    if os.environ.get(TF32_OVERRIDE) == "0":
        return "off"
    if provider == CUDA:
        return "on" if requested else "off"
    return f"chosen by TensorRT; {TF32_OVERRIDE}=0 in the environment disables it"


def _session(graph: str | bytes, request: Request) -> onnxruntime.InferenceSession:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = 1  # nothing is computed on the host
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return onnxruntime.InferenceSession(graph, settings, providers=request.providers(), enable_fallback=0)


def _matches_request(session: onnxruntime.InferenceSession, request: Request) -> bool:
    wanted = [name for name, _ in request.providers()]
    return list(session.get_providers())[: len(wanted)] == wanted


def _check_nodes(part: str, session: onnxruntime.InferenceSession, request: Request) -> None:
    nodes = nodes_by_provider(session)
    others = sorted(set(nodes) - {request.provider})
    if others:
        count = sum(nodes[name] for name in others)
        raise _placement_error(part, request, f"{count} of {sum(nodes.values())} nodes", ", ".join(others))


def nodes_by_provider(session: onnxruntime.InferenceSession) -> Counter[str]:
    """Count the nodes of a graph by provider; empty if this ONNX Runtime does not report them."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return Counter()
    found: Counter[str] = Counter()
    for subgraph in session.get_provider_graph_assignment_info():
        found[subgraph.ep_name] += len(subgraph.get_nodes())
    return found


def _unusable_error(request: Request, reason: str) -> MissingError:
    needs = (
        "the NVIDIA driver and matching versions of CUDA and cuDNN" if request.tensorrt is None else "TensorRT as well"
    )
    return MissingError(
        f"ONNX Runtime cannot use {request.provider} on {request.gpu} ({reason})",
        f"install {needs} (the log names the missing library), or {_ON_THE_CPU}",
    )


def _placement_error(part: str, request: Request, what: str, where: str) -> MissingError:
    return MissingError(f"{part}: ONNX Runtime runs {what} on {where}, not on {request.provider}", _ON_THE_CPU)
