"""``vbench tune``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import CheckError
from .common.options import OneOf, takes
from .common.output import aligned, note, number, print_json, print_lines
from .common.progress import counting
from .sweep import ProtocolOption, policy_groups

if TYPE_CHECKING:
    from ..bench.stats.tag_precision import TagProtocol
    from ..bench.sweep.operating_points import Point, ReplaySource
    from ..bench.sweep.target import Target
    from ..bench.sweep.target_check import TargetCheck
    from ..bench.sweep.tune import TuneResult


@takes()
def tune(
    run: Annotated[Path, typer.Argument(help="Run recorded with --trace.")],
    target_gflops: Annotated[
        float | None,
        typer.Option(help="Maximum GFLOPs per video, as counted in the paper (GMACs if it gives no constant)."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Maximum loss of accuracy in points, relative to all frames; the cheapest policy wins."),
    ] = None,
    target_ms: Annotated[float | None, typer.Option(help="Maximum mean latency per video in milliseconds.")] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="With --max-drop: guarantee it in top-1, up to this probability of error; not for tags (hvu).",
            show_default="none",
        ),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(help="Policy groups to choose from, separated by commas.", show_default="all"),
        OneOf(policy_groups, several=True),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates per kind of threshold.", show_default="1000; 64 for mAP"),
    ] = None,
    protocol: ProtocolOption = None,
    timing: Annotated[
        Path | None, typer.Option(help="Run to take step times from.", show_default="the trace itself")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the split into videos to choose on and videos to report on.")
    ] = 0,
    allow_miss: Annotated[
        bool,
        typer.Option("--allow-miss", help="Write the policy even if it misses the target on the held-out videos."),
    ] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Policy file to write.")] = Path("policy.json"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Choose an exit policy for a target on one half of the videos and evaluate it on the other half.

    Example: vbench tune runs/trace --target-gflops 20

    With a guarantee: vbench tune runs/trace --max-drop 1 --delta 0.05

    Then: vbench run --policy policy.json

    If the held-out videos show that the policy misses the target, the exit code is 4 and no file is written.
    """
    from ..bench.sweep.sweep import DEFAULT_POINTS, read_sources
    from ..bench.sweep.target import Target
    from ..bench.sweep.tune import tune as tune_policy
    from ..runtime.policies.registry import write_policy

    target = Target(target_gflops, max_drop, target_ms, delta)
    (source,) = read_sources([run], timing, cast("TagProtocol | None", protocol))
    families = None if policies is None else tuple(policies.split(","))
    candidates = points or DEFAULT_POINTS[source.trace.header.metric]
    with counting("replay") as listener:
        found = tune_policy(source, target, families, candidates, seed, lambda done, total: listener("", done, total))
    about = provenance(source, target, seed, found)
    written = allow_miss or not (found.check and found.check.missed)
    if written:
        write_policy(out, found.policy, about)
    if as_json:
        print_json({"file": str(out) if written else None, "policy": found.policy.record(), **about})
    else:
        print_lines(tuned_text(found))
        if written:
            print_lines([out])
            note(_summary(target, found))
    _report_miss(found.check, out, allow_miss=allow_miss)


def _report_miss(check: TargetCheck | None, out: Path, *, allow_miss: bool) -> None:
    """Warn about a missed target, or raise if a miss is not allowed."""
    if check is None or not check.missed:
        return
    message = f"the policy misses the target on the held-out videos: {_check_text(check)}"
    if allow_miss:
        note(f"warning: {message}")
        return
    raise CheckError(f"{message}; {out} was not written", "record more videos, or pass --allow-miss")


def provenance(source: ReplaySource, target: Target, seed: int, found: TuneResult) -> dict[str, Any]:
    """Return the provenance and evaluation stored in the policy file next to the policy."""
    header = source.trace.header
    return {
        "tuned_on": {
            "run": source.run,
            "bundle": header.bundle,
            "bundle_sha256": header.bundle_sha256,
            "dataset": header.dataset,
            "metric": header.metric,
            **({} if source.trace.tag_labels is None else {"protocol": source.trace.protocol}),
            "videos": len(source.trace.videos),
            "seed": seed,
        },
        "target": {name: value for name, value in asdict(target).items() if value is not None},
        "calibration": _numbers(found.calibration),
        "held_out": _numbers(found.held_out),
        "all_frames": _numbers(found.all_steps),
        "default": {"policy": source.trace.default_policy.record(), **_numbers(found.default)},
        "drop": None
        if found.drop is None
        else {found.drop_metric: found.drop.points, "interval": list(found.drop.interval)},
        "promise_tested_on": found.tested,
        "check": None if found.check is None else _check(found.check),
    }


def _check(check: TargetCheck) -> dict[str, Any]:
    return {**check._asdict(), "interval": list(check.interval), "missed": check.missed}


def _numbers(point: Point) -> dict[str, Any]:
    names = ("accuracy", "interval", "gflops_paper", "gmacs", "mean_frames", "exits", "latency_ms", "videos_per_s")
    return {name: getattr(point, name) for name in names} | {"videos": sum(point.exits)}


def tuned_text(found: TuneResult) -> list[str]:
    """Return the chosen policy's label and the lines of its results table."""
    head = ("", "videos", "accuracy", "95 % interval", "GFLOPs", "GMACs", "frames", "ms")
    rows = {
        "chosen on": found.calibration,
        "held out": found.held_out,
        "all frames, held out": found.all_steps,
        "default, held out": found.default,
    }
    table = aligned([head, *(_row(name, point) for name, point in rows.items())], left=1)
    return [found.policy.label(), *table.split("\n")]


def _row(name: str, point: Point) -> tuple[str, ...]:
    interval = "-" if point.interval is None else f"{point.interval.low:.2f} .. {point.interval.high:.2f}"
    return (
        name,
        str(sum(point.exits)),
        number(point.accuracy, "%"),
        interval,
        number(point.gflops_paper),
        number(point.gmacs, digits=4),
        number(point.mean_frames),
        number(point.latency_ms),
    )


def _summary(target: Target, found: TuneResult) -> str:
    said = ["none of the held-out videos is labeled"]
    if found.drop is not None:
        low, high = found.drop.interval
        metric = "mAP" if found.drop_metric == "map" else "top-1"
        said = [f"loss on the held-out videos: {found.drop.points:.2f} points of {metric} ({low:.2f} .. {high:.2f})"]
    if found.check is not None and found.check.exceeded and not found.check.missed:
        said.append(f"{_check_text(found.check)}, which may be chance, since the interval includes the target")
    if found.runs_all_steps and target.max_drop is not None:
        said.append("these videos do not establish the target for any policy with early exits, so all steps run")
    if found.tested is None:
        return "; ".join([*said, "no guarantee, see --delta"])
    guaranteed = (
        f"guaranteed: a drop of at most {target.max_drop:g} points of top-1 with probability "
        f"{1 - (target.delta or 0):g}, tested on {found.tested} videos like these"
    )
    return "; ".join([*said, guaranteed])


def _check_text(check: TargetCheck) -> str:
    low, high = check.interval
    return f"{check.quantity} {check.value:.4g} {check.unit} ({low:.4g} .. {high:.4g}) exceeds {check.limit:g}"
