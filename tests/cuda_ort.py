"""Fake GPU for ONNX Runtime: separate memory with strict address checks, computing on the CPU.

It implements the part of ``onnxruntime`` that the engine uses on CUDA, under the same names. Device memory cannot be
read as a NumPy array: an address must be bound, and every binding is checked against the current allocations. Freed
memory is overwritten and its address reused.
"""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
ALIGNMENT = {CUDA: 16, TENSORRT: 256}
OPTIONS = {
    CUDA: {"device_id", "use_tf32", "enable_cuda_graph"},
    TENSORRT: {
        *("device_id", "trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable"),
        *("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes"),
        *("trt_engine_cache_enable", "trt_engine_cache_path"),
    },
}
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
FELL_BACK = (
    "This session contains graph nodes that are assigned to the default CPU EP, but fallback was disabled.\nmore"
)
_FIRST = 0x7F00_0000_0000
_Session = onnxruntime.InferenceSession


class WrongUseError(AssertionError):
    """A misuse that would yield garbage or crash on a GPU."""


class KilledError(BaseException):
    """Termination of the process during a build."""


@dataclass
class FakeOrtGpu:
    """Configuration, memory, and recorded calls of the fake GPU."""

    built: tuple[str, ...] = (TENSORRT, CUDA, CPU)  # providers compiled into ONNX Runtime
    works: frozenset[str] = frozenset({TENSORRT, CUDA})  # providers that load on this machine
    honors_no_fallback: bool = True  # whether disable_cpu_ep_fallback is respected
    reports_nodes: bool = True  # whether node assignments are reported
    elsewhere: dict[str, str] = field(default_factory=dict)  # graphs with one node on another provider
    number: int = 0
    live: dict[int, bytearray] = field(default_factory=dict)
    sessions: list[FakeSession] = field(default_factory=list)
    uploads: list[tuple[int, ...]] = field(default_factory=list)
    downloads: int = 0
    built_engines: list[str] = field(default_factory=list)  # engines of TensorRT's provider, by graph name
    loaded_engines: list[str] = field(default_factory=list)
    dies_building: str | None = None  # the graph whose build is killed after half of its engine is written
    capturing: int | None = None  # the thread that captures a graph
    _free: dict[int, list[int]] = field(default_factory=dict)
    _next: int = _FIRST

    def allocate(self, size: int) -> int:
        if self.capturing not in (None, threading.get_ident()):
            raise WrongUseError("allocation during a capture")
        free = self._free.setdefault(size, [])
        if free:
            address = free.pop()
        else:
            address, self._next = self._next, self._next + -(-max(size, 1) // 256) * 256 + 256  # a gap after each
        self.live[address] = bytearray(b"\xff" * size)  # NaN
        return address

    def free(self, address: int) -> None:
        memory = self.live.pop(address)
        memory[:] = b"\xff" * len(memory)
        self._free[len(memory)].append(address)

    def memory(self, address: int, size: int) -> memoryview:
        for start, content in list(self.live.items()):
            if start <= address and address + size <= start + len(content):
                return memoryview(content)[address - start : address - start + size]
        raise WrongUseError(f"{size} bytes at {address:#x} are not GPU memory")


class FakeOrtValue:
    """Fake OrtValue with two allocators; it has no ``numpy()``, which row views would not have either."""

    gpu: FakeOrtGpu

    def __init__(self, size: int, device: str, number: int) -> None:
        if (device, number) != ("cuda", self.gpu.number):
            raise WrongUseError(f"memory on {device}:{number}")
        self._address = self.gpu.allocate(size)
        weakref.finalize(self, self.gpu.free, self._address)

    @classmethod
    def ortvalue_from_numpy(cls, array: np.ndarray, device_type: str = "cpu", device_id: int = 0) -> FakeOrtValue:
        if not array.flags.c_contiguous or array.dtype != np.float32:
            raise WrongUseError("upload of frames or of a non-contiguous array")
        value = cls(array.nbytes, device_type, device_id)
        cls.gpu.memory(value.data_ptr(), array.nbytes)[:] = array.tobytes()
        cls.gpu.uploads.append(array.shape)
        return value

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape: list[int], element_type: Any, device_type: str = "cpu", device_id: int = 0
    ) -> FakeOrtValue:
        if element_type is not np.float32 or not all(type(axis) is int for axis in shape):
            raise WrongUseError(f"{element_type} {shape}")
        return cls(4 * prod(shape), device_type, device_id)

    def data_ptr(self) -> int:
        return self._address


@dataclass(frozen=True)
class Bound:
    device: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    address: int
    value: np.ndarray | None  # value of a host input, read when it was bound

    def memory(self, gpu: FakeOrtGpu) -> memoryview:
        size = prod(self.shape) * self.dtype.itemsize
        if self.device == "cuda":
            return gpu.memory(self.address, size)
        return memoryview((ctypes.c_char * size).from_address(self.address)).cast("B")

    def read(self, gpu: FakeOrtGpu) -> np.ndarray:
        if self.value is not None:
            return self.value
        return np.frombuffer(bytes(self.memory(gpu)), self.dtype).reshape(self.shape)


class FakeBinding:
    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.inputs: dict[str, Bound] = {}
        self.outputs: dict[str, Bound] = {}

    def bind_input(self, name: str, device: str, number: int, dtype: Any, shape: tuple[int, ...], address: int) -> None:
        bound = self._bound(self.session.get_inputs(), name, device, number, dtype, shape, address)
        if device == "cpu":
            bound = Bound(device, bound.dtype, bound.shape, address, bound.read(self.session.gpu).copy())
        self.inputs[name] = bound

    def bind_output(
        self, name: str, device: str, number: int, dtype: Any, shape: tuple[int, ...], address: int
    ) -> None:
        self.outputs[name] = self._bound(self.session.get_outputs(), name, device, number, dtype, shape, address)

    def _bound(
        self, tensors: Sequence[Any], name: str, device: str, number: int, dtype: Any, shape: tuple[int, ...], at: int
    ) -> Bound:
        (tensor,) = (each for each in tensors if each.name == name)
        bound = Bound(device, np.dtype(dtype), tuple(shape), at, None)
        axes = [(have, want) for have, want in zip(shape, tensor.shape) if not isinstance(want, str)]
        if len(shape) != len(tensor.shape) or any(have != want for have, want in axes):
            raise WrongUseError(f"{name}: {shape} for {tensor.shape}")
        if bound.dtype != DTYPES[tensor.type]:
            raise WrongUseError(f"{name}: {dtype} for {tensor.type}")
        if (device, number) not in (("cuda", self.session.gpu.number), ("cpu", 0)):
            raise WrongUseError(f"{name}: on {device}:{number}")
        if device == "cpu" and _FIRST <= at < self.session.gpu._next:
            raise WrongUseError(f"{name}: GPU memory bound as host memory")
        if device == "cuda":
            bound.memory(self.session.gpu)
            if at % self.session.alignment:
                raise WrongUseError(f"{name}: {at:#x} is not aligned")
        return bound


class FakeSession:
    """Fake session that computes on the CPU and reports configurable providers."""

    gpu: FakeOrtGpu

    def __init__(
        self,
        model: str | bytes,
        settings: Any,
        providers: Sequence[tuple[str, dict[str, str]]],
        enable_fallback: int = 1,
    ) -> None:
        self.path = Path(model) if isinstance(model, str) else None
        self.options = {name: dict(options) for name, options in providers}
        self._check_options()
        alone = onnxruntime.SessionOptions()
        alone.intra_op_num_threads, alone.log_severity_level = 1, 4
        self._real = _Session(model, alone, providers=[CPU])  # rejects files that are not graphs
        working = [name for name in self.options if name in self.gpu.works]
        if (
            not working
            and self.gpu.honors_no_fallback
            and settings.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
        ):
            raise Fail(FELL_BACK)
        if enable_fallback:
            raise WrongUseError("Python would retry on the CPU")
        self._providers = [*working, CPU]
        self.alignment = 1 if self.path is None else ALIGNMENT.get(self._providers[0], 1)
        self._graphs: dict[str, tuple[dict[str, Bound], Bound]] = {}
        self.captured = self.replayed = self.plain = 0
        if self._providers[0] == TENSORRT and self.path is not None:
            self._use_engine_cache(self.path.stem, Path(self.options[TENSORRT]["trt_engine_cache_path"]))
        if self.gpu.reports_nodes:
            self.get_provider_graph_assignment_info = self._assignment
        self.gpu.sessions.append(self)

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def get_providers(self) -> list[str]:
        return self._providers

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self)

    def run_with_iobinding(self, binding: FakeBinding, options: Any = None) -> None:
        if binding.session is not self:
            raise WrongUseError("binding of another session")
        inputs, (output,) = dict(binding.inputs), binding.outputs.values()
        number = self._graph_number(options)
        if number in self._graphs:  # the current bindings are ignored
            inputs, output = self._graphs[number]
            self.replayed += 1
        elif number is not None:
            self._capture(number, inputs, output)
        else:
            self.plain += 1
        (result,) = self._real.run(None, {name: bound.read(self.gpu) for name, bound in inputs.items()})
        if result.shape != output.shape or len(inputs) != len(self.get_inputs()):
            raise WrongUseError(f"{result.shape} for {output.shape}")
        self._check_profile(next(iter(inputs.items())))
        output.memory(self.gpu)[:] = result.tobytes()
        self.gpu.downloads += output.device == "cpu"

    def _graph_number(self, options: Any) -> str | None:
        if self.options.get(CUDA, {}).get("enable_cuda_graph") != "1":
            if options is not None:
                raise WrongUseError("graph id for a session without graphs")
            return None
        number = options.get_run_config_entry("gpu_graph_id")
        return None if number == "-1" else str(int(number))

    def _capture(self, number: str, inputs: dict[str, Bound], output: Bound) -> None:
        if {bound.device for bound in (*inputs.values(), output)} != {"cuda"}:
            raise WrongUseError("capture with host memory")
        self._graphs[number] = inputs, output
        self.captured += 1
        self.gpu.capturing = threading.get_ident()
        time.sleep(0.002)  # lets other threads interfere, if they can
        self.gpu.capturing = None

    def _use_engine_cache(self, graph: str, folder: Path) -> None:
        """Mimic the provider: load any file with the engine's name, else build one with default permissions."""
        engine = folder / f"TensorrtExecutionProvider_TRTKernel_graph_{graph}_0_0_sm90.engine"
        content = engine_content(graph)
        if engine.exists():
            if engine.read_bytes() != content:
                raise WrongUseError(f"{engine} runs another user's code")
            self.gpu.loaded_engines.append(graph)
            return
        if graph == self.gpu.dies_building:
            engine.write_bytes(content[: len(content) // 2])
            raise KilledError
        engine.write_bytes(content)
        engine.with_suffix(".profile").write_text("shapes")
        self.gpu.built_engines.append(graph)

    def _check_options(self) -> None:
        for name, options in self.options.items():
            if not all(isinstance(item, str) for pair in options.items() for item in pair):
                raise WrongUseError("options must be strings")
            if not set(options) <= OPTIONS[name] or options["device_id"] != str(self.gpu.number):
                raise WrongUseError(f"{name}: {options}")

    def _check_profile(self, first: tuple[str, Bound]) -> None:
        if TENSORRT in self.options:
            name, bound = first
            for end, fits in (("min", int.__le__), ("max", int.__ge__)):
                profiles = dict(
                    each.split(":") for each in self.options[TENSORRT][f"trt_profile_{end}_shapes"].split(",")
                )
                rows, *rest = map(int, profiles[name].split("x"))
                if not fits(rows, bound.shape[0]) or tuple(rest) != bound.shape[1:]:
                    raise WrongUseError(f"{name}: {bound.shape} for the profile {profiles[name]}")

    def _assignment(self) -> list[Any]:
        part = "" if self.path is None else self.path.stem
        found = [(self._providers[0], 3), *((name, 1) for graph, name in self.gpu.elsewhere.items() if graph == part)]
        return [SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count) for name, count in found]


def engine_content(graph: str) -> bytes:
    """Return the engine that the provider builds for a graph."""
    return f"code of {graph}".encode()


def install(monkeypatch: pytest.MonkeyPatch, **knobs: Any) -> FakeOrtGpu:
    """Install a fake GPU in ``onnxruntime`` for the duration of a test."""
    gpu = FakeOrtGpu(**knobs)
    session = type("InferenceSession", (FakeSession,), {"gpu": gpu})

    def open_session(model: Any, settings: Any = None, providers: Any = None, **others: Any) -> Any:
        if providers == [CPU]:
            return _Session(model, settings, providers=providers, **others)
        return session(model, settings, providers, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    monkeypatch.setattr(onnxruntime, "OrtValue", type("OrtValue", (FakeOrtValue,), {"gpu": gpu}))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(gpu.built))
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("cannot load libsomething.so"), raising=False)
    return gpu
