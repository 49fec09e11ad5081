"""What NVML, the driver's own library, says about the GPUs. It needs the package nvidia-ml-py, which is optional.

A question that this GPU or driver cannot answer is None and never an error, as which ones can be answered differs from
GPU to GPU. Nothing is set or reset; everything here only reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# The bits of nvmlClocksEventReasons; the last two stand under the older name nvmlClocksThrottleReasons alone.
REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
IDLE = "gpu_idle"
_REASON_QUESTIONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


class NvmlDevice:
    """One GPU, and the questions that it may be asked."""

    def __init__(self, nvml: ModuleType, handle: object) -> None:
        self.nvml, self._handle = nvml, handle

    @property
    def index(self) -> str:
        """Its number in the driver's order, as nvidia-smi takes it; ``N`` if it does not say."""
        index = self.ask("nvmlDeviceGetIndex")
        return "N" if index is None else str(index)

    def ask(self, question: str, *arguments: object) -> Any:
        """Return the answer of an NVML function on this GPU; None where there is none."""
        function = getattr(self.nvml, question, None)  # older packages have fewer
        if function is None:
            return None
        try:
            return function(self._handle, *arguments)
        except self.nvml.NVMLError:
            return None

    @property
    def name(self) -> str:
        """The name of its model."""
        name = self.ask("nvmlDeviceGetName")
        return name.decode() if isinstance(name, bytes) else str(name or "unknown")  # bytes: packages before 11.5

    def power_w(self) -> float | None:
        """Return what it draws now."""
        return scaled(self.ask("nvmlDeviceGetPowerUsage"), 1e-3)

    def energy_j(self) -> float | None:
        """Return what it has drawn since the driver was loaded."""
        return scaled(self.ask("nvmlDeviceGetTotalEnergyConsumption"), 1e-3)

    def reasons(self) -> tuple[str, ...] | None:
        """Return why its clocks are not higher."""
        for question in _REASON_QUESTIONS:
            bits = self.ask(question)
            if bits is not None:
                return tuple(name for bit, name in REASONS.items() if bits & bit)
        return None


def scaled(value: int | None, factor: float) -> float | None:
    """Return an answer in another unit."""
    return None if value is None else value * factor


@contextmanager
def nvml_session() -> Iterator[ModuleType]:
    """Give NVML, ready for questions.

    Raises:
        ImportError: nvidia-ml-py is not installed.
        pynvml.NVMLError: there is no driver, or it does not answer.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def nvml_devices(nvml: ModuleType) -> list[NvmlDevice]:
    """Return all GPUs in the order of their places on the bus."""
    return [NvmlDevice(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(nvml.nvmlDeviceGetCount())]


def gpu_in_use(
    nvml: ModuleType, description: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> NvmlDevice:
    """Return the GPU that an engine describes: ``cuda:1`` is CUDA's second.

    NVML knows nothing of CUDA_VISIBLE_DEVICES, and CUDA counts the fastest first unless it is told otherwise; so where
    the description names a model, a GPU of that model is taken.

    Raises:
        LookupError: there is no GPU.
    """
    described = f"{description.get('device', '')} {description.get('gpu', '')}"
    numbered = re.search(r"cuda:(\d+)", described)
    number = int(numbered[1]) if numbered else 0
    visible = [place.strip() for place in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    place = visible[number] if visible[0] and number < len(visible) else str(number)
    if place.startswith(("GPU-", "MIG-")):
        return NvmlDevice(nvml, nvml.nvmlDeviceGetHandleByUUID(place))
    found = nvml_devices(nvml)
    if not found:
        raise LookupError("the driver knows no GPU")
    chosen = found[int(place)] if place.isdigit() and int(place) < len(found) else found[0]
    alike = [gpu for gpu in found if gpu.name in described]
    return chosen if not alike or chosen.name in described else alike[0]
