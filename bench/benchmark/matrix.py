"""Choose the contenders of a benchmark: engines, precisions, schedules and frame counts, and their baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from ...errors import MissingError, UsageError
from ...runtime.bundle.manifest import Manifest
from ...runtime.doctor.engines import check as check_engines
from ...runtime.doctor.finding import Finding
from ...runtime.doctor.probe_client import ProbeResults, run_probes
from ...runtime.engines.options import ENGINES, EngineOptions
from ...runtime.families import family_of
from ...runtime.scheduler.options import SLOTS, StreamOptions
from ...runtime.scheduler.schedules import Sequential
from .contender import EXACT, Contender
from .options import BenchOptions

_FINDINGS = {("ort", "cpu"): "ort CPU", ("ort", "cuda"): "ort CUDA", ("openvino", "cpu"): "openvino",
             ("torch", "cpu"): "torch CPU", ("torch", "cuda"): "torch CUDA", ("trt", "cuda"): "tensorrt"}  # fmt: skip
_PREFETCH = 1
_DEFAULT_SCHEDULES = ("sequential", "inflight")
# Precisions that an engine derives from the fp32 files; each requires at least one of the CPU flags.
_DERIVED = {"openvino": {"bf16": ("amx_bf16", "avx512_bf16")}}
_INT8_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni")


class Absent(NamedTuple):
    """A contender or a group of contenders that cannot take part, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Matrix:
    """The contenders of a benchmark, baselines first, and what is absent."""

    contenders: tuple[Contender, ...]
    absent: tuple[Absent, ...]


def available_engines(results: ProbeResults | None = None) -> dict[str, str]:
    """Return the reason why each built-in engine and device does not work on this machine; "" if it does.

    The keys are the names that ``vbench doctor`` uses. Engines from other packages are not included.
    """
    found: list[Finding] = check_engines(run_probes() if results is None else results)
    return {one.what: "" if one.state == "ok" else one.detail for one in found}


def choose_contenders(
    manifest: Manifest,
    options: BenchOptions,
    base: EngineOptions,
    available: Mapping[str, str],
    cpu_flags: frozenset[str] = frozenset(),
) -> Matrix:
    """Return the contenders for a bundle; ``base`` holds the engine options common to all.

    Raises:
        UsageError: an option does not apply to the network.
        MissingError: no engine works here.
    """
    options.check()
    absent: list[Absent] = []
    engines = list(_engines(options, base, available, absent))
    if not engines:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in absent)
        raise MissingError(f"no engine works on this machine ({reasons})", "run vbench doctor")
    chosen: list[Contender] = []
    for engine in engines:
        for precision in _precisions(manifest, engine.engine, options, cpu_flags, absent):
            chosen += _of_engine(manifest, options, replace(engine, precision=precision))
    if not chosen:
        raise UsageError(
            "no engine runs any of the precisions: " + "; ".join(f"{one.name}: {one.reason}" for one in absent),
            f"choose among {', '.join(manifest.precisions)}",
        )
    return Matrix((*_baselines(manifest, options, base, available, absent), *chosen), tuple(absent))


def _engines(
    options: BenchOptions, base: EngineOptions, available: Mapping[str, str], absent: list[Absent]
) -> Iterator[EngineOptions]:
    """Yield the engines that work; those that were not requested and are not installed are skipped silently."""
    requested = options.engines or tuple(name for name in ENGINES if name != "torch")
    for name in requested:
        reason = available.get(_FINDINGS.get((name, _device(name, base)), ""), "")
        if reason:
            if options.engines is not None or "not installed" not in reason:
                absent.append(Absent(name, reason))
            continue
        yield replace(base, engine=name)


def _device(engine: str, base: EngineOptions) -> str:
    return (base.device or ("cuda" if engine == "trt" else "cpu")).partition(":")[0]


def _precisions(
    manifest: Manifest, engine: str, options: BenchOptions, cpu_flags: frozenset[str], absent: list[Absent]
) -> list[str]:
    """Return an engine's precisions: the bundle's, and those derived from its fp32 files."""
    derived = _DERIVED.get(engine, {})
    own = [EXACT] if engine == "torch" else [name for name in manifest.precisions if _runs(engine, name)]
    known = [*own, *derived]
    if options.precisions is not None:
        for name in options.precisions:
            if name not in known:
                absent.append(Absent(f"{engine} {name}", f"the bundle has {', '.join(manifest.precisions)}"))
        return [name for name in options.precisions if name in known]
    found = []
    for name in known:
        needed = derived.get(name, ())
        if needed and cpu_flags.isdisjoint(needed):
            absent.append(Absent(f"{engine} {name}", f"this CPU has none of {', '.join(needed)}"))
        else:
            found.append(name)
    return found


def _runs(engine: str, precision: str) -> bool:
    """Return whether an engine runs the files of a precision by default: fp16 and ``int8-trt`` are made for GPUs."""
    if engine == "trt":
        return precision != "int8"
    return precision in (EXACT, "int8") if engine in ("ort", "openvino") else True


def _of_engine(manifest: Manifest, options: BenchOptions, engine: EngineOptions) -> Iterator[Contender]:
    for stream, frames in product(_streams(manifest, options), _frame_counts(manifest, options)):
        name = _name(engine.engine, engine.precision, engine.device, frames, stream)
        yield Contender(name, engine, stream, frames=frames)
        if _exits_early(manifest):
            yield Contender(f"{name}, all frames", engine, stream, every_step=True)


def _streams(manifest: Manifest, options: BenchOptions) -> list[StreamOptions]:
    found: list[StreamOptions] = []
    for schedule in options.schedules or _DEFAULT_SCHEDULES:
        slots = (1,) if schedule == Sequential.name else options.slots or (SLOTS,)
        found += [StreamOptions(schedule, slots=number, prefetch=_PREFETCH) for number in slots]
    for stream in found:
        family_of(manifest).check_stream(manifest, stream)
    return found


def _frame_counts(manifest: Manifest, options: BenchOptions) -> tuple[int | None, ...]:
    family = family_of(manifest)
    counts = tuple(step.frames for step in family.steps(manifest))
    if family.cumulative or len(counts) == 1:
        if options.frames is not None:
            raise UsageError(f"{manifest.network} does not offer a choice of frame counts", "omit --frames")
        return (None,)
    unknown = [count for count in options.frames or () if count not in counts]
    if unknown:
        known = ", ".join(map(str, counts))
        raise UsageError(f"--frames {unknown[0]}: the bundle has no such frame count", f"choose among {known}")
    return options.frames or counts


def _exits_early(manifest: Manifest) -> bool:
    family = family_of(manifest)
    return family.cumulative and len(family.steps(manifest)) > 1


def _baselines(
    manifest: Manifest,
    options: BenchOptions,
    base: EngineOptions,
    available: Mapping[str, str],
    absent: list[Absent],
) -> Iterator[Contender]:
    """Yield PyTorch as the original code runs it, at every frame count, and compiled, at the largest."""
    reason = available.get(_FINDINGS["torch", _device("torch", base)], "")
    if reason:
        absent.append(Absent("PyTorch as the original", reason))
        return
    engine, stream = replace(base, engine="torch", precision=EXACT), StreamOptions(Sequential.name, slots=1, prefetch=0)
    counts = _frame_counts(manifest, options)
    for frames in counts:
        yield Contender(f"PyTorch as the original{_frames_text(frames)}", engine, stream, "original", frames)
    yield Contender(f"torch.compile{_frames_text(counts[-1])}", engine, stream, "compiled", counts[-1])


def _name(engine: str, precision: str, device: str | None, frames: int | None, stream: StreamOptions) -> str:
    place = f" {device}" if device and device != "cpu" else ""
    slots = "" if stream.schedule == Sequential.name else f" {stream.slots}"
    return f"{engine}{place} {precision}{_frames_text(frames)}, {stream.schedule}{slots}"


def _frames_text(frames: int | None) -> str:
    return "" if frames is None else f", {frames} frames"


def low_precision_support(cpu_flags: frozenset[str]) -> str:
    """Return the CPU's instructions for low precision, for the record; "none" if it has none."""
    names = sorted(cpu_flags & {*_INT8_FLAGS, *_DERIVED["openvino"]["bf16"]})
    return ", ".join(names) or "none"
