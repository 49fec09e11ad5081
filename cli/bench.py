"""``vbench bench``."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..bench.benchmark.options import BenchOptions
from ..bench.benchmark.scenarios.options import ScenarioOptions
from ..bench.datasets.registry import DATASETS
from ..errors import CheckError
from ..runtime.engines.options import EngineOptions
from .bench_scenarios import bench_scenario
from .common.options import OneOf, Options, require_alone, takes
from .common.output import aligned, note, print_json, print_lines, stages
from .run import bundle_or_only

if TYPE_CHECKING:
    from ..bench.benchmark.harness import Step
    from ..bench.benchmark.results import Bench

_SHARED = ("threads", "checkpoint", "device", "provider", "graphs")


@takes(
    options=BenchOptions,
    engine=Options(EngineOptions, only=_SHARED),
    scenario=Options(ScenarioOptions, without=("slots", "schedule")),
)
def bench(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to measure.", show_default="the only one in bundles/")
    ] = None,
    *,
    options: BenchOptions,
    engine: EngineOptions,
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set to run over.", show_default="a built-in one with the network's classes, or none"),
        OneOf(lambda: DATASETS, "data set"),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.", show_default=False)] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Folder of unlabeled clips: video files or folders of images.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Run exactly the first N videos in every turn.", show_default="up to 64")
    ] = None,
    scenario: ScenarioOptions,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to create.", show_default="benches/<time>-<bundle>")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run the compliance checks on all videos; exit with 4 if one fails.")
    ] = False,
    resume: Annotated[Path | None, typer.Option(help="Continue an interrupted benchmark.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure a bundle on every engine, precision and schedule that works here: speed, answers, and saved compute.

    The baselines are part of the same measurement: PyTorch as the original code runs it, torch.compile, and all frames
    on each engine. Every contender runs in its own process, once per repetition. Each row is VALID, UNSTABLE (the
    machine was disturbed, or the repetitions differ) or INVALID (wrong answers, or too few repetitions).

    Example: vbench bench bundles/frameexit_r50 --dataset minikinetics --data /data/minikinetics

    Two engines on your own clips: vbench bench bundles/frameexit_r50 --clips videos --engine ort,openvino

    The highest rate within a latency bound (MLPerf LoadGen): vbench bench --scenario server --latency-ms 200

    Continue after Ctrl-C: vbench bench --resume benches/20260131-120000-frameexit_r50
    """
    from ..bench.benchmark import BenchConfig, ClipSet, resume_bench, start_bench

    if resume is not None:
        require_alone(context, "resume", ("verify", "as_json"))
        with _progress() as progress:
            found = resume_bench(resume, progress.plan, progress.step, verify=verify)
        _finish(resume, found, verify, as_json)
        return
    config = BenchConfig(bundle_or_only(bundle), options, engine, ClipSet(dataset, data, clips), limit, verify)
    if scenario.scenario is not None:
        bench_scenario(config, scenario, out, as_json=as_json)
        return
    command = shlex.join(["vbench", *sys.argv[1:]])
    with _progress() as progress:
        path, found = start_bench(config, out, command, progress.plan, progress.step)
    _finish(path, found, verify, as_json)


def _finish(path: Path, found: Bench, verify: bool, as_json: bool) -> None:
    _report(path, found, as_json)
    _require_checks(found, verify)


def _show_plan(found: Bench) -> None:
    """Print the contenders, what is not measured, and the time limit."""
    from ..bench.benchmark.harness import MOST_REPEATS

    header = found.header
    for result in found.results:
        note(f"  {result.contender.name}")
    for one in header.absent:
        note(f"  not measured: {one.name} ({one.reason})")
    repeats, minutes = header.options.min_repeats, header.options.max_minutes
    clips = (
        f"{header.clips.videos} videos of {header.clips.dataset}"
        if header.clips.dataset != "generated"
        else ("generated clips, whose exit steps say nothing about your videos (add --dataset or --clips)")
    )
    note(f"{len(found.results)} contenders, {clips}")
    note(f"{repeats} to {MOST_REPEATS * repeats} repetitions, {_about(found)}, at most {minutes:g} minutes")


def _about(found: Bench) -> str:
    from ..bench.benchmark.estimate import estimated_minutes

    low, high = estimated_minutes(found)
    low, high = math.ceil(low), math.ceil(high)
    return f"about {low} to {high} minutes" if high > low else f"about {high} minute{'s' * (high > 1)}"


class _Progress:
    """Shows the plan and the current step, and remembers the folder."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.path: Path | None = None

    def plan(self, path: Path, found: Bench) -> None:
        self.path = path
        _show_plan(found)

    def step(self, step: Step) -> None:
        self._show(step.text + _left(step.remaining_s))


@contextmanager
def _progress() -> Iterator[_Progress]:
    """Yield the progress of a benchmark; on Ctrl-C, name the command to continue."""
    from ..bench.benchmark import is_bench

    with stages() as show:
        progress = _Progress(show)
        try:
            yield progress
        except KeyboardInterrupt:
            if progress.path is not None and is_bench(progress.path):
                command = f"vbench bench --resume {shlex.quote(str(progress.path))}"
                note(f"complete repetitions are kept; continue with: {command}")
            raise


def _left(remaining_s: float | None) -> str:
    if remaining_s is None:
        return ""
    return f" (about {remaining_s / 60:.0f} min left)" if remaining_s >= 60 else f" (about {remaining_s:.0f} s left)"


def _report(path: Path, found: Bench, as_json: bool) -> None:
    from ..bench.benchmark import bench_rows, recommendation
    from ..bench.benchmark.table import notes, tables

    rows = bench_rows(found)
    if as_json:
        print_json(
            {"bench": str(path), "rows": [_plain(asdict(row)) for row in rows], "recommendation": recommendation(rows)}
        )
        return
    for table in tables(rows, found.header.clips.metric):
        if table.rows:
            print_lines((*aligned((table.head, *table.rows), table.words).split("\n"), ""))
    print_lines((*notes(rows), recommendation(rows), path))


def _plain(value: Any) -> Any:
    """Return a JSON value: infinite ends of an interval become null."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value


def _require_checks(found: Bench, verify: bool) -> None:
    from ..bench.benchmark.verify import all_checks

    failed = [
        f"{one.contender.name}: {check.name}" for one in found.results for check in all_checks(one) if not check.passed
    ]
    if verify and failed:
        raise CheckError(f"{len(failed)} compliance checks failed ({failed[0]})", "see the table")
    if not any(one.measured for one in found.results):
        reason = next((one.failure for one in found.results if one.failure), "nothing was measured")
        raise CheckError(f"no contender could be measured ({reason})", "run vbench doctor")
