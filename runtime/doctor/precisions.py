"""Low precisions on the CPU: the instructions for them, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..engines.install_hint import install, reinstall
from ..telemetry.environment import cpu_flags
from .finding import CheckResult, Finding, absent, findings, ok, problem
from .probe_client import ProbeResult

_INSTRUCTIONS = {  # flag names in /proc/cpuinfo, fastest first
    "bf16": {"AMX": {"amx_bf16"}, "AVX512-BF16": {"avx512_bf16"}, "Arm bf16": {"bf16"}},
    "int8": {"AMX": {"amx_int8"}, "VNNI": {"avx512_vnni", "avx_vnni"}, "Arm i8mm": {"i8mm"}},
}


def check(result: ProbeResult) -> list[Finding]:
    """Return a finding for each precision from the result of the probe ``precisions``."""
    checks: dict[str, Callable[[], CheckResult]] = {name: partial(_worth, name, result) for name in _INSTRUCTIONS}
    return findings("machine", checks)


def _worth(precision: str, result: ProbeResult) -> CheckResult:
    flags, known = cpu_flags(), _INSTRUCTIONS[precision]
    has = [name for name, words in known.items() if words & flags]
    instructions = f"with {' and '.join(has)}" if has else "no instructions for it" if flags else "instructions unknown"
    if not result.installed:
        return absent(f"{instructions}; speed not measured: openvino is not installed", install("openvino"))
    if result.error:
        return problem(f"{instructions}; speed not measured: {result.error}", reinstall("openvino"))
    speed = result.get(precision)
    if not speed:
        return absent(f"{instructions}; openvino does not compute in {precision} here")
    return ok(f"{speed}x the speed of fp32 in openvino, {instructions}")
