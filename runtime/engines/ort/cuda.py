"""ONNX Runtime on an NVIDIA GPU: only pixels are uploaded, and only gate values and logits are downloaded.

Preprocessing runs on the CPU. Its graphs compute sizes from the shape of the frame, and ONNX Runtime assigns those
nodes to the CPU, so the graphs could not run entirely on the GPU. Moreover, the pixels are then bit-identical to those
of the CPU engine.

Every session synchronizes at the end of a run, which is ONNX Runtime's default. Parts therefore run in order regardless
of their streams, and timings are valid. A run option disables the synchronization, but the order of sessions is then
undocumented.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....errors import UsageError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Array, EngineOptions, Handle, max_batch_rows
from ..device import GpuId, file_precision, gpu_name, gpu_names, select_gpu, uses_tf32
from ..graph_check import graph_files, is_large_part
from .copy_model import identity_graph
from .cpu import OrtEngine
from .cuda_graphs import CudaGraphIds
from .gpu_memory import GpuMemory, OrtTensor
from .providers import Request, check_build, nodes_by_provider, open_probe, open_session, tf32
from .session import Sessions, check_session, host_session
from .tensorrt_cache import EngineKey, engine_cache

if TYPE_CHECKING:
    import onnxruntime

_PREPROCESS, _TENSORRT = "preprocess", "tensorrt"
_MORE_ROWS = "load the bundle with a larger slots=, or reduce --slots"
_ALIGNMENT = {"cuda": 16, "tensorrt": 256}  # bytes: the widest load in a kernel, and TensorRT's requirement


class OrtCudaEngine:
    """CUDA engine, whose handles are `OrtTensor` objects, or host arrays for frames, which only preprocessing reads."""

    name = "ort"

    def __init__(
        self,
        sessions: Mapping[str, onnxruntime.InferenceSession],
        host: OrtEngine,
        memory: GpuMemory,
        manifest: Manifest,
        description: dict[str, str],
        graph_ids: CudaGraphIds,
        max_rows: int = sys.maxsize,
    ) -> None:
        self._sessions, self._host, self._memory = Sessions(sessions), host, memory
        self._manifest, self._description = manifest, description
        self._graph_ids, self._max_rows = graph_ids, max_rows

    def describe(self) -> dict[str, str]:
        """Return the version, provider, GPU, and number of nodes per provider."""
        return self._description

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        return self._memory.upload(np.zeros(shape, np.float32))

    def put(self, array: Array) -> Handle:
        """Upload a float32 array to the GPU; leave frames on the host, where they are preprocessed."""
        return self._memory.upload(array) if array.dtype == np.float32 else array

    def get(self, handle: Handle) -> Array:
        return self._memory.download(handle) if isinstance(handle, OrtTensor) else handle

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Return a function that downloads the tensor, which is already computed because sessions synchronize."""
        return lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        return handle.rows(start, stop) if isinstance(handle, OrtTensor) else handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        return handle.view(shape) if isinstance(handle, OrtTensor) else handle.reshape(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        self._memory.copy(source, target)

    def write(self, array: Array, target: Handle) -> None:
        self._memory.write(array, target)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Run a session on the GPU, or preprocess on the CPU and upload the pixels."""
        if part == _PREPROCESS:
            return self._store(self._memory.upload(self._host.run(part, *inputs)), out)
        rows = inputs[0].shape[0]
        if rows > self._max_rows:
            raise UsageError(
                f"{part}: a batch of {rows} rows exceeds the TensorRT engine's limit of {self._max_rows}", _MORE_ROWS
            )
        if out is None or not self._memory.is_aligned(out):
            result = self._memory.empty((rows, *(int(axis) for axis in self._manifest.parts[part].output.shape[1:])))
            return self._store(self.run(part, *inputs, out=result), out)
        aligned = [self._memory.aligned(each) for each in inputs]
        locations = [each.location(self._memory.index) for each in (*aligned, out)]
        with self._graph_ids.lock:
            self._sessions.run(part, locations[:-1], locations[-1], self._graph_ids.options(part, locations))
        return out

    def _store(self, result: OrtTensor, out: OrtTensor | None) -> OrtTensor:
        if out is None:
            return result
        self._memory.copy(result, out)
        return out


def load_cuda(bundle: Bundle[Manifest], options: EngineOptions) -> OrtCudaEngine:
    """Create a session for every part; see ``load_engine``.

    Raises:
        MissingError: also raised if the GPU cannot run every node.
        UsageError: also raised if the folder of the TensorRT engines belongs to another user.
    """
    gpu = select_gpu(options)
    assert gpu is not None
    check_build(_request_of_kind(gpu, options))
    paths = graph_files(bundle, file_precision(options), options, "gpu")
    copier = open_probe(identity_graph(), Request(gpu))
    threads = options.thread_count()
    host = {part: host_session(bundle, part, path, threads) for part, path in paths.items() if part == _PREPROCESS}
    loader = _Loader(bundle, options, gpu, gpu_names())
    sessions = {part: loader.session(part, path) for part, path in paths.items() if part not in host}
    graph_ids = CudaGraphIds(frozenset(part for part in sessions if loader.captured(part)))
    memory = GpuMemory(copier, gpu.number, _ALIGNMENT[options.provider], graph_ids.lock)
    max_rows = max_batch_rows(bundle.manifest, options) if options.provider == _TENSORRT else sys.maxsize
    description = loader.description(sessions)
    host_engine = OrtEngine(host, bundle.manifest, {"onnxruntime": description["onnxruntime"]})
    if host:
        description["preprocessing"] = f"{host_engine.describe()['preprocessing']} on the CPU"
    return OrtCudaEngine(sessions, host_engine, memory, bundle.manifest, description, graph_ids, max_rows)


def _request_of_kind(gpu: GpuId, options: EngineOptions) -> Request:
    """Return the part-independent request for the selected provider."""
    return Request(gpu, tensorrt={} if options.provider == _TENSORRT else None)


@dataclass(frozen=True)
class _Loader:
    """Create the sessions of a bundle on a GPU; ``gpus`` lists the names of all GPUs."""

    bundle: Bundle[Manifest]
    options: EngineOptions
    gpu: GpuId
    gpus: tuple[str, ...]

    def session(self, part: str, path: Path) -> onnxruntime.InferenceSession:
        with self._request(part) as request:
            session = open_session(part, path, request)
            check_session(self.bundle, part, session)
        return session

    def captured(self, part: str) -> bool:
        """Return whether a part runs as a CUDA graph; small parts do not, since they run at too many addresses."""
        return bool(self.options.graphs) and is_large_part(self.bundle.manifest.parts[part])

    def description(self, sessions: Mapping[str, onnxruntime.InferenceSession]) -> dict[str, str]:
        import onnxruntime

        provider = _request_of_kind(self.gpu, self.options).provider
        nodes = sum((nodes_by_provider(session) for session in sessions.values()), Counter[str]())
        captured = sorted(part for part in sessions if self.captured(part))
        return {
            "onnxruntime": onnxruntime.__version__,
            "providers": provider,
            "device": f"{self.gpu} ({gpu_name(self.gpus)})",
            "nodes": ", ".join(f"{name}: {count}" for name, count in sorted(nodes.items())) or "unknown",
            "precision": self.options.precision,
            "tf32": tf32(provider, any(uses_tf32(self.bundle.manifest.parts[part], self.options) for part in sessions)),
            "graphs": ", ".join(captured) or "none",
            "threads": str(self.options.thread_count()),
        }

    @contextmanager
    def _request(self, part: str) -> Iterator[Request]:
        """Yield the session request for a part; the TensorRT provider's cache can be used only within the context."""
        if self.options.provider != _TENSORRT:
            tf32 = uses_tf32(self.bundle.manifest.parts[part], self.options)
            yield Request(self.gpu, self.captured(part), tf32)
            return
        import onnxruntime

        key = EngineKey(
            self.options.precision, max_batch_rows(self.bundle.manifest, self.options), onnxruntime.__version__
        )
        with engine_cache(self.bundle, part, key, self.gpu, self.gpus, self.options.say) as settings:
            yield Request(self.gpu, tensorrt=settings)
