"""The CPU's identity: what the speed and the rounding of an engine on it depend on."""

from __future__ import annotations

from ..telemetry.environment import cpu_flags, machine

# Names in /proc/cpuinfo of the instructions that engines use for matrix products; first x86, then Arm.
_RELEVANT = frozenset(
    {
        *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
        *("amx_tile", "amx_bf16", "amx_int8", "amx_fp16"),
        *("asimd", "asimddp", "bf16", "i8mm", "sve"),
    }
)


def cpu_identity() -> dict[str, str]:
    """Return the processor's model name and its relevant instructions."""
    return {"processor": str(machine()["processor"]), "instructions": " ".join(sorted(cpu_flags() & _RELEVANT))}
