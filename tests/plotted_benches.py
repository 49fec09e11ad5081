"""Handmade benchmarks: contenders with chosen times, answers and load on the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.compared_runs import MACHINE
from vbench.bench.benchmark.bench_folder import BenchFolder
from vbench.bench.benchmark.clips import ClipSet
from vbench.bench.benchmark.contender import Contender, Procedure
from vbench.bench.benchmark.matrix import Absent
from vbench.bench.benchmark.options import BenchOptions
from vbench.bench.benchmark.results import Bench, BenchHeader, ClipsInfo, ContenderResult
from vbench.bench.benchmark.turn import Started, Turn
from vbench.bench.records.video_row import VideoRow
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.telemetry.host_record import HostRecord

VIDEOS, REPEATS = 20, 5
_CALM = HostRecord(1.0, cpus=2, wanted_cpus=1, own_cpus=1.0, other_cpus=0.1)
_BUSY = replace(_CALM, other_cpus=1.9)


@dataclass(frozen=True)
class Spec:
    """A contender and its results: its time per video, and how many of its classes differ from the reference's."""

    name: str
    ms: float
    engine: str = "ort"
    precision: str = "fp32"
    slots: int = 1
    procedure: Procedure = "network"
    every_step: bool = False
    changed: int = 0
    busy: bool = False
    failure: str = ""
    repeats: int = REPEATS

    def contender(self) -> Contender:
        schedule = "sequential" if self.slots == 1 else "inflight"
        engine = EngineOptions(engine=self.engine, precision=self.precision)
        return Contender(
            self.name, engine, StreamOptions(schedule, self.slots, 1), self.procedure, None, self.every_step
        )


SPECS = (
    Spec("PyTorch as the original", 480.0, "torch", procedure="original"),
    Spec("ort fp32, sequential", 40.0),
    Spec("ort fp32, sequential, all frames", 80.0, every_step=True),
    Spec("ort int8, inflight 8", 20.0, precision="int8", slots=8, changed=3),
    Spec("ort int8, inflight 8, all frames", 50.0, precision="int8", slots=8, every_step=True),
    Spec("openvino fp32, sequential", 30.0, "openvino", busy=True),
    Spec("openvino fp32, sequential, all frames", 70.0, "openvino", every_step=True),
    Spec("openvino bf16, inflight 8", 15.0, "openvino", "bf16", slots=8, failure="killed by SIGKILL"),
)


def make_bench(specs: tuple[Spec, ...] = SPECS, *, labeled: bool = False, **changes: Any) -> Bench:
    """Return a complete benchmark of ``specs``; ``changes`` replace fields of its header."""
    return Bench(replace(_header(labeled), **changes), [_result(spec, labeled) for spec in specs], complete=True)


def write_bench(folder: Path, bench: Bench) -> Path:
    """Write a benchmark as ``vbench bench`` does; return its folder."""
    writer = BenchFolder(folder)
    writer.save(bench)
    writer.close()
    return folder


def _header(labeled: bool) -> BenchHeader:
    return BenchHeader(
        bundle="bundles/tiny",
        network="tiny network",
        bundle_sha256="0" * 64,
        bundle_bytes={"fp32": 4_000_000, "int8": 1_000_000},
        options=BenchOptions(min_repeats=REPEATS),
        clip_set=ClipSet("demo"),
        clips=ClipsInfo("demo", "top1", VIDEOS, labeled, 4),
        absent=(Absent("trt", "no GPU"),),
        machine=dict(MACHINE),
        low_precision="avx512_vnni",
        versions={"numpy": "2.0.0"},
        command="vbench bench bundles/tiny",
        date="2026-01-31T12:00:00",
    )


def _result(spec: Spec, labeled: bool) -> ContenderResult:
    result = ContenderResult(spec.contender(), Started({"engine": spec.engine}, 1.0, 0.5), spec.failure)
    if not spec.failure:
        result.turns = {number: _turn(spec, labeled, number) for number in range(spec.repeats + 1)}
    return result


def _turn(spec: Spec, labeled: bool, number: int) -> Turn:
    ms = spec.ms * Random(f"{spec.name} {number}").uniform(0.97, 1.03)
    rows = tuple(_row(spec, labeled, video, ms) for video in range(VIDEOS))
    return Turn(rows, tuple(range(VIDEOS)), VIDEOS * ms / 1e3, _BUSY if spec.busy else _CALM, None, 300_000_000)


def _row(spec: Spec, labeled: bool, video: int, ms: float) -> VideoRow:
    step = 3 if spec.every_step or video % 2 else 1
    return VideoRow(
        video=f"video_{video:03}",
        label=(video % 4,) if labeled else None,
        prediction=(video + (video < spec.changed)) % 4,
        probability=0.9,
        exit_step=step,
        frames_used=step,
        gmacs=0.25 * step,
        latency_ms=ms * spec.slots,
        decode_ms=0.3 * ms,
        preprocess_ms=0.1 * ms,
        wait_ms=0.15 * ms,
        backbone_ms=0.6 * ms,
        head_ms=0.2 * ms,
        scheduling_ms=0.05 * ms,
        elapsed_ms=ms,
    )
