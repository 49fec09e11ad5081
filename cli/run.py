"""``vbench run``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bench.datasets.options import DataOptions
from ..errors import UsageError
from ..runtime.engines.options import EngineOptions
from ..runtime.policies.choice import PolicyChoice
from ..runtime.scheduler.options import StreamOptions
from ..startup import phase
from .common.engine_options import CHOSEN_ENGINE
from .common.options import Changed, Options, require_alone, takes
from .common.output import note, print_json, print_lines
from .common.progress import run_progress
from .common.run_tables import conditions_of, run_table, variants_table

if TYPE_CHECKING:
    from ..bench.records.run_folder import RunConfig
    from ..bench.run.run import Result


@takes(
    engine=CHOSEN_ENGINE,
    data=DataOptions,
    policy=PolicyChoice,
    stream=Options(StreamOptions, changed={"prefetch": Changed(default=1)}),
)
def run(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to run.", show_default="the only one in bundles/")
    ] = None,
    *,
    engine: EngineOptions,
    data: DataOptions,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Run folder to create.", show_default="runs/<time>-<bundle>-<engine>"),
    ] = None,
    policy: PolicyChoice,
    trace: Annotated[
        bool, typer.Option("--trace", help="Run and record every step of every video, for vbench sweep and tune.")
    ] = False,
    features: Annotated[
        bool,
        typer.Option("--features", help="With --trace: also store the features to fit gates on (vbench fit-gates)."),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(help="With --features: split that the videos belong to.", show_default="the data set's"),
    ] = None,
    stream: StreamOptions,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep only the N most probable classes of each video in the table of probabilities. The accuracy is "
            "computed from all classes first; vbench compare then lacks top-5 and mAP.",
            show_default="all",
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Resume an interrupted run with the options that it was started with.")
    ] = None,
    allow_changed_dataset: Annotated[
        bool,
        typer.Option(
            "--allow-changed-dataset",
            help="With --resume: if videos were removed, renamed or added, finish with those that remain.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run a bundle over a data set and measure accuracy, compute and latency.

    Example: vbench run --engine ort --dataset minikinetics --data /data/minikinetics

    Several videos concurrently: vbench run --mode throughput --slots 8 --dataset minikinetics

    Record a trace for offline evaluation: vbench run --trace --dataset minikinetics, then vbench sweep RUN

    A Frame Flexible Network at 8 frames: vbench run bundles/tsm_ffn_r50 --frames 8 --dataset sthv1

    Resume an interrupted run: vbench run --resume RUN
    """
    if resume is not None:
        require_alone(context, "resume", ("allow_changed_dataset", "as_json"))
        _resume(resume, allow_changed_dataset, as_json)
        return
    if allow_changed_dataset:
        raise UsageError("--allow-changed-dataset applies only to an interrupted run", "add --resume RUN, or omit it")
    with phase("imports"):
        from ..bench.records.run_folder import RunConfig

    config = RunConfig(
        str(bundle_or_only(bundle)), engine, data, stream, policy, trace, features=features, split=split, top_k=top_k
    )
    _start(config, out, as_json)


def _start(config: RunConfig, out: Path | None, as_json: bool) -> None:
    with phase("imports"):
        from ..bench.run.run import start_run
        from ..bench.run.variants import start_variants, variants_of
        from ..runtime.bundle.bundle import open_bundle

    command, bundle = shlex.join(["vbench", *sys.argv[1:]]), open_bundle(Path(config.bundle))
    variants = variants_of(config, bundle)
    if variants:
        several = partial(run_progress, several=True)
        _report_variants(start_variants(config, variants, out, command, several, bundle), as_json)
        return
    with run_progress() as listener:
        result = start_run(config, out, command, listener, bundle)
    _report(result, as_json)
    _note_gates(result.path)
    if config.policy.budget_ms is not None and not as_json:
        _note_latencies(result.path)
    if config.trace:
        note(f"replay exit policies over the trace with: vbench sweep {shlex.quote(str(result.path))}")


def _note_gates(run: Path) -> None:
    from ..bench.records.run_file import read_run

    record = read_run(run)
    source = record.object("policy_sources").content.get("gate_set")
    if source:
        note(f"gate set: {record.object('policy').content.get('gate_set')} ({source})")


def _note_latencies(run: Path) -> None:
    from ..bench.records.run_file import read_run

    measured = read_run(run).object("policy_sources").content.get("budget_ms")
    if measured:
        note(f"latencies for the budget: {measured}")


def _resume(path: Path, allow_changed: bool, as_json: bool) -> None:
    with phase("imports"):
        from ..bench.run.run import resume_run
        from ..bench.run.variants import interrupted_variants, resume_variants

    several = interrupted_variants(path)
    if several:
        results = resume_variants(several, partial(run_progress, several=True), allow_changed_dataset=allow_changed)
        _report_variants(results, as_json)
        return
    with run_progress(resumed=path) as listener:
        result = resume_run(path, listener, allow_changed_dataset=allow_changed)
    _report(result, as_json)


def bundle_or_only(given: Path | None) -> Path:
    """Return the given bundle, or the only one in bundles/."""
    from ..runtime.bundle.bundle import only_bundle

    return given or only_bundle(Path("bundles"))


def _report(result: Result, as_json: bool) -> None:
    """Print the metrics of a run."""
    if as_json:
        print_json({"run": str(result.path), "metrics": result.metrics})
    else:
        print_lines((*run_table(result).split("\n"), result.path))
    _finish([result])


def _report_variants(results: Sequence[Result], as_json: bool) -> None:
    """Print the metrics of a run's variants."""
    if as_json:
        print_json([{"run": str(result.path), "metrics": result.metrics} for result in results])
    else:
        print_lines((*variants_table(results).split("\n"), *(result.path for result in results)))
    _finish(results)


def _finish(results: Sequence[Result]) -> None:
    """Report missing videos and answers.

    Raises:
        CheckError: a run has no videos with an answer.
    """
    from ..bench.records.answers import require_answers

    _note_missing(results)
    _note_unstable(results)
    for result in results:
        require_answers(result.path, result.metrics)


def _note_missing(results: Sequence[Result]) -> None:
    """Report missing videos, errors and replaced frames; all runs share one data set."""
    result = results[0]
    if result.changes:
        note(f"the data set has changed since the run was started: {result.changes}; see run.json")
    if result.dataset.left_out:
        left = result.dataset.left_out
        names = ", ".join(item.key for item in left[:3]) + (", ..." if len(left) > 3 else "")
        note(f"{len(left)} videos in the split are missing and were skipped ({names}); see run.json")
    errors = max(each.metrics["errors"] for each in results)
    if errors:
        note(f"{errors} videos have no answer; see the error column of the predictions")
    replaced = max(each.metrics["frames"]["replaced"] for each in results)
    if replaced:
        note(f"{replaced} unreadable frames were replaced by the first frame of their video, as in the original code")


def _note_unstable(results: Sequence[Result]) -> None:
    """Report the conditions of the variants whose times cannot be trusted; the table of a single run shows them."""
    from ..bench.records.conditions import conditions_text

    for result in results if len(results) > 1 else ():
        found = conditions_of(result)
        if found is not None and found.verdict == "UNSTABLE":
            note(f"{result.path}: the conditions were {conditions_text(found, result.metrics['videos'])}")
