"""The demo's first chapter: a tiny FrameExit on digits, from its checkpoint to the curve of its exit thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .needs import needs

if TYPE_CHECKING:
    from ..bench.agreement import Agreement
    from ..plots.points import OperatingPoint

_CHECKPOINT = Path(__file__).parent.parent / "models" / "demo" / "frameexit_demo.pth"
_INPUT_SIZE = 64
_GATE_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_NEVER = 1.0  # no softmax and no gate is above one: all frames are looked at


class FrameExitChapter(NamedTuple):
    """How PyTorch and ONNX Runtime agree, the operating points of the sweep, and the figures."""

    agreement: Agreement
    points: list[OperatingPoint]
    figures: list[Path]


def show_frameexit(out: Path, say: Callable[[str], None]) -> FrameExitChapter:
    """Export the network into ``out``, run it by both engines and at every threshold, and draw it."""
    bundle = _export(out, say)
    agreement = _both_engines(bundle, out / "runs", say)
    points = _sweep(bundle, out / "runs", say)
    return FrameExitChapter(agreement, points, _figures(points, out, say))


def _export(out: Path, say: Callable[[str], None]) -> Path:
    with needs("export"):
        from ..export.exporter import ExportOptions, export_checkpoint
    names = _CHECKPOINT.with_name("classes.txt")
    options = ExportOptions(input_size=_INPUT_SIZE, class_names=names)
    bundle = out / "bundles" / "frameexit_demo"
    export_checkpoint(_CHECKPOINT, bundle, options, lambda stage: say(f"export: {stage}"))
    return bundle


def _run(bundle: Path, engine: str, out: Path, first: float | None = None, gate: float | None = None) -> None:
    from ..bench.record import RunConfig
    from ..bench.run import start_run

    gates = None if gate is None else (gate,)
    config = RunConfig(str(bundle), engine, "demo", None, first_threshold=first, gate_thresholds=gates)
    start_run(config, out, "vbench demo")


def _both_engines(bundle: Path, runs: Path, say: Callable[[str], None]) -> Agreement:
    from ..bench.agreement import agreement

    for engine in ("torch", "ort"):
        say(f"run: {engine}")
        _run(bundle, engine, runs / engine)
    return agreement(runs / "torch", runs / "ort")


def _sweep(bundle: Path, runs: Path, say: Callable[[str], None]) -> list[OperatingPoint]:
    from ..plots.points import operating_point

    folders = []
    for threshold in _GATE_THRESHOLDS:
        say(f"sweep: gate threshold {threshold:g}")
        folders.append(runs / f"gate_{threshold:g}")
        _run(bundle, "ort", folders[-1], gate=threshold)
    say("sweep: all frames")
    folders.append(runs / "all_frames")
    _run(bundle, "ort", folders[-1], first=_NEVER, gate=_NEVER)
    return [operating_point(folder) for folder in folders]


def _figures(points: list[OperatingPoint], out: Path, say: Callable[[str], None]) -> list[Path]:
    from ..plots.efficiency import plot_efficiency
    from ..plots.exits import plot_exits
    from ..plots.points import operating_point

    say("figures")
    default = operating_point(out / "runs" / "ort")
    return [*plot_efficiency(points, out / "efficiency.png"), *plot_exits([default], out / "exits.png")]


def frameexit_text(chapter: FrameExitChapter) -> str:
    """Return what the demo prints of it."""
    points, agreement = chapter.points, chapter.agreement
    full = points[-1]
    labels = [*(f"gate threshold {threshold:g}" for threshold in _GATE_THRESHOLDS), "all frames"]
    lines = [
        f"FrameExit: {agreement.videos} videos by PyTorch and by ONNX Runtime: {agreement.other_class} other classes, "
        f"{agreement.other_exit_step} other exit steps, probabilities within {agreement.probability_difference:.0e}",
        "",
        f"{'':<20} {'top-1':>7} {'frames':>7} {'GMACs':>8} {'saved':>6}",
    ]
    for label, point in zip(labels, points):
        saved = 1 - point.gmacs / full.gmacs
        lines.append(f"{label:<20} {point.accuracy:>6.1f}% {point.mean_frames:>7.2f} {point.gmacs:>8.4f} {saved:>6.0%}")
    return "\n".join(lines)
