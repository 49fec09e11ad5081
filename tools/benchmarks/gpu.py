"""The benchmarks on a GPU: a dated page and JSON record, rewritten after every repetition.

A bare machine has neither the packages of the command line nor polars, so the benchmark runs in this process and keeps
its samples as JSON. Where polars is installed, a folder as of ``vbench bench`` is kept in the work folder too.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from vbench.bench.benchmark.bench_folder import BenchFolder, bench_record
from vbench.bench.benchmark.clips import ClipSet
from vbench.bench.benchmark.harness import Harness, Step
from vbench.bench.benchmark.options import BenchOptions
from vbench.bench.benchmark.results import Bench
from vbench.bench.benchmark.rows import SHARES
from vbench.bench.benchmark.start import BenchConfig, new_bench
from vbench.bench.benchmark.turn import Turn
from vbench.errors import CheckError, MissingError
from vbench.files import whole_file
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.doctor.finding import Finding
from vbench.runtime.engines.options import EngineOptions

from .clips import prepare_clips
from .machine import gpu_name, gpu_problem, inspect_machine, slug, without_folders
from .networks import GoldenNetwork, prepare_bundle
from .page import page

OPTIONS = BenchOptions(engines=("ort", "torch", "trt"), precisions=("fp32", "tf32", "fp16"))
ENGINE = EngineOptions(device="cuda", graphs=True)
_ORIGIN = """\
`just gpu-check` (`.venv/bin/python -m tools.benchmarks gpu`) wrote this page and the JSON file of the same name, which
has the samples behind it. [bench.md](../bench.md) explains the columns."""


class Files(NamedTuple):
    """Paths of a record."""

    markdown: Path
    data: Path


@dataclass
class GpuRecord:
    """The benchmarks of one machine, by title; `write` replaces its files."""

    files: Files
    device: str
    date: str
    findings: Sequence[Finding]
    benches: dict[str, Bench] = field(default_factory=dict)

    def write(self) -> None:
        """Write the page and the JSON.

        Raises:
            UsageError, MissingError: the folder is not writable, or the disk is full.
        """
        text = page(f"{self.device}, {self.date}", _ORIGIN, self.benches, self.findings)
        findings = [one._asdict() for one in self.findings]
        benches = {title: {**bench_record(bench), "turns": _turns(bench)} for title, bench in self.benches.items()}
        data = {"date": self.date, "device": self.device, "findings": findings, "benches": benches}
        with whole_file(self.files.markdown) as first, whole_file(self.files.data) as second:
            first.write_text(text, encoding="utf-8")
            second.write_text(json.dumps(_clean(data), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def run_on_gpu(
    networks: Sequence[GoldenNetwork],
    work: Path,
    out: Path,
    command: str,
    options: BenchOptions = OPTIONS,
    engine: EngineOptions = ENGINE,
) -> Files:
    """Benchmark the networks with every engine that works on this GPU, and return the files of the record.

    A network that cannot be exported is left out if another one can.

    Raises:
        MissingError: no engine works on a GPU here.
        CheckError: no network can be exported.
    """
    findings = inspect_machine()
    on_gpu = engine.device != "cpu"
    problem = gpu_problem(findings) if on_gpu else ""
    if problem:
        raise MissingError(f"no engine runs on a GPU here: {problem}", "add --device cpu to try this without a GPU")
    device = gpu_name(findings) if on_gpu else "CPU"
    date = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    record = GpuRecord(free_files(out, f"{date}-{slug(device)}"), device, date, findings)
    failure: CheckError | None = None
    for network in networks:
        try:
            bundle = prepare_bundle(network, network.gpu_precisions if on_gpu else network.precisions, work)
        except CheckError as error:
            failure = error
            continue
        config = BenchConfig(bundle, options, engine, ClipSet(folder=prepare_clips(network, work)))
        _measure(record, network, config, command, work)
    if not record.benches and failure is not None:
        raise failure
    return record.files


def free_files(out: Path, stem: str) -> Files:
    """Return unused paths for a record in the folder ``out``."""
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    free = next(name for name in names if not any((out / f"{name}{end}").exists() for end in (".md", ".json")))
    return Files(out / f"{free}.md", out / f"{free}.json")


def _measure(record: GpuRecord, network: GoldenNetwork, config: BenchConfig, command: str, work: Path) -> None:
    bench = new_bench(config, open_bundle(config.bundle), command)
    record.benches[network.title] = bench
    folder = _bench_folder(work / "benches" / f"{record.files.data.stem}-{network.name}")

    def save(found: Bench) -> None:
        record.write()
        if folder is not None:
            folder.save(found)

    try:
        Harness(bench, _show, save).run()
    finally:
        if folder is not None:
            folder.close()


def _bench_folder(path: Path) -> BenchFolder | None:
    try:
        import polars  # noqa: F401
    except ImportError:
        return None
    return BenchFolder(path)


def _show(step: Step) -> None:
    left = "" if step.remaining_s is None else f" (about {step.remaining_s:.0f} s left)"
    print(f"{step.text}{left}", file=sys.stderr, flush=True)


def _turns(bench: Bench) -> list[dict[str, Any]]:
    return [
        {"contender": one.contender.name, "repetition": number, **_turn(turn)}
        for one in bench.results
        for number, turn in sorted(one.turns.items())
    ]


def _turn(turn: Turn) -> dict[str, Any]:
    """Return what the figures of a turn are derived from; the answers and times of its videos are columns."""
    return {
        "seconds": turn.seconds,
        "peak_memory_bytes": turn.peak_memory_bytes,
        **turn.conditions(),
        **{name: [getattr(row, name) for row in turn.rows] for name in ("video", "prediction", "exit_step", "error")},
        "latency_ms": [None if row.latency_ms is None else round(row.latency_ms, 3) for row in turn.rows],
        **{f"{name}_ms": sum(getattr(row, f"{name}_ms") for row in turn.rows) for name in (*SHARES, "elapsed")},
    }


def _clean(value: Any) -> Any:
    """Return a JSON-compatible copy without folders; NaN and infinities become strings."""
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if isinstance(value, str):
        return without_folders(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
