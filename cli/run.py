"""``vbench run``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import note, print_json, stderr

if TYPE_CHECKING:
    from ..bench.run import Progress, Result


def run(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to run.", show_default="the only one in bundles/")
    ] = None,
    engine: Annotated[str, typer.Option(help="ort (ONNX Runtime) or torch (the reference).")] = "ort",
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

    An interrupted run goes on with: vbench run --resume RUN
    """
    from ..bench.record import RunConfig
    from ..bench.run import resume_run, start_run

    if resume is not None:
        _check_alone(context)
        with _progress(resume) as listener:
            result = resume_run(resume, listener)
    else:
        config = RunConfig(
            bundle=str(_bundle(bundle)),
            engine=engine,
            dataset=dataset,
            data=None if data is None else str(data),
            first_threshold=first_threshold,
            gate_thresholds=None if gate_threshold is None else _thresholds(gate_threshold),
            threads=threads,
            checkpoint=None if checkpoint is None else str(checkpoint),
            limit=limit,
        )
        with _progress(None) as listener:
            result = start_run(config, out, shlex.join(["vbench", *sys.argv[1:]]), listener)
    _report(result, as_json)


def _check_alone(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in ("resume", "as_json")}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise UsageError(
            f"--resume goes on as the run was begun and takes no other option ({given[0]})", "leave it out"
        )


def _bundle(given: Path | None) -> Path:
    from ..runtime.bundle import only_bundle

    return given or only_bundle(Path("bundles"))


def _thresholds(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--gate-threshold {text}: not a number", "give one, or one each joined by commas") from None


@contextmanager
def _progress(resumed: Path | None) -> Iterator[Callable[[Progress], None]]:
    """Show videos/s, running accuracy and mean frames on stderr; on Ctrl-C say how to go on."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    counts = _Counts(resumed)
    with Bar(*columns, console=stderr(), transient=True, disable=not stderr().is_terminal) as bar:
        task = bar.add_task("loading", total=None)

        def listener(progress: Progress) -> None:
            counts.add(progress)
            bar.update(task, total=progress.total, completed=progress.done, description=str(counts))

        try:
            yield listener
        except KeyboardInterrupt:
            bar.stop()
            if counts.seen:
                note(
                    f"{counts.done} videos are kept; go on with: vbench run --resume {shlex.quote(str(counts.folder))}"
                )
            raise


class _Counts:
    """What the progress line says."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.done = self.seen = self._right = self._labelled = self._frames = self._answered = 0
        self._begin = time.monotonic()

    def add(self, progress: Progress) -> None:
        row = progress.row
        self.folder, self.done, self.seen = progress.folder, progress.done, self.seen + 1
        if row.error is None and row.frames_used is not None:
            self._answered += 1
            self._frames += row.frames_used
            self._labelled += bool(row.label)
            self._right += row.prediction in (row.label or ())

    def __str__(self) -> str:
        rate = self.seen / max(time.monotonic() - self._begin, 1e-9)
        top1 = f"{100 * self._right / self._labelled:.1f} % top-1" if self._labelled else "no label yet"
        frames = f"{self._frames / self._answered:.2f} frames" if self._answered else "no answer yet"
        return f"{rate:.1f} videos/s  {top1}  {frames}"


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
    latency = metrics["latency_ms"]
    rows = (
        ("top-1" if metrics["metric"] == "top1" else "mAP", _number(metrics["accuracy"], "%")),
        ("videos", f"{metrics['videos']} ({metrics['errors']} without an answer)"),
        ("mean frames", _number(metrics["mean_frames"])),
        ("GFLOPs as the paper counts", _number(metrics["gflops_paper"])),
        ("GMACs", _number(metrics["gmacs"], digits=4)),
        ("videos at exit step 1, 2, ...", " ".join(map(str, metrics["exit_histogram"]))),
        *((f"latency {name}", _number(latency[name], "ms")) for name in ("p50", "p90", "p99")),
    )
    return "\n".join(f"{name:<30} {value}" for name, value in rows)


def _number(value: float | None, unit: str = "", digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()
