"""``vbench run``."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .common.numbers import frame_counts, thresholds
from .common.options import (
    Checkpoint,
    Data,
    Device,
    FirstThreshold,
    GateThreshold,
    Graphs,
    Policy,
    Precision,
    Provider,
    Threads,
)
from .common.output import note
from .common.progress import run_progress
from .run_text import report, report_counts

if TYPE_CHECKING:
    from ..bench.records.run_folder import RunConfig


def run(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to run.", show_default="the only one in bundles/")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="ort (ONNX Runtime), openvino, trt (TensorRT), or torch (the reference).")
    ] = "ort",
    dataset: Annotated[
        str,
        typer.Option(
            help="minikinetics, activitynet, sthv1, sthv2, kinetics400, hmdb51, folder, demo or motion.",
            show_default="demo",
        ),
    ] = "demo",
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Run folder to make.", show_default="runs/<time>-<bundle>-<engine>"),
    ] = None,
    first_threshold: FirstThreshold = None,
    gate_threshold: GateThreshold = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Frame counts of a frame-flexible network, joined by commas; each is a run of its own.",
            show_default="all of the bundle's",
        ),
    ] = None,
    cascade: Annotated[
        float | None,
        typer.Option(
            help="Go through the frame counts, the smallest first, until the confidence is above this.",
            show_default="none",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(help="Run at the largest frame count that answers in so many milliseconds.", show_default="none"),
    ] = None,
    policy: Policy = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Run every step of every video and record it, for vbench sweep and tune.")
    ] = False,
    mode: Annotated[str, typer.Option(help="latency (one video at a time) or throughput (many).")] = "latency",
    schedule: Annotated[
        str | None,
        typer.Option(
            help="sequential, lockstep, compact or inflight.", show_default="sequential; inflight for throughput"
        ),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Videos in the batch.", show_default="8; 1 for sequential")
    ] = None,
    prefetch: Annotated[
        int, typer.Option(min=0, help="Frames of a video that are read before they are asked for.")
    ] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read frames ahead.")] = 1,
    sync: Annotated[
        str,
        typer.Option(help="step (wait for the gate) or late (start the next frame meanwhile, perhaps in vain)."),
    ] = "step",
    precision: Precision = "fp32",
    device: Device = None,
    provider: Provider = "cuda",
    graphs: Graphs = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Run only the first N videos.")] = None,
    threads: Threads = 0,
    checkpoint: Checkpoint = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run; takes no other option.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run a bundle over a data set: accuracy, compute and time together.

    Example: vbench run --engine ort --dataset minikinetics --data /data/minikinetics

    Many videos at a time: vbench run --mode throughput --slots 8 --dataset minikinetics

    All there is to know of every exit rule: vbench run --trace --dataset minikinetics, then vbench sweep RUN

    A Frame Flexible Network at 8 frames: vbench run bundles/tsm_ffn_r50 --frames 8 --dataset sthv1

    An interrupted run goes on with: vbench run --resume RUN
    """
    from ..bench.records.run_folder import RunConfig
    from ..runtime.policies.registry import read_policy
    from ..runtime.scheduler.options import stream_options

    if resume is not None:
        _check_alone(context)
        _resume(resume, as_json)
        return
    config = RunConfig(
        bundle=str(chosen_bundle(bundle)),
        engine=engine,
        dataset=dataset,
        data=None if data is None else str(data),
        first_threshold=first_threshold,
        gate_thresholds=None if gate_threshold is None else thresholds(gate_threshold),
        frames=None if frames is None else frame_counts(frames),
        cascade=cascade,
        budget_ms=budget_ms,
        policy=None if policy is None else read_policy(policy).record(),
        trace=trace,
        precision=precision,
        device=device,
        provider=provider,
        graphs=graphs,
        threads=threads,
        checkpoint=None if checkpoint is None else str(checkpoint),
        limit=limit,
        stream=stream_options(mode, schedule, slots, prefetch, workers, sync),
    )
    _start(config, out, as_json)


def _start(config: RunConfig, out: Path | None, as_json: bool) -> None:
    from ..bench.run.frame_counts import counts_to_run, start_counts
    from ..bench.run.run import start_run

    command = shlex.join(["vbench", *sys.argv[1:]])
    counts = counts_to_run(config)
    if counts:
        report_counts(start_counts(config, counts, out, command, partial(run_progress, several=True)), as_json)
        return
    with run_progress() as listener:
        result = start_run(config, out, command, listener)
    report(result, as_json)
    if config.trace:
        note(f"replay any exit policy over it with: vbench sweep {shlex.quote(str(result.path))}")


def _resume(path: Path, as_json: bool) -> None:
    from ..bench.run.frame_counts import interrupted_counts, resume_counts
    from ..bench.run.run import resume_run

    several = interrupted_counts(path)
    if several:
        report_counts(resume_counts(several, partial(run_progress, several=True)), as_json)
        return
    with run_progress(resumed=path) as listener:
        result = resume_run(path, listener)
    report(result, as_json)


def _check_alone(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in ("resume", "as_json")}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise UsageError(
            f"--resume goes on as the run was begun and takes no other option ({given[0]})", "leave it out"
        )


def chosen_bundle(given: Path | None) -> Path:
    """Return the bundle that was given, or the only one there is."""
    from ..runtime.bundle.bundle import only_bundle

    return given or only_bundle(Path("bundles"))
