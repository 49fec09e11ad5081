"""GPU checks through NVML: model and driver, and conditions that would distort measurements."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from ..telemetry.nvml import NvmlDevice, nvml_devices, nvml_session, scaled
from .finding import CheckResult, Finding, absent, findings, ok, problem
from .probe_client import ProbeResults

TOPIC = "gpu"
_UNKNOWN = "not reported by this GPU"
_REMEDIES = {  # most severe first
    "hw_slowdown": "see nvidia-smi -q -d PERFORMANCE: check cooling and power supply",
    "hw_thermal_slowdown": "improve the cooling: fans, dust, room temperature",
    "sw_thermal_slowdown": "improve the cooling: fans, dust, room temperature",
    "hw_power_brake_slowdown": "check the machine's power supply",
    "board_limit": "see nvidia-smi -q -d POWER",
    "reliability": "see nvidia-smi -q -d VOLTAGE",
    "sw_power_cap": "let the GPU idle, or raise its limit: sudo nvidia-smi -i N -pl WATTS (see nvidia-smi -q)",
}


def check(results: ProbeResults) -> list[Finding]:
    """Return findings about the GPUs, or why NVML is unavailable."""
    driver = results["driver"].works
    try:
        with nvml_session() as nvml:
            return _check_devices(nvml, os.getpid())
    except ImportError:
        result = problem if driver else absent  # useless without a driver
        return [_about_nvml(result("nvidia-ml-py is not installed", "pip install nvidia-ml-py"))]
    except Exception as error:
        return [_about_nvml(_explain_error(error))]


def _about_nvml(result: CheckResult) -> Finding:
    return Finding(TOPIC, "NVML", *result)


def _explain_error(error: Exception) -> CheckResult:
    """Return the result for an NVML error, which is identified by name because its class is created on import."""
    kind, said = type(error).__name__, str(error) or type(error).__name__
    if kind == "NVMLError_LibraryNotFound":
        return absent("no NVIDIA driver (libnvidia-ml.so.1) found")
    if kind == "NVMLError_DriverNotLoaded":
        return problem(said, "sudo modprobe nvidia")
    if kind == "NVMLError_LibRmVersionMismatch":
        return problem(f"{said}: the driver was updated while in use", "sudo reboot")
    if kind == "NVMLError_NoPermission":
        return problem(said, "start the container with --gpus all, or check the permissions of /dev/nvidia*")
    return problem(said, "run nvidia-smi; if it does not list the GPU, reinstall NVIDIA's driver")


def _check_devices(nvml: object, own_pid: int) -> list[Finding]:
    devices = nvml_devices(nvml)  # type: ignore[arg-type]
    if not devices:
        return [_about_nvml(absent("the driver reports no GPU"))]
    versions = findings(TOPIC, {"driver": partial(_driver, devices[0])})
    return versions + [one for index, gpu in enumerate(devices) for one in _check_device(f"gpu {index}", gpu, own_pid)]


def _driver(gpu: NvmlDevice) -> CheckResult:
    version, cuda = gpu.nvml.nvmlSystemGetDriverVersion(), gpu.nvml.nvmlSystemGetCudaDriverVersion()
    version = version.decode() if isinstance(version, bytes) else version
    return ok(f"{version}, CUDA up to {cuda // 1000}.{cuda % 1000 // 10}")


def _check_device(name: str, gpu: NvmlDevice, own_pid: int) -> Iterator[Finding]:
    checks: dict[str, Callable[[NvmlDevice], CheckResult]] = {
        "": _model,
        "clocks": _clocks,
        "throttling": _reasons,
        "persistence": _persistence,
        "power limit": _power,
        "ECC": _ecc,
        "MIG": _mig,
        "compute mode": _mode,
        "processes": partial(_processes, own_pid=own_pid),
    }
    yield from findings(TOPIC, {f"{name} {what}".strip(): partial(check, gpu) for what, check in checks.items()})


def _model(gpu: NvmlDevice) -> CheckResult:
    memory = gpu.query("nvmlDeviceGetMemoryInfo")
    return ok(gpu.name + (f", {memory.used / 1e9:.1f} of {memory.total / 1e9:.1f} GB used" if memory else ""))


def _clocks(gpu: NvmlDevice) -> CheckResult:
    said = []
    for what, kind in (("SM", gpu.nvml.NVML_CLOCK_SM), ("memory", gpu.nvml.NVML_CLOCK_MEM)):
        now, most = gpu.query("nvmlDeviceGetClockInfo", kind), gpu.query("nvmlDeviceGetMaxClockInfo", kind)
        if now is not None:
            said.append(f"{what} {now} MHz" + (f" of {most}" if most is not None else ""))
    return ok(", ".join(said)) if said else absent(_UNKNOWN)


def _reasons(gpu: NvmlDevice) -> CheckResult:
    reasons = gpu.reasons()
    if reasons is None:
        return absent(_UNKNOWN)
    said = ", ".join(reasons) or "none"
    remedies = [remedy for reason, remedy in _REMEDIES.items() if reason in reasons]
    return problem(said, remedies[0]) if remedies else ok(said)  # the remaining reasons are idleness and user settings


def _persistence(gpu: NvmlDevice) -> CheckResult:
    mode = gpu.query("nvmlDeviceGetPersistenceMode")
    if mode is None:
        return absent(_UNKNOWN)
    if mode == gpu.nvml.NVML_FEATURE_ENABLED:
        return ok("on")
    return problem(
        "off: the driver is reloaded and clock settings are lost between runs", f"sudo nvidia-smi -i {gpu.index} -pm 1"
    )


def _power(gpu: NvmlDevice) -> CheckResult:
    limit = scaled(gpu.query("nvmlDeviceGetEnforcedPowerLimit"), 1e-3)
    usual = scaled(gpu.query("nvmlDeviceGetPowerManagementDefaultLimit"), 1e-3)
    if limit is None:
        return absent(_UNKNOWN)
    if usual is not None and limit < usual - 0.5:
        return problem(
            f"{limit:.0f} W, below the default of {usual:.0f} W", f"sudo nvidia-smi -i {gpu.index} -pl {usual:.0f}"
        )
    return ok(f"{limit:.0f} W")


def _ecc(gpu: NvmlDevice) -> CheckResult:
    return _switch(gpu, "nvmlDeviceGetEccMode")


def _mig(gpu: NvmlDevice) -> CheckResult:
    result = _switch(gpu, "nvmlDeviceGetMigMode")
    shared = "on: a run uses one slice of the GPU, but clocks and power are those of the whole GPU"
    return ok(shared) if result.detail == "on" else result


def _switch(gpu: NvmlDevice, function: str) -> CheckResult:
    modes = gpu.query(function)
    if modes is None:
        return absent(_UNKNOWN)
    now, pending = ("on" if mode == gpu.nvml.NVML_FEATURE_ENABLED else "off" for mode in modes)
    return ok(now if now == pending else f"{now}, {pending} after a reset")


def _mode(gpu: NvmlDevice) -> CheckResult:
    mode, nvml = gpu.query("nvmlDeviceGetComputeMode"), gpu.nvml
    if mode is None:
        return absent(_UNKNOWN)
    if mode == nvml.NVML_COMPUTEMODE_PROHIBITED:
        return problem("prohibited: the GPU accepts no compute work", f"sudo nvidia-smi -i {gpu.index} -c DEFAULT")
    return ok("default" if mode == nvml.NVML_COMPUTEMODE_DEFAULT else "exclusive: one process at a time")


def _processes(gpu: NvmlDevice, own_pid: int) -> CheckResult:
    processes = gpu.query("nvmlDeviceGetComputeRunningProcesses")
    if processes is None:
        return absent(_UNKNOWN)
    others = [process for process in processes if process.pid != own_pid]
    if not others:
        return ok("no other processes")
    remedy = "wait for them to finish, or select another GPU: export CUDA_VISIBLE_DEVICES=N"
    return problem(f"in use by {', '.join(map(_process, others))}", remedy)


def _process(process: object) -> str:
    used = getattr(process, "usedGpuMemory", None)  # unavailable in some containers
    return f"pid {getattr(process, 'pid', '?')}" + (f" ({used / 1e9:.1f} GB)" if used else "")
