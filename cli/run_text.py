"""What ``vbench run`` prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common.output import note, print_json
from .common.table import aligned, number

if TYPE_CHECKING:
    from ..bench.run.run import Result


def report(result: Result, as_json: bool) -> None:
    """Print the metrics of a run."""
    if as_json:
        print_json({"run": str(result.path), "metrics": result.metrics})
    else:
        print(_table(result))
        print(result.path)
    _note_absent([result])


def report_counts(results: Sequence[Result], as_json: bool) -> None:
    """Print the metrics of runs at several frame counts."""
    if as_json:
        print_json([{"run": str(result.path), "metrics": result.metrics} for result in results])
    else:
        print(_counts_table(results))
        print("\n".join(str(result.path) for result in results))
    _note_absent(results)


def _note_absent(results: Sequence[Result]) -> None:
    """Say what did not take part; the data set is the same in all runs."""
    result = results[0]
    if result.dataset.left_out:
        left = result.dataset.left_out
        names = ", ".join(item.key for item in left[:3]) + (", ..." if len(left) > 3 else "")
        note(f"{len(left)} videos of the split are not there and were left out ({names}), see run.json")
    errors = max(each.metrics["errors"] for each in results)
    if errors:
        note(f"{errors} videos gave no answer, see the column error of the predictions")
    replaced = max(each.metrics["frames"]["replaced"] for each in results)
    if replaced:
        note(f"{replaced} frames could not be opened and were replaced by their video's first one, as in the original")


def _counts_table(results: Sequence[Result]) -> str:
    rows = [("frames", "top-1", "top-5", "GMACs", "latency p50", "p90", "videos/s", "videos")]
    for result in results:
        metrics = result.metrics
        latency = metrics["latency_ms"]
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
            )
        )
    return aligned(rows)


def _table(result: Result) -> str:
    metrics: dict[str, Any] = result.metrics
    latency, frames = metrics["latency_ms"], metrics["frames"]
    rows = (
        ("top-1" if metrics["metric"] == "top1" else "mAP", number(metrics["accuracy"], "%")),
        *([("top-5", number(metrics["top5"], "%"))] if metrics["top5"] is not None else []),
        ("videos", f"{metrics['videos']} ({metrics['errors']} without an answer)"),
        ("mean frames", number(metrics["mean_frames"])),
        ("GFLOPs as the paper counts", number(metrics["gflops_paper"])),
        ("GMACs", number(metrics["gmacs"], digits=4)),
        *([("GMACs wasted", number(metrics["gmacs_wasted"], digits=4))] if metrics["gmacs_wasted"] else []),
        ("videos at exit step 1, 2, ...", " ".join(map(str, metrics["exit_histogram"]))),
        ("frames used / unused / decoded", f"{frames['used']} / {frames['unused']} / {frames['decoded']}"),
        ("videos/s", number(metrics["videos_per_s"])),
        *((f"latency {name}", number(latency[name], "ms")) for name in ("p50", "p90", "p99")),
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
