"""Watch the GPU while something runs on it: clocks, power, temperature, and what held it back.

A thread asks NVML ten times a second. It is an onlooker: without nvidia-ml-py, a driver or a GPU nothing happens, and
whatever goes wrong in it leaves a record with less in it, or none, and never disturbs what it looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from threading import Event, Thread
from time import perf_counter
from types import TracebackType

from .gpu_record import GpuRecord, Sample, Span, gpu_record
from .nvml import NvmlDevice, gpu_in_use, nvml_session

INTERVAL_S = 0.1
_PATIENCE_S = 2.0  # how long the end of a run waits for a driver that does not answer
_GPU_WORDS = ("cuda", "tensorrt")


def runs_on_gpu(description: Mapping[str, str]) -> bool:
    """Say whether an engine that describes itself so computes on a GPU."""
    where = f"{description.get('device', '')} {description.get('providers', '')}".lower()
    return "gpu" in description or any(word in where for word in _GPU_WORDS)


class Telemetry:
    """Looks at the GPU of an engine. Make it before the warm-up (it reads the idle power), enter it for the run."""

    def __init__(self, description: Mapping[str, str], interval_s: float = INTERVAL_S) -> None:
        self._watch: _Watch | None = None
        if runs_on_gpu(description):
            with suppress(Exception):  # no package, no driver, no GPU: there is nothing to look at
                self._watch = _Watch(description, interval_s)

    def __enter__(self) -> Telemetry:
        if self._watch is not None:
            with suppress(Exception):
                self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            with suppress(Exception):
                self._watch.stop()

    def record(self, videos: int) -> GpuRecord | None:
        """Return what was seen while so many videos ran; None without a GPU."""
        if self._watch is not None:
            with suppress(Exception):
                return self._watch.record(videos)
        return None


class _Watch:
    """The thread and what it has seen. Anything in here may raise."""

    def __init__(self, description: Mapping[str, str], interval_s: float) -> None:
        self._samples: list[Sample] = []
        self._interval_s = interval_s
        self._ended = Event()
        self._span = Span(0.0, 0.0, None, None)
        with ExitStack() as nvml:
            self._gpu = gpu_in_use(nvml.enter_context(nvml_session()), description)
            self._name, self._idle_w = self._gpu.name, self._gpu.power_w()
            self._nvml = nvml.pop_all()  # stays open until the run ends
        self._thread = Thread(target=self._look, name="vbench-telemetry", daemon=True)

    def start(self) -> None:
        self._span = Span(perf_counter(), perf_counter(), self._gpu.energy_j(), None)
        self._thread.start()

    def stop(self) -> None:
        self._span = self._span._replace(stop_s=perf_counter(), stop_j=self._gpu.energy_j())
        self._ended.set()
        self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():  # else it may be inside of NVML, which must not be closed then
            self._nvml.close()

    def record(self, videos: int) -> GpuRecord:
        return gpu_record(self._name, list(self._samples), self._span, self._idle_w, videos)

    def _look(self) -> None:
        with suppress(Exception):  # an onlooker that falls must not be heard
            while not self._ended.is_set():
                self._samples.append(_sample(self._gpu))
                self._ended.wait(self._interval_s)


def _sample(gpu: NvmlDevice) -> Sample:
    nvml, at_s = gpu.nvml, perf_counter()
    utilisation = gpu.ask("nvmlDeviceGetUtilizationRates")
    return Sample(
        at_s,
        gpu.ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        gpu.ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        gpu.power_w(),
        gpu.ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        None if utilisation is None else utilisation.gpu,
        gpu.reasons(),
    )
