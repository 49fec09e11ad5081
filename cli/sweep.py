"""``vbench sweep``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .common.options import OneOf, takes
from .common.output import aligned, note, number, print_json, print_lines
from .common.progress import counting

if TYPE_CHECKING:
    from ..bench.stats.tag_precision import TagProtocol
    from ..bench.sweep.operating_points import Point
    from ..bench.sweep.sweep_file import Sweep

_MAX_FRONT_LINES = 16  # lines of the Pareto front


def policy_groups() -> Iterable[str]:
    """Return the names of all network families' policy groups."""
    from ..runtime.families import FAMILIES
    from ..runtime.policies.registry import grids_for

    return dict.fromkeys(group for family in FAMILIES.members().values() for group in grids_for(family.accepts))


def _protocols() -> Iterable[str]:
    from ..bench.stats.tag_precision import PROTOCOLS

    return PROTOCOLS


ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="mAP of tags in categories (hvu): flat (mean over classes), category (mean over the means of the "
        "categories), or labeled (the same, each category over the videos with a tag in it).",
        show_default="flat",
    ),
    OneOf(_protocols, "protocol"),
]


@takes()
def sweep(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs over one data set, recorded with --trace.")
    ],
    policies: Annotated[
        str | None,
        typer.Option(help="Policy groups to replay, separated by commas.", show_default="all that apply"),
        OneOf(policy_groups, several=True),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="Operating points per kind of threshold.", show_default="1000; 64 for mAP"),
    ] = None,
    protocol: ProtocolOption = None,
    timing: Annotated[
        Path | None, typer.Option(help="Run to take step times from.", show_default="the trace itself")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Output table of all points.", show_default="sweep.parquet in the (first) run"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Replay exit policies over recorded runs: thousands of operating points without running the network.

    Example: vbench sweep runs/trace

    Gate sets of one bundle (vbench fit-gates) are all replayed from one trace, and "set" marks the point that each was
    fitted for.

    Several checkpoints on one curve: vbench sweep runs/beta_1e-3 runs/beta_1e-4 runs/beta_1e-5 -o curve.parquet
    """
    from ..bench.sweep.sweep import read_sources
    from ..bench.sweep.sweep import sweep as sweep_policies
    from ..bench.sweep.sweep_file import SWEEP, make_sweep, write_sweep

    families = None if policies is None else tuple(policies.split(","))
    sources = read_sources(runs, timing, cast("TagProtocol | None", protocol))
    with counting("replay") as listener:
        found = make_sweep(sources, sweep_policies(sources, families, points, listener))
    path = out or runs[0] / SWEEP
    write_sweep(path, found)
    if as_json:
        shown = [point for point in found.points if point.pareto or not point.runnable]
        print_json({"sweep": str(path), "points": len(found.points), "front": [_content(point) for point in shown]})
        return
    print_lines((*sweep_text(found).split("\n"), path))
    _note_totals(found)


def _content(point: Point) -> dict[str, Any]:
    """Return a point as JSON, without the oracle's decision for each video, which is only in the table."""
    return {**asdict(point), "policy": point.policy if point.runnable else {"kind": point.family}}


def _note_totals(found: Sweep) -> None:
    front = sum(point.pareto for point in found.points)
    note(f"{len(found.points)} operating points, {front} of them on the Pareto front")
    if any(point.searched and point.pareto for point in found.points):
        note("searched thresholds are evaluated on the videos they were searched on; vbench tune holds some out")


def sweep_text(found: Sweep) -> str:
    """Return a table of the Pareto front, the default policy, the points of the gate sets, and the bounds."""
    several = len(found.videos) > 1
    metric = "top-1" if found.metric == "top1" else "mAP"
    head = ("", "policy", metric, "95 % interval", "GFLOPs", "GMACs", "frames", "ms", "videos/s")
    return aligned([(*head[:1], "run", *head[1:]) if several else head, *_rows(found, several)], left=2 + several)


def _rows(found: Sweep, several: bool) -> list[tuple[str, ...]]:
    rows = []
    for mark, point in _selected(found.points):
        low_high = "-" if point.interval is None else f"{point.interval.low:.2f} .. {point.interval.high:.2f}"
        text = point.policy_label + (" (searched)" if point.searched and point.runnable else "")
        rows.append(
            (
                mark,
                *([point.run] if several else []),
                text if point.runnable else point.family,
                number(point.accuracy, "%"),
                low_high,
                number(point.gflops_paper),
                number(point.gmacs, digits=4),
                number(point.mean_frames),
                number(point.latency_ms),
                number(point.videos_per_s, digits=1),
            )
        )
    return rows


def _selected(points: Sequence[Point]) -> list[tuple[str, Point]]:
    front = sorted((point for point in points if point.pareto), key=lambda point: point.gmacs)
    if len(front) > _MAX_FRONT_LINES:
        front = [front[round(place * (len(front) - 1) / (_MAX_FRONT_LINES - 1))] for place in range(_MAX_FRONT_LINES)]
    marked = [("front", point) for point in front]
    marked += [("default", point) for point in points if point.family == "default"]
    marked += [("set", point) for point in points if point.family == "gate_sets"]
    return marked + [("bound", point) for point in points if not point.runnable]
