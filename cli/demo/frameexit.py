"""First part of the demo: a tiny FrameExit on digits, from its checkpoint to all exit policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..common.extras import needs
from ..common.output import aligned

if TYPE_CHECKING:
    from ...bench.compare.agreement import Agreement
    from ...bench.records.run_folder import RunConfig
    from ...bench.sweep.operating_points import Point, ReplaySource

_CHECKPOINT = Path(__file__).parents[2] / "models" / "demo" / "frameexit_demo.pth"
_GATES = _CHECKPOINT.with_name("frameexit_demo_gates")
_DEFAULT = "frameexit_demo_beta1e-03.pth"
_VIDEOS = 400  # from a split that neither training nor the design of the videos used
_MIDDLE = 5
_RUNS = ("torch", "ort", "trace")


class FrameExitChapter(NamedTuple):
    """Results of the first part.

    Attributes:
        agreement: agreement between PyTorch and ONNX Runtime.
        replayed: number of videos on which the replayed policy differs from ONNX Runtime's run.
        points: operating points of every gate set, of all frames, and of the oracle.
        swept: total number of replayed operating points.
        runs: reported runs, starting with the one over all frames.
    """

    agreement: Agreement
    replayed: int
    points: list[Point]
    swept: int
    runs: list[Path]
    figures: list[Path]


def show_frameexit(out: Path, say: Callable[[str], None]) -> FrameExitChapter:
    """Export the network into ``out``, run it with both engines, record a trace and replay every policy over it."""
    from ...bench.compare.agreement import agreement
    from ...bench.sweep.sweep import read_sources

    bundle = _export(out, say)
    torch, ort, trace = (out / "runs" / name for name in _RUNS)
    _run(bundle, "torch", torch, say)
    _run(bundle, "ort", ort, say)
    _run(bundle, "ort", trace, say, trace=True)
    (source,) = read_sources([trace])
    swept = _sweep(source, trace, say)
    say("figures")
    return FrameExitChapter(
        agreement=agreement(torch, ort),
        replayed=_differing(source, ort),
        points=_points(source),
        swept=swept,
        runs=[trace, ort],
        figures=_figures(out),
    )


def _export(out: Path, say: Callable[[str], None]) -> Path:
    with needs("export"):
        from ...export.exporter import ExportOptions, export_checkpoint
    names = _CHECKPOINT.with_name("classes.txt")
    from ...fit.packed import unpack_gate_sets

    gates, bundle = out / "gates", out / "bundles" / "frameexit_demo"
    unpack_gate_sets(_CHECKPOINT, _GATES, gates)
    options = ExportOptions(class_names=names, gate_sets=gates)
    export_checkpoint(gates / _DEFAULT, bundle, options, lambda stage: say(f"export: {stage}"))
    return bundle


def _run(bundle: Path, engine: str, out: Path, say: Callable[[str], None], *, trace: bool = False) -> None:
    from ...bench.records.answers import require_answers
    from ...bench.run.run import start_run

    say(f"run: {engine}{', every step recorded' if trace else ''}")
    result = start_run(_config(bundle, engine, trace=trace), out, "vbench demo")
    require_answers(result.path, result.metrics)


def _config(bundle: Path, engine: str = "ort", *, trace: bool = False) -> RunConfig:
    from ...bench.datasets.options import DataOptions
    from ...bench.records.run_folder import RunConfig
    from ...runtime.engines.options import EngineOptions

    return RunConfig(
        str(bundle),
        EngineOptions(engine=engine, say=lambda _: None),
        DataOptions("demo_test", limit=_VIDEOS),
        trace=trace,
    )


def _sweep(source: ReplaySource, run: Path, say: Callable[[str], None]) -> int:
    from ...bench.sweep.sweep import sweep
    from ...bench.sweep.sweep_file import SWEEP, make_sweep, write_sweep

    say("replay: every policy")
    found = sweep([source])
    write_sweep(run / SWEEP, make_sweep([source], found))
    return len(found)


def _points(source: ReplaySource) -> list[Point]:
    """Replay the authors' rule with every gate set, all frames, and the oracle."""
    from ...bench.sweep.operating_points import evaluate
    from ...bench.sweep.policy_grid import full_policy
    from ...runtime.policies.base import Candidate
    from ...runtime.policies.rules import PerVideo

    gates = [Candidate("gate_sets", policy) for policy in source.trace.set_policies.values()]
    return evaluate(source, [*gates, full_policy(source.trace), *PerVideo.grids()["oracle"](source.trace, 1)])


def _differing(source: ReplaySource, run: Path) -> int:
    """Return the number of videos on which the replayed default policy differs from the actual run."""
    from ...bench.records.tables import read_predictions
    from ...bench.trace.replay import exit_steps, predictions
    from ...runtime.policies.registry import policy_of

    trace = source.trace
    steps = exit_steps(policy_of(trace.header.default_policy, "the trace"), trace)
    real = read_predictions(run)
    same = (real["exit_step"].to_numpy() == steps) & (real["prediction"].to_numpy() == predictions(trace, steps))
    return int((~same).sum())


def _figures(out: Path) -> list[Path]:
    from ...bench.sweep.sweep_file import read_sweep
    from ...plots.figures.exits import plot_exits
    from ...plots.figures.sweep import plot_sweep
    from ...plots.runs.operating_point import operating_point

    runs = out / "runs"
    return [
        *plot_sweep([read_sweep(runs / "trace")], out / "efficiency.png"),
        *plot_exits([operating_point(runs / "ort")], out / "exits.png"),
        *_film(out),
    ]


def _film(out: Path) -> list[Path]:
    """Draw the film strip of the first video that exits at a middle step."""
    import polars

    from ...bench.explain.explain import explain
    from ...bench.explain.setup import find_video, load_for_explanation
    from ...bench.records.tables import read_predictions
    from ...plots.film.film_strip import plot_film
    from ...runtime.inputs.base import NamedClip

    network, dataset = load_for_explanation(_config(out / "bundles" / "frameexit_demo"), with_dataset=True)
    assert dataset is not None
    steps = read_predictions(out / "runs" / "ort")
    key = steps.filter(polars.col("exit_step") == _MIDDLE)["video"][0]
    video = find_video(dataset, key)
    return plot_film(explain(network, NamedClip(key, video.open), classes=video.classes), out / "film.png")


def frameexit_text(chapter: FrameExitChapter) -> str:
    """Return the part's text output."""
    agreement = chapter.agreement
    full = next(point for point in chapter.points if point.family == "fixed")
    sets = [str(point.policy["gate_set"]) for point in chapter.points if point.family == "gate_sets"]
    labels = [*(f"gates {name}" for name in sets), "all frames", "oracle"]
    rows = [("", "top-1", "95 % interval", "frames", "GMACs", "saved")]
    for label, point in zip(labels, chapter.points):
        assert point.interval is not None
        low, high = point.interval
        rows.append(
            (
                label,
                f"{point.accuracy:.1f}%",
                f"{low:.1f} .. {high:.1f}",
                f"{point.mean_frames:.2f}",
                f"{point.gmacs:.4f}",
                f"{1 - point.gmacs / full.gmacs:.0%}",
            )
        )
    videos = agreement.videos
    lines = (
        f"FrameExit: {videos} videos by PyTorch and by ONNX Runtime: {agreement.other_class} other classes, "
        f"{agreement.other_exit_step} other exit steps, probabilities within {agreement.probability_difference:.0e}",
        f"Recorded once, replayed at {chapter.swept} operating points; "
        f"of the {videos} videos of a real run the replay differs in {chapter.replayed}",
        "",
        aligned(rows, left=1),
    )
    return "\n".join(lines)
