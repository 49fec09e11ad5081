"""GPU queries through NVML, the driver's management library. Requires the optional package nvidia-ml-py.

Since support varies between GPUs, a query that the GPU or the driver does not support returns None instead of raising
an exception. All queries are read-only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# The bits of nvmlClocksEventReasons; the last two exist only under the older name nvmlClocksThrottleReasons.
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
_REASON_FUNCTIONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


class NvmlDevice:
    """One GPU and its NVML queries."""

    def __init__(self, nvml: ModuleType, handle: object) -> None:
        self.nvml, self._handle = nvml, handle

    @property
    def index(self) -> str:
        """Index in the driver's order, as used by nvidia-smi; ``N`` if unknown."""
        index = self.query("nvmlDeviceGetIndex")
        return "N" if index is None else str(index)

    def query(self, name: str, *arguments: object) -> Any:
        """Return the result of an NVML function for this GPU; None if it is not supported."""
        function = getattr(self.nvml, name, None)  # older versions of the package have fewer functions
        if function is None:
            return None
        try:
            return function(self._handle, *arguments)
        except self.nvml.NVMLError:
            return None

    @property
    def name(self) -> str:
        """Model name."""
        name = self.query("nvmlDeviceGetName")
        return name.decode() if isinstance(name, bytes) else str(name or "unknown")  # bytes in versions before 11.5

    def power_w(self) -> float | None:
        """Return the current power draw."""
        return scaled(self.query("nvmlDeviceGetPowerUsage"), 1e-3)

    def energy_j(self) -> float | None:
        """Return the energy consumed since the driver was loaded."""
        return scaled(self.query("nvmlDeviceGetTotalEnergyConsumption"), 1e-3)

    def reasons(self) -> tuple[str, ...] | None:
        """Return the active throttling reasons."""
        for name in _REASON_FUNCTIONS:
            bits = self.query(name)
            if bits is not None:
                return tuple(name for bit, name in REASONS.items() if bits & bit)
        return None


def scaled(value: int | None, factor: float) -> float | None:
    """Return a query result converted to another unit."""
    return None if value is None else value * factor


@contextmanager
def nvml_session() -> Iterator[ModuleType]:
    """Initialize NVML for the duration of the context.

    Raises:
        ImportError: nvidia-ml-py is not installed.
        pynvml.NVMLError: there is no driver, or it does not respond.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def nvml_devices(nvml: ModuleType) -> list[NvmlDevice]:
    """Return all GPUs in PCI bus order."""
    return [NvmlDevice(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(nvml.nvmlDeviceGetCount())]


def gpu_in_use(
    nvml: ModuleType, description: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> NvmlDevice:
    """Return the GPU named in an engine's description: ``cuda:1`` is the second one in CUDA's order.

    NVML ignores CUDA_VISIBLE_DEVICES, and by default CUDA lists the fastest GPU first, so if the description contains
    a model name, a GPU of that model is returned.

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
    devices = nvml_devices(nvml)
    if not devices:
        raise LookupError("the driver reports no GPU")
    device = devices[int(place)] if place.isdigit() and int(place) < len(devices) else devices[0]
    matching = [gpu for gpu in devices if gpu.name in described]
    return device if not matching or device.name in described else matching[0]
