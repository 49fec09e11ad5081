"""``vbench run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import note, print_json
from .progress import run_progress

if TYPE_CHECKING:
    from ..bench.run import Result


def run(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to run.", show_default="the only one in bundles/")
    ] = None,
    engine: Annotated[str, typer.Option(help="ort (ONNX Runtime), openvino, or torch (the reference).")] = "ort",
    dataset: Annotated[
        str, typer.Option(help="minikinetics, activitynet, folder or demo.", show_default="demo")
    ] = "demo",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set.", show_default="$VBENCH_DATA/<data set>")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Run folder to make.", show_default="runs/<time>-<bundle>-<engine>"),
    ] = None,
    first_threshold: Annotated[
        float | None, typer.Option(help="Confidence above which step 1 exits.", show_default="the data set's")
    ] = None,
    gate_threshold: Annotated[
        str | None,
        typer.Option(
            help="Gate value above which a later step exits; one, or one each joined by commas.", show_default="0.5"
        ),
    ] = None,
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
    precision: Annotated[str, typer.Option(help="Which of the bundle's precisions to run.")] = "fp32",
    limit: Annotated[int | None, typer.Option(min=1, help="Run only the first N videos.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the engine; 0 for all cores.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="For --engine torch: the checkpoint, if it has been moved.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run; takes no other option.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run a bundle over a data set: accuracy, compute and time together.

    Example: vbench run --engine ort --dataset minikinetics --data /data/minikinetics

    Many videos at a time: vbench run --mode throughput --slots 8 --dataset minikinetics

    An interrupted run goes on with: vbench run --resume RUN
    """
    from ..bench.record import RunConfig
    from ..bench.run import resume_run, start_run
    from ..runtime.options import stream_options

    if resume is not None:
        _check_alone(context)
        with run_progress(resumed=resume) as listener:
            result = resume_run(resume, listener)
    else:
        config = RunConfig(
            bundle=str(chosen_bundle(bundle)),
            engine=engine,
            dataset=dataset,
            data=None if data is None else str(data),
            first_threshold=first_threshold,
            gate_thresholds=None if gate_threshold is None else thresholds(gate_threshold),
            precision=precision,
            threads=threads,
            checkpoint=None if checkpoint is None else str(checkpoint),
            limit=limit,
            stream=stream_options(mode, schedule, slots, prefetch, workers),
        )
        with run_progress() as listener:
            result = start_run(config, out, shlex.join(["vbench", *sys.argv[1:]]), listener)
    _report(result, as_json)


def _check_alone(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in ("resume", "as_json")}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise UsageError(
            f"--resume goes on as the run was begun and takes no other option ({given[0]})", "leave it out"
        )


def chosen_bundle(given: Path | None) -> Path:
    """Return the bundle that was given, or the only one there is."""
    from ..runtime.bundle import only_bundle

    return given or only_bundle(Path("bundles"))


def thresholds(text: str) -> tuple[float, ...]:
    """Return the gate thresholds that were given.

    Raises:
        UsageError: one of them is no number.
    """
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--gate-threshold {text}: not a number", "give one, or one each joined by commas") from None


def _report(result: Result, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(result.path), "metrics": result.metrics})
    else:
        print(_table(result))
        print(result.path)
    if result.dataset.left_out:
        left = result.dataset.left_out
        names = ", ".join(item.key for item in left[:3]) + (", ..." if len(left) > 3 else "")
        note(f"{len(left)} videos of the split are not there and were left out ({names}), see run.json")
    if result.metrics["errors"]:
        note(f"{result.metrics['errors']} videos gave no answer, see the column error of the predictions")


def _table(result: Result) -> str:
    metrics: dict[str, Any] = result.metrics
    latency, frames = metrics["latency_ms"], metrics["frames"]
    rows = (
        ("top-1" if metrics["metric"] == "top1" else "mAP", _number(metrics["accuracy"], "%")),
        ("videos", f"{metrics['videos']} ({metrics['errors']} without an answer)"),
        ("mean frames", _number(metrics["mean_frames"])),
        ("GFLOPs as the paper counts", _number(metrics["gflops_paper"])),
        ("GMACs", _number(metrics["gmacs"], digits=4)),
        ("videos at exit step 1, 2, ...", " ".join(map(str, metrics["exit_histogram"]))),
        ("frames used / in vain / decoded", f"{frames['used']} / {frames['in_vain']} / {frames['decoded']}"),
        ("videos/s", _number(metrics["videos_per_s"])),
        *((f"latency {name}", _number(latency[name], "ms")) for name in ("p50", "p90", "p99")),
        *_time_rows(metrics),
    )
    return "\n".join(f"{name:<32} {value}" for name, value in rows)


def _time_rows(metrics: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    steps, split = metrics["latency_by_exit_step_ms"], metrics["time_ms"]
    engine = ", ".join(f"{name} {split[name]:.2f}" for name in ("wait", "backbone", "head", "scheduling"))
    return (
        ("latency p50 by exit step, ms", ", ".join(f"{step}: {found['p50']:.1f}" for step, found in steps.items())),
        ("time a video, ms", f"{split['elapsed']:.2f} ({engine})"),
        ("reading a video, ms", f"decode {split['decode']:.2f}, preprocess {split['preprocess']:.2f}"),
    )


def _number(value: float | None, unit: str = "", digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()
