"""The GPUs as NVML shows them: what they are, and what would disturb a measurement on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from ..telemetry.nvml import NvmlDevice, nvml_devices, nvml_session, scaled
from .finding import CheckResult, Finding, absent, findings, ok, problem
from .probe_client import ProbeResults

TOPIC = "gpu"
_UNKNOWN = "this GPU does not say"
_REMEDIES = {  # what is worst comes first
    "hw_slowdown": "see nvidia-smi -q -d PERFORMANCE: heat, or its power supply",
    "hw_thermal_slowdown": "cool it: fans, dust, room",
    "sw_thermal_slowdown": "cool it: fans, dust, room",
    "hw_power_brake_slowdown": "see to the machine's power supply",
    "board_limit": "see nvidia-smi -q -d POWER",
    "reliability": "see nvidia-smi -q -d VOLTAGE",
    "sw_power_cap": "let it become idle, or raise its limit: sudo nvidia-smi -i N -pl WATTS (see nvidia-smi -q)",
}


def check(results: ProbeResults) -> list[Finding]:
    """Return what NVML says, or why it says nothing."""
    driver = results["driver"].works
    try:
        with nvml_session() as nvml:
            return _all(nvml, os.getpid())
    except ImportError:
        fact = problem if driver else absent  # without a driver it would have nothing to say
        return [_about_nvml(fact("nvidia-ml-py is not installed", "pip install nvidia-ml-py"))]
    except Exception as error:
        return [_about_nvml(_unopened(error))]


def _about_nvml(fact: CheckResult) -> Finding:
    return Finding(TOPIC, "NVML", *fact)


def _unopened(error: Exception) -> CheckResult:
    """Return what an error of NVML means; they are told apart by name, as their classes are made on import."""
    kind, said = type(error).__name__, str(error) or type(error).__name__
    if kind == "NVMLError_LibraryNotFound":
        return absent("no NVIDIA driver (libnvidia-ml.so.1) here")
    if kind == "NVMLError_DriverNotLoaded":
        return problem(said, "sudo modprobe nvidia")
    if kind == "NVMLError_LibRmVersionMismatch":
        return problem(f"{said}: the driver was updated while it was running", "sudo reboot")
    if kind == "NVMLError_NoPermission":
        return problem(said, "start the container with --gpus all, or see to the rights of /dev/nvidia*")
    return problem(said, "nvidia-smi should list the GPU; if it does not, install NVIDIA's driver again")


def _all(nvml: object, own_pid: int) -> list[Finding]:
    found = nvml_devices(nvml)  # type: ignore[arg-type]
    if not found:
        return [_about_nvml(absent("the driver knows no GPU"))]
    versions = findings(TOPIC, {"driver": partial(_driver, found[0])})
    return versions + [one for index, gpu in enumerate(found) for one in _one(f"gpu {index}", gpu, own_pid)]


def _driver(gpu: NvmlDevice) -> CheckResult:
    version, cuda = gpu.nvml.nvmlSystemGetDriverVersion(), gpu.nvml.nvmlSystemGetCudaDriverVersion()
    version = version.decode() if isinstance(version, bytes) else version
    return ok(f"{version}, CUDA up to {cuda // 1000}.{cuda % 1000 // 10}")


def _one(name: str, gpu: NvmlDevice, own_pid: int) -> Iterator[Finding]:
    checks: dict[str, Callable[[NvmlDevice], CheckResult]] = {
        "": _model,
        "clocks": _clocks,
        "held back": _reasons,
        "persistence": _persistence,
        "power limit": _power,
        "ECC": _ecc,
        "MIG": _mig,
        "compute mode": _mode,
        "processes": partial(_processes, own_pid=own_pid),
    }
    yield from findings(TOPIC, {f"{name} {what}".strip(): partial(check, gpu) for what, check in checks.items()})


def _model(gpu: NvmlDevice) -> CheckResult:
    memory = gpu.ask("nvmlDeviceGetMemoryInfo")
    return ok(gpu.name + (f", {memory.used / 1e9:.1f} of {memory.total / 1e9:.1f} GB used" if memory else ""))


def _clocks(gpu: NvmlDevice) -> CheckResult:
    said = []
    for what, kind in (("SM", gpu.nvml.NVML_CLOCK_SM), ("memory", gpu.nvml.NVML_CLOCK_MEM)):
        now, most = gpu.ask("nvmlDeviceGetClockInfo", kind), gpu.ask("nvmlDeviceGetMaxClockInfo", kind)
        if now is not None:
            said.append(f"{what} {now} MHz" + (f" of {most}" if most is not None else ""))
    return ok(", ".join(said)) if said else absent(_UNKNOWN)


def _reasons(gpu: NvmlDevice) -> CheckResult:
    reasons = gpu.reasons()
    if reasons is None:
        return absent(_UNKNOWN)
    said = ", ".join(reasons) or "by nothing"
    remedies = [remedy for reason, remedy in _REMEDIES.items() if reason in reasons]
    return problem(said, remedies[0]) if remedies else ok(said)  # the other reasons are idleness and one's own choice


def _persistence(gpu: NvmlDevice) -> CheckResult:
    mode = gpu.ask("nvmlDeviceGetPersistenceMode")
    if mode is None:
        return absent(_UNKNOWN)
    if mode == gpu.nvml.NVML_FEATURE_ENABLED:
        return ok("on")
    return problem(
        "off: the driver is loaded anew, and clocks are lost, between runs", f"sudo nvidia-smi -i {gpu.index} -pm 1"
    )


def _power(gpu: NvmlDevice) -> CheckResult:
    limit = scaled(gpu.ask("nvmlDeviceGetEnforcedPowerLimit"), 1e-3)
    usual = scaled(gpu.ask("nvmlDeviceGetPowerManagementDefaultLimit"), 1e-3)
    if limit is None:
        return absent(_UNKNOWN)
    if usual is not None and limit < usual - 0.5:
        return problem(
            f"{limit:.0f} W, below its usual {usual:.0f} W", f"sudo nvidia-smi -i {gpu.index} -pl {usual:.0f}"
        )
    return ok(f"{limit:.0f} W")


def _ecc(gpu: NvmlDevice) -> CheckResult:
    return _switch(gpu, "nvmlDeviceGetEccMode")


def _mig(gpu: NvmlDevice) -> CheckResult:
    fact = _switch(gpu, "nvmlDeviceGetMigMode")
    return ok("on: a run has a slice of the GPU; clocks and power are of the whole") if fact.detail == "on" else fact


def _switch(gpu: NvmlDevice, question: str) -> CheckResult:
    modes = gpu.ask(question)
    if modes is None:
        return absent(_UNKNOWN)
    now, pending = ("on" if mode == gpu.nvml.NVML_FEATURE_ENABLED else "off" for mode in modes)
    return ok(now if now == pending else f"{now}, {pending} after a reset")


def _mode(gpu: NvmlDevice) -> CheckResult:
    mode, nvml = gpu.ask("nvmlDeviceGetComputeMode"), gpu.nvml
    if mode is None:
        return absent(_UNKNOWN)
    if mode == nvml.NVML_COMPUTEMODE_PROHIBITED:
        return problem("prohibited: nothing can be computed", f"sudo nvidia-smi -i {gpu.index} -c DEFAULT")
    return ok("default" if mode == nvml.NVML_COMPUTEMODE_DEFAULT else "exclusive: one process at a time")


def _processes(gpu: NvmlDevice, own_pid: int) -> CheckResult:
    found = gpu.ask("nvmlDeviceGetComputeRunningProcesses")
    if found is None:
        return absent(_UNKNOWN)
    others = [process for process in found if process.pid != own_pid]
    if not others:
        return ok("no other")
    return problem(
        f"in use by {', '.join(map(_process, others))}", "let them end, or choose a GPU: export CUDA_VISIBLE_DEVICES=N"
    )


def _process(process: object) -> str:
    used = getattr(process, "usedGpuMemory", None)  # not known in every container
    return f"pid {getattr(process, 'pid', '?')}" + (f" ({used / 1e9:.1f} GB)" if used else "")
