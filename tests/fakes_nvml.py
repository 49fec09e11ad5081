"""Fake pynvml module with configurable GPUs; accessing a name that it does not define fails the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

CONSTANTS = {
    "NVML_CLOCK_SM": 1,
    "NVML_CLOCK_MEM": 2,
    "NVML_TEMPERATURE_GPU": 0,
    "NVML_FEATURE_DISABLED": 0,
    "NVML_FEATURE_ENABLED": 1,
    "NVML_COMPUTEMODE_DEFAULT": 0,
    "NVML_COMPUTEMODE_PROHIBITED": 2,
    "NVML_COMPUTEMODE_EXCLUSIVE_PROCESS": 3,
}
ERRORS = {
    "NVMLError_NotSupported": 3,
    "NVMLError_NoPermission": 4,
    "NVMLError_DriverNotLoaded": 9,
    "NVMLError_LibraryNotFound": 12,
    "NVMLError_FunctionNotFound": 13,
    "NVMLError_GpuIsLost": 15,
    "NVMLError_LibRmVersionMismatch": 18,
}
QUIET_PROCESS = SimpleNamespace(pid=4242, usedGpuMemory=None)
BIG_PROCESS = SimpleNamespace(pid=77, usedGpuMemory=2_100_000_000)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return f"error {self.value}"


def error_classes() -> dict[str, type[NVMLError]]:
    return {name: type(name, (NVMLError,), {}) for name in ERRORS}


@dataclass
class FakeGpu:
    """A healthy, idle GPU; ``answers`` overrides the result of an NVML function, by a value or the name of an error."""

    answers: dict[str, Any] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)

    def answer(self, function: str, *arguments: object) -> Any:
        self.queries.append(function)
        defaults = {
            "nvmlDeviceGetName": "NVIDIA Fake",
            "nvmlDeviceGetIndex": 1,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80_000_000_000, used=500_000_000, free=79_500_000_000),
            "nvmlDeviceGetClockInfo": {1: 345, 2: 1593}.get(arguments[0] if arguments else None),
            "nvmlDeviceGetMaxClockInfo": {1: 1980, 2: 1593}.get(arguments[0] if arguments else None),
            "nvmlDeviceGetCurrentClocksEventReasons": 0x1,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1,
            "nvmlDeviceGetPersistenceMode": 1,
            "nvmlDeviceGetMigMode": [0, 0],
            "nvmlDeviceGetEccMode": [1, 1],
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
            "nvmlDeviceGetPowerUsage": 70_000,
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetComputeMode": 0,
            "nvmlDeviceGetTotalEnergyConsumption": 1_000_000,
            "nvmlDeviceGetTemperature": 30,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=0, memory=0),
        }
        assert function in defaults, f"the fake has no {function}"
        found = self.answers.get(function, defaults[function])
        return found() if callable(found) else found


class FakeNvml(ModuleType):
    """Fake pynvml with these GPUs; ``opens`` is the name of the error that nvmlInit raises."""

    def __init__(self, gpus: Sequence[FakeGpu] = (), opens: str | None = None, lacks: Sequence[str] = ()) -> None:
        super().__init__("pynvml")
        self.gpus, self.open = list(gpus), 0
        vars(self).update(CONSTANTS)
        vars(self).update(error_classes(), NVMLError=NVMLError)
        for function in QUERIES:
            if function not in lacks:
                setattr(self, function, self._query(function))

        def init() -> None:
            if opens is not None:
                raise self.error(opens)
            self.open += 1

        def shutdown() -> None:
            assert self.open > 0
            self.open -= 1

        def by_index(index: int) -> FakeGpu:
            assert self.open > 0
            return self.gpus[index]

        self.nvmlInit, self.nvmlShutdown, self.nvmlDeviceGetHandleByIndex = init, shutdown, by_index
        self.nvmlDeviceGetHandleByUUID = lambda uuid: self.gpus[int(uuid.removeprefix("GPU-"))]
        self.nvmlDeviceGetCount = lambda: len(self.gpus)
        self.nvmlSystemGetDriverVersion = lambda: "580.65.06"
        self.nvmlSystemGetCudaDriverVersion = lambda: 13000
        self.lacks = set(lacks)

    def error(self, name: str) -> NVMLError:
        error: NVMLError = vars(self)[name](ERRORS[name])
        return error

    def _query(self, function: str) -> Callable[..., Any]:
        def query(handle: FakeGpu, *arguments: object) -> Any:
            assert self.open > 0, "called after nvmlShutdown"
            found = handle.answer(function, *arguments)
            if isinstance(found, str) and found in ERRORS:
                raise self.error(found)
            return found

        return query

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in vars(self).get("lacks", ()):
            raise AttributeError(name)
        raise AssertionError(f"the fake pynvml has no {name}")


QUERIES = (
    "nvmlDeviceGetName",
    "nvmlDeviceGetIndex",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
    "nvmlDeviceGetPersistenceMode",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetEccMode",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetUtilizationRates",
)
FUNCTIONS = (
    *QUERIES,
    "nvmlInit",
    "nvmlShutdown",
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetHandleByUUID",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion",
)
