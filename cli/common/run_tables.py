"""Tables of the results of a run and its variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .output import aligned, number

if TYPE_CHECKING:
    from ...bench.records.conditions import Conditions
    from ...bench.run.run import Result


def conditions_of(result: Result) -> Conditions | None:
    """Return the conditions under which a run was measured; None if they are unknown."""
    from ...bench.records.conditions import read_conditions
    from ...bench.records.run_file import read_run

    return read_conditions(read_run(result.path))


def variants_table(results: Sequence[Result]) -> str:
    """Return a table of a run's variants, one per row."""
    rows = [("frames", "top-1", "top-5", "GMACs", "latency p50", "p90", "videos/s", "videos", "conditions")]
    for result in results:
        metrics = result.metrics
        latency, found = metrics["latency_ms"], conditions_of(result)
        rows.append(
            (
                number(metrics["mean_frames"], digits=0),
                number(metrics["accuracy"], "%"),
                number(metrics["top5"], "%"),
                number(metrics["gmacs"], digits=4),
                number(latency["p50"], "ms"),
                number(latency["p90"], "ms"),
                number(metrics["videos_per_s"]),
                str(metrics["videos"]),
                number(None) if found is None else found.verdict,
            )
        )
    return aligned(rows)


def run_table(result: Result) -> str:
    """Return the metrics of a run, one per line."""
    metrics: dict[str, Any] = result.metrics
    latency, frames = metrics["latency_ms"], metrics["frames"]
    rows = (
        ("top-1" if metrics["metric"] == "top1" else "mAP", number(metrics["accuracy"], "%")),
        *([("top-5", number(metrics["top5"], "%"))] if metrics["top5"] is not None else []),
        *_tag_rows(metrics.get("tags")),
        ("videos", f"{metrics['videos']} ({metrics['errors']} without an answer)"),
        ("mean frames", number(metrics["mean_frames"])),
        ("GFLOPs as counted in the paper", number(metrics["gflops_paper"])),
        ("GMACs", number(metrics["gmacs"], digits=4)),
        *([("GMACs wasted", number(metrics["gmacs_wasted"], digits=4))] if metrics["gmacs_wasted"] else []),
        ("videos at exit step 1, 2, ...", " ".join(map(str, metrics["exit_histogram"]))),
        ("frames used / unused / decoded", f"{frames['used']} / {frames['unused']} / {frames['decoded']}"),
        ("videos/s", number(metrics["videos_per_s"])),
        *((f"latency {name}", number(latency[name], "ms")) for name in ("p50", "p90", "p99")),
        *_time_rows(metrics),
        *_condition_rows(result),
    )
    return "\n".join(f"{name:<32} {value}" for name, value in rows)


def _tag_rows(tags: dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return the mAP by category, and the results under the other protocols."""
    if tags is None:
        return ()
    categories = ", ".join(f"{name} {number(value)}" for name, value in tags["categories"].items())
    return (
        ("mAP by category", categories),
        ("mean over categories", number(tags["category"], "%")),
        ("the same, labeled videos only", number(tags["labeled"], "%")),
    )


def _time_rows(metrics: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    steps, split = metrics["latency_by_exit_step_ms"], metrics["time_ms"]
    engine = ", ".join(f"{name} {split[name]:.2f}" for name in ("wait", "backbone", "head", "scheduling"))
    return (
        ("latency p50 by exit step, ms", ", ".join(f"{step}: {found['p50']:.1f}" for step, found in steps.items())),
        ("time per video, ms", f"{split['elapsed']:.2f} ({engine})"),
        ("reading per video, ms", f"decode {split['decode']:.2f}, preprocess {split['preprocess']:.2f}"),
    )


def _condition_rows(result: Result) -> tuple[tuple[str, str], ...]:
    from ...bench.records.conditions import conditions_text

    found = conditions_of(result)
    return () if found is None else (("conditions", conditions_text(found, result.metrics["videos"])),)
