"""``vbench tune``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.options import OneOf, takes
from .common.output import aligned, note, number, print_json
from .common.progress import counting
from .sweep import policy_groups

if TYPE_CHECKING:
    from ..bench.sweep.operating_points import Point, ReplaySource
    from ..bench.sweep.tune import Target, TuneResult


@takes()
def tune(
    run: Annotated[Path, typer.Argument(help="Run made with --trace.")],
    target_gflops: Annotated[
        float | None,
        typer.Option(help="Most GFLOPs a video, as the paper counts (GMACs where it gives no constant)."),
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Most points of accuracy to lose against all frames; the cheapest policy wins.")
    ] = None,
    target_ms: Annotated[float | None, typer.Option(help="Most milliseconds a video takes on average.")] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="With --max-drop: promise it, wrong with at most this probability.", show_default="none"),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(help="Groups of policies to choose from, joined by commas.", show_default="all"),
        OneOf(policy_groups, several=True),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates of each kind of threshold.", show_default="1000; 64 for mAP"),
    ] = None,
    timing: Annotated[
        Path | None, typer.Option(help="Run that the time of a step is taken from.", show_default="the trace itself")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split into the videos to choose on and to report on.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write the policy into.")] = Path("policy.json"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Choose an exit policy for a target on half of the videos, and report it on the other half.

    Example: vbench tune runs/trace --target-gflops 20

    With a promise: vbench tune runs/trace --max-drop 1 --delta 0.05

    Then: vbench run --policy policy.json
    """
    from ..bench.sweep.sweep import DEFAULT_POINTS, read_sources
    from ..bench.sweep.tune import Target
    from ..bench.sweep.tune import tune as chosen
    from ..runtime.policies.registry import write_policy

    target = Target(target_gflops, max_drop, target_ms, delta)
    (source,) = read_sources([run], timing)
    families = None if policies is None else tuple(policies.split(","))
    wanted = points or DEFAULT_POINTS[source.trace.header.metric]
    with counting("replay") as listener:
        found = chosen(source, target, families, wanted, seed, lambda done, total: listener("", done, total))
    write_policy(out, found.policy, about(source, target, seed, found))
    if as_json:
        print_json({"file": str(out), "policy": found.policy.record(), **about(source, target, seed, found)})
        return
    print(tuned_text(found))
    print(out)
    note(_worth(target, found))


def about(source: ReplaySource, target: Target, seed: int, found: TuneResult) -> dict[str, Any]:
    """Return what the file says beside the policy."""
    header = source.trace.header
    return {
        "tuned_on": {
            "run": source.run,
            "bundle": header.bundle,
            "bundle_sha256": header.bundle_sha256,
            "dataset": header.dataset,
            "metric": header.metric,
            "videos": len(source.trace.videos),
            "seed": seed,
        },
        "target": {name: value for name, value in asdict(target).items() if value is not None},
        "calibration": _numbers(found.calibration),
        "held_out": _numbers(found.held_out),
        "all_frames": _numbers(found.all_steps),
        "drop": None if found.drop is None else {"top1": found.drop.points, "interval": list(found.drop.interval)},
        "promise_tested_on": found.tested,
    }


def _numbers(point: Point) -> dict[str, Any]:
    wanted = ("accuracy", "interval", "gflops_paper", "gmacs", "mean_frames", "exits", "latency_ms", "videos_per_s")
    return {name: getattr(point, name) for name in wanted} | {"videos": sum(point.exits)}


def tuned_text(found: TuneResult) -> str:
    """Return the table of what was chosen."""
    head = ("", "videos", "accuracy", "95 % interval", "GFLOPs", "GMACs", "frames", "ms")
    rows = {"chosen on": found.calibration, "held out": found.held_out, "all frames, held out": found.all_steps}
    table = aligned([head, *(_row(name, point) for name, point in rows.items())], left=1)
    return f"{found.policy.label()}\n{table}"


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


def _worth(target: Target, found: TuneResult) -> str:
    drop = "none of the held-out videos is labelled"
    if found.drop is not None:
        low, high = found.drop.interval
        drop = f"on the held-out videos it loses {found.drop.points:.2f} points of top-1 ({low:.2f} .. {high:.2f})"
    if found.tested is None:
        return f"{drop}; nothing is promised, see --delta"
    return (
        f"{drop}; promised: a drop of at most {target.max_drop:g} points of top-1 with probability "
        f"{1 - (target.delta or 0):g}, tested on {found.tested} videos like these"
    )
