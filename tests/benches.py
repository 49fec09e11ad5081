"""Handmade benchmarks, for tests of the values derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vbench.bench.benchmark.clips import ClipSet
from vbench.bench.benchmark.contender import Contender
from vbench.bench.benchmark.matrix import Absent
from vbench.bench.benchmark.options import BenchOptions
from vbench.bench.benchmark.results import Bench, BenchHeader, ClipsInfo, ContenderResult
from vbench.bench.benchmark.turn import Started, Turn
from vbench.bench.records.video_row import VideoRow
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.telemetry.host_record import HostRecord

QUIET = HostRecord(seconds=1.0, cpus=2, wanted_cpus=2, own_cpus=1.9, other_cpus=0.03)
BUSY = replace(QUIET, other_cpus=0.95, own_cpus=1.0, disturbed_share=1.0)


def contender(
    name: str,
    engine: str = "ort",
    precision: str = "fp32",
    schedule: str = "sequential",
    slots: int = 1,
    **fields: object,
) -> Contender:
    options = EngineOptions(precision, engine=engine)
    return Contender(name, options, StreamOptions(schedule, slots=slots, prefetch=1), **fields)  # type: ignore[arg-type]


ORIGINAL = contender("PyTorch as the original", "torch", procedure="original")
EVERY = contender("ort fp32, sequential, all frames", every_step=True)
EARLY = contender("ort fp32, sequential")
INT8 = contender("openvino int8, inflight 8", "openvino", "int8", "inflight", 8)


def row(video: int, ms: float, *, answer: int = 0, step: int = 3, steps: int = 10, **fields: object) -> VideoRow:
    """Return a row of 1 GMAC and 1 frame per step; of its time, 60 % is the backbone and 10 % each the rest."""
    found = VideoRow(
        f"video_{video}",
        (video % 2,),
        prediction=answer,
        probability=0.9,
        exit_step=step,
        frames_used=step,
        frames_read=min(step + 1, steps),
        frames_decoded=step,
        scores=(0.5,),
        gmacs=float(step),
        latency_ms=ms,
        decode_ms=ms / 20,
        preprocess_ms=ms / 20,
        wait_ms=ms / 10,
        backbone_ms=6 * ms / 10,
        head_ms=2 * ms / 10,
        scheduling_ms=ms / 10,
        elapsed_ms=ms,
    )
    return replace(found, **fields)  # type: ignore[arg-type]


def turn(rows: Sequence[VideoRow], host: HostRecord | None = QUIET) -> Turn:
    seconds = sum(each.elapsed_ms for each in rows) / 1e3
    return Turn(tuple(rows), tuple(range(len(rows))), seconds, host, None, 100_000_000)


def result(
    one: Contender,
    ms: Sequence[float],
    *,
    videos: int = 8,
    step: int = 3,
    answers: Sequence[int] | None = None,
    host: HostRecord | None = QUIET,
    failure: str = "",
) -> ContenderResult:
    """Return the result of a contender whose repetitions take ``ms`` per video; the first is the warm-up."""
    found = answers or [video % 2 for video in range(videos)]
    turns = {
        number: turn([row(video, each, answer=found[video], step=step) for video in range(videos)], host)
        for number, each in enumerate(ms)
    }
    started = Started({"engine": one.engine.engine}, 1.0, 0.5)
    return ContenderResult(one, started, failure, turns)


def bench(results: Sequence[ContenderResult], *, complete: bool = True, min_repeats: int = 5) -> Bench:
    header = BenchHeader(
        bundle="bundles/frameexit_r50",
        network="frameexit_r50",
        bundle_sha256="0" * 64,
        bundle_bytes={"fp32": 200_000_000, "int8": 60_000_000},
        options=BenchOptions(min_repeats=min_repeats),
        clip_set=ClipSet(),
        clips=ClipsInfo("clips", "top1", 8, True, 2),
        absent=(Absent("trt", "not installed"),),
        machine={"processor": "a CPU", "cores": 2, "system": "Linux", "python": "3.11"},
        low_precision="avx512_vnni",
        versions={"vbench": "0.1.0"},
        command="vbench bench bundles/frameexit_r50",
        date="2026-01-31T12:00:00+00:00",
        passes={one.contender.name: 1 for one in results},
    )
    return Bench(header, list(results), complete)


def usual_bench() -> Bench:
    """Return a benchmark in which early exits realize their whole saving: 3 of 10 frames in 3/10 of the time."""
    return bench(
        [
            result(ORIGINAL, [70.0, 60.0, 61.0, 59.0, 60.0, 60.5]),
            result(EARLY, [31.0, 30.0, 30.5, 29.5, 30.0, 30.2]),
            result(EVERY, [101.0, 100.0, 101.0, 99.0, 100.0, 100.4], step=10),
            result(INT8, [7.0, 6.0, 6.1, 5.9, 6.0, 6.1], answers=[1, 1, 0, 1, 0, 1, 0, 1]),
        ]
    )
