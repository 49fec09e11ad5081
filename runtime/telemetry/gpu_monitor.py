"""Monitor the GPU during a run: clocks, power, temperature, and throttling reasons.

A thread samples NVML ten times per second. Monitoring never affects the run: if nvidia-ml-py, the driver or the GPU is
missing, it does nothing, and if the monitor fails, only its record is incomplete or missing.
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
_STOP_TIMEOUT_S = 2.0  # how long a run waits at its end for an unresponsive driver
_GPU_WORDS = ("cuda", "tensorrt")


def runs_on_gpu(description: Mapping[str, str]) -> bool:
    """Return whether an engine with this description runs on a GPU."""
    where = f"{description.get('device', '')} {description.get('providers', '')}".lower()
    return "gpu" in description or any(word in where for word in _GPU_WORDS)


class Telemetry:
    """Monitors an engine's GPU. Create it before the warm-up, since it reads the idle power; enter it for the run."""

    def __init__(self, description: Mapping[str, str], interval_s: float = INTERVAL_S) -> None:
        self._sampler: _Sampler | None = None
        if runs_on_gpu(description):
            with suppress(Exception):  # no package, no driver or no GPU: nothing to monitor
                self._sampler = _Sampler(description, interval_s)

    def __enter__(self) -> Telemetry:
        if self._sampler is not None:
            with suppress(Exception):
                self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler is not None:
            with suppress(Exception):
                self._sampler.stop()

    def record(self, videos: int) -> GpuRecord | None:
        """Return the GPU record for a run of ``videos`` videos, or None if there is no GPU."""
        if self._sampler is not None:
            with suppress(Exception):
                return self._sampler.record(videos)
        return None


class _Sampler:
    """The sampling thread and its samples. Every method may raise an exception."""

    def __init__(self, description: Mapping[str, str], interval_s: float) -> None:
        self._samples: list[Sample] = []
        self._interval_s = interval_s
        self._ended = Event()
        self._span = Span(0.0, 0.0, None, None)
        with ExitStack() as nvml:
            self._gpu = gpu_in_use(nvml.enter_context(nvml_session()), description)
            self._name, self._idle_w = self._gpu.name, self._gpu.power_w()
            self._nvml = nvml.pop_all()  # stays open until the run ends
        self._thread = Thread(target=self._sample_until_stopped, name="vbench-telemetry", daemon=True)

    def start(self) -> None:
        self._span = Span(perf_counter(), perf_counter(), self._gpu.energy_j(), None)
        self._thread.start()

    def stop(self) -> None:
        self._span = self._span._replace(stop_s=perf_counter(), stop_j=self._gpu.energy_j())
        self._ended.set()
        self._thread.join(_STOP_TIMEOUT_S)
        if not self._thread.is_alive():  # otherwise it may be inside NVML, which must then stay open
            self._nvml.close()

    def record(self, videos: int) -> GpuRecord:
        return gpu_record(self._name, list(self._samples), self._span, self._idle_w, videos)

    def _sample_until_stopped(self) -> None:
        with suppress(Exception):  # an error in the monitor must not reach the run
            while not self._ended.is_set():
                self._samples.append(_sample(self._gpu))
                self._ended.wait(self._interval_s)


def _sample(gpu: NvmlDevice) -> Sample:
    nvml, at_s = gpu.nvml, perf_counter()
    utilization = gpu.query("nvmlDeviceGetUtilizationRates")
    return Sample(
        at_s,
        gpu.query("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        gpu.query("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        gpu.power_w(),
        gpu.query("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        None if utilization is None else utilization.gpu,
        gpu.reasons(),
    )
