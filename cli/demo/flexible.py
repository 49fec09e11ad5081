"""Second part of the demo: a tiny Frame Flexible Network on moving blobs, compared with networks for one frame count.

All are TSMs of the same size: the frame-flexible one, run at 4, 8 and 16 frames; one trained and run at each of these
counts; and the one trained at 16 frames, also run at the other counts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..common.extras import needs

if TYPE_CHECKING:
    from ...bench.compare.agreement import Agreement
    from ...bench.records.run_folder import RunConfig
    from ...plots.runs.operating_point import OperatingPoint

_FOLDER = Path(__file__).parents[2] / "models" / "demo"
_COUNTS = (4, 8, 16)
_CASCADE = _COUNTS[1:]  # excludes 4 frames, where fast motions are ambiguous and the network is overconfident
_CONFIDENCE = 0.9
_FLEXIBLE = "TSM-FFN: one network for all"
_SEPARATE = "TSM-ST: one for each count"
_OFF_COUNT = "TSM: trained at 16 frames"


class FlexibleChapter(NamedTuple):
    """Agreement between PyTorch and ONNX Runtime at each count, operating points, reported runs, and figures."""

    agreements: dict[int, Agreement]
    points: list[OperatingPoint]
    cascade: OperatingPoint
    runs: list[Path]
    figures: list[Path]


def show_flexible(out: Path, say: Callable[[str], None]) -> FlexibleChapter:
    """Export the networks into ``out``, run them at their frame counts and in a cascade, and plot the results."""
    from ...bench.compare.agreement import agreement
    from ...plots.figures.frame_counts import plot_frames
    from ...plots.runs.operating_point import operating_point

    runs = out / "runs"
    flexible = _export("tsm_ffn_demo", _COUNTS, out, say)
    for engine in ("torch", "ort"):
        _run(flexible, engine, _COUNTS, runs / f"tsm_ffn_{engine}", say)
    series = {_FLEXIBLE: [runs / "tsm_ffn_ort" / _name(count) for count in _COUNTS], _SEPARATE: [], _OFF_COUNT: []}
    for count in _COUNTS:
        counts = _COUNTS if count == _COUNTS[-1] else (count,)
        plain = _export(f"tsm_demo_{count:02d}", counts, out, say)
        _run(plain, "ort", counts, runs / f"tsm_{count:02d}", say)
        series[_SEPARATE].append(runs / f"tsm_{count:02d}" / _name(count))
    series[_OFF_COUNT] = [runs / f"tsm_{_COUNTS[-1]:02d}" / _name(count) for count in _COUNTS]
    _run_cascade(flexible, runs / "cascade", say)
    points = [operating_point(run, name) for name, members in series.items() for run in members]
    cascade = operating_point(runs / "cascade")
    figures = plot_frames([*points, cascade], out / "frames.png")
    pairs = {count: [runs / f"tsm_ffn_{engine}" / _name(count) for engine in ("torch", "ort")] for count in _COUNTS}
    agreements = {count: agreement(*pair) for count, pair in pairs.items()}
    reported = [runs / "tsm_ffn_ort", runs / "cascade"]
    return FlexibleChapter(agreements, points, cascade, reported, figures)


def flexible_text(chapter: FlexibleChapter) -> str:
    """Return the part's text output."""
    videos = next(iter(chapter.agreements.values())).videos
    other = sum(found.other_class for found in chapter.agreements.values())
    largest = max(found.probability_difference for found in chapter.agreements.values())
    lines = [
        f"Frame flexible: {videos} videos at {', '.join(map(str, _COUNTS))} frames by PyTorch and by ONNX Runtime: "
        f"{other} other classes, probabilities within {largest:.0e}",
        "",
        f"{'top-1 by number of frames':<30}" + "".join(f"{count:>8}" for count in _COUNTS),
    ]
    for name in (_FLEXIBLE, _SEPARATE, _OFF_COUNT):
        # the points of a series are in the order of the counts
        members = [point for point in chapter.points if point.series.startswith(name)]
        lines.append(f"{name:<30}" + "".join(f"{point.accuracy:>7.1f}%" for point in members))
    cascade, largest_count = chapter.cascade, chapter.points[len(_COUNTS) - 1]
    first, last = _CASCADE
    share = cascade.gmacs / largest_count.gmacs
    lines += [
        "",
        f"TSM-FFN at {first} frames, then at {last} unless its confidence exceeds {_CONFIDENCE:g}: "
        f"{cascade.accuracy:.1f}% with {cascade.mean_frames:.1f} frames and {share:.0%} of the MACs of "
        f"{_COUNTS[-1]} frames",
    ]
    return "\n".join(lines)


def _export(name: str, counts: tuple[int, ...], out: Path, say: Callable[[str], None]) -> Path:
    with needs("export"):
        from ...export.exporter import ExportOptions, export_checkpoint
    options = ExportOptions(frames=counts, class_names=_FOLDER / "motion_classes.txt")
    bundle = out / "bundles" / name
    export_checkpoint(_FOLDER / f"{name}.pth", bundle, options, lambda stage: say(f"export {name}: {stage}"))
    return bundle


def _config(bundle: Path, engine: str, **policy: Any) -> RunConfig:
    from ...bench.datasets.options import DataOptions
    from ...bench.records.run_folder import RunConfig
    from ...runtime.engines.options import EngineOptions
    from ...runtime.policies.choice import PolicyChoice

    return RunConfig(
        str(bundle),
        EngineOptions(engine=engine, say=lambda _: None),
        DataOptions("motion_test"),
        policy=PolicyChoice(**policy),
    )


def _run(bundle: Path, engine: str, counts: tuple[int, ...], out: Path, say: Callable[[str], None]) -> None:
    from ...bench.records.answers import require_answers
    from ...bench.run.variants import start_variants
    from ...runtime.networks.family import RunVariant
    from ...runtime.policies.choice import PolicyChoice

    @contextmanager
    def silent(name: str) -> Any:
        say(f"run {bundle.name}: {engine}, {name}")
        yield lambda _: None

    variants = [RunVariant(_name(count), PolicyChoice(frames=(count,))) for count in counts]
    for result in start_variants(_config(bundle, engine), variants, out, "vbench demo", silent):
        require_answers(result.path, result.metrics)


def _run_cascade(bundle: Path, out: Path, say: Callable[[str], None]) -> None:
    from ...bench.records.answers import require_answers
    from ...bench.run.run import start_run

    say(f"run {bundle.name}: cascade")
    result = start_run(_config(bundle, "ort", frames=_CASCADE, cascade=_CONFIDENCE), out, "vbench demo")
    require_answers(result.path, result.metrics)


def _name(count: int) -> str:
    from ...runtime.bundle.manifest import frames_part

    return frames_part(count)
