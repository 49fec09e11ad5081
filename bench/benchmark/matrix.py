"""Choose the contenders of a benchmark: engines, precisions, schedules and frame counts, and their baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from ...runtime.scheduler.options import SLOTS, STEP, StreamOptions
from ...runtime.scheduler.schedules import Sequential
from .contender import EXACT, Contender
from .options import BenchOptions
from .variants import (
    NOT_HERE,
    cpu_variant,
    engine_variants,
    known_precisions,
    on_gpu,
    own_precisions,
    plain_variant,
    variant_name,
    why_absent,
)

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
    """Return why each built-in engine and device does not work on this machine; "" for those that do.

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
    """Return the contenders for a bundle; ``base`` has the engine options common to all.

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
        for precision in _precisions(manifest, engine, options, cpu_flags, absent):
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
    for variant in (one for name in requested for one in engine_variants(base, name)):
        reason = why_absent(variant, available)
        if not reason:
            yield variant
        elif options.engines is not None or ("not installed" not in reason and not reason.startswith(NOT_HERE)):
            absent.append(Absent(variant_name(variant), reason))


def _precisions(
    manifest: Manifest, engine: EngineOptions, options: BenchOptions, cpu_flags: frozenset[str], absent: list[Absent]
) -> list[str]:
    """Return the precisions of an engine: those of the bundle, and those derived from its fp32 files."""
    derived = _DERIVED.get(engine.engine, {})
    name_of, found = variant_name(engine), list[str]()
    if options.precisions is not None:
        known = [*known_precisions(engine, manifest.precisions), *derived]
        for name in options.precisions:
            if name in known:
                found.append(name)
            else:
                absent.append(Absent(f"{name_of} {name}", _lacking(engine, manifest, known)))
        return found
    for name in [*own_precisions(engine, manifest.precisions), *derived]:
        needed = derived.get(name, ())
        if needed and cpu_flags.isdisjoint(needed):
            absent.append(Absent(f"{name_of} {name}", f"this CPU has none of {', '.join(needed)}"))
        else:
            found.append(name)
    return found


def _lacking(engine: EngineOptions, manifest: Manifest, known: Sequence[str]) -> str:
    if set(manifest.precisions) <= set(known):
        return f"the bundle has {', '.join(manifest.precisions)}"
    return f"{engine.engine} runs {', '.join(known)}"


def _of_engine(manifest: Manifest, options: BenchOptions, engine: EngineOptions) -> Iterator[Contender]:
    for stream, frames in product(_streams(manifest, options), _frame_counts(manifest, options)):
        name = _name(engine, frames, stream)
        yield Contender(name, engine, stream, frames=frames)
        if _exits_early(manifest):
            yield Contender(f"{name}, all frames", engine, stream, every_step=True)


def _streams(manifest: Manifest, options: BenchOptions) -> list[StreamOptions]:
    found: list[StreamOptions] = []
    for schedule in options.schedules or _DEFAULT_SCHEDULES:
        slots = (1,) if schedule == Sequential.name else options.slots or (SLOTS,)
        found += [
            StreamOptions(schedule, slots=number, prefetch=_PREFETCH, sync=sync)
            for number, sync in product(slots, options.syncs or (STEP,))
        ]
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
    """Yield PyTorch as the original runs it, at every frame count, and compiled PyTorch, at the largest.

    On a GPU, an engine on the CPU comes first: all other contenders' answers are compared with its own.
    """
    counts = _frame_counts(manifest, options)
    plain = plain_variant(base, "torch")
    if on_gpu(plain):
        yield from _on_cpu(base, counts, available)
    reason = why_absent(plain, available)
    if reason:
        absent.append(Absent("PyTorch as the original", reason))
        return
    engine, stream = replace(plain, precision=EXACT), StreamOptions(Sequential.name, slots=1, prefetch=0)
    for frames in counts:
        yield Contender(f"PyTorch as the original{_frames_text(frames)}", engine, stream, "original", frames)
    yield Contender(f"torch.compile{_frames_text(counts[-1])}", engine, stream, "compiled", counts[-1])


def _on_cpu(base: EngineOptions, counts: Sequence[int | None], available: Mapping[str, str]) -> Iterator[Contender]:
    stream = StreamOptions(Sequential.name, slots=1, prefetch=_PREFETCH)
    variants = (replace(cpu_variant(base, name), precision=EXACT) for name in ("ort", "torch"))
    for engine in [one for one in variants if not why_absent(one, available)][:1]:
        for frames in counts:
            yield Contender(f"{engine.engine} {EXACT} on the CPU{_frames_text(frames)}", engine, stream, frames=frames)


def _name(engine: EngineOptions, frames: int | None, stream: StreamOptions) -> str:
    slots = "" if stream.schedule == Sequential.name else f" {stream.slots}"
    sync = "" if stream.sync == STEP else f" {stream.sync}"
    return f"{variant_name(engine)} {engine.precision}{_frames_text(frames)}, {stream.schedule}{slots}{sync}"


def _frames_text(frames: int | None) -> str:
    return "" if frames is None else f", {frames} frames"


def low_precision_support(cpu_flags: frozenset[str]) -> str:
    """Return the CPU's low-precision instructions, for the record; "none" if it has none."""
    names = sorted(cpu_flags & {*_INT8_FLAGS, *_DERIVED["openvino"]["bf16"]})
    return ", ".join(names) or "none"
