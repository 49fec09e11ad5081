"""``vbench explain``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..bench.datasets.options import DataOptions
from ..errors import UsageError
from ..runtime.engines.options import EngineOptions
from ..runtime.policies.choice import PolicyChoice
from .common.engine_options import CHOSEN_ENGINE
from .common.options import Changed, Options, takes
from .common.output import aligned, print_json, print_lines
from .run import bundle_or_only

if TYPE_CHECKING:
    from ..bench.explain.explanation import Explanation
    from ..bench.records.run_folder import RunConfig

_NO_DATASET = ""


@takes(
    engine=replace(CHOSEN_ENGINE, without=("replicas",)),
    data=Options(
        DataOptions,
        without=("limit",),
        changed={"dataset": Changed(_NO_DATASET, "Data set that contains the key VIDEO, such as demo.", "none")},
    ),
    policy=Options(PolicyChoice, without=("frames", "cascade", "budget_ms", "remeasure")),
)
def explain(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Video file, folder of frames, or key in --dataset.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle to run.", show_default="the only one in bundles/")] = None,
    *,
    engine: EngineOptions,
    data: DataOptions,
    policy: PolicyChoice,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show the frames after the exit and their predictions.")
    ] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Figure; written as PNG, SVG and PDF.")] = Path("film.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how a video was classified: frames in the order read, gate decisions and exit step.

    Example: vbench explain video.mp4 --bundle bundles/frameexit_r50 -o film.png

    Including the frames after the exit: vbench explain digit_0003 --dataset demo --all
    """
    from ..bench.records.run_folder import RunConfig
    from ..plots.film.film_strip import plot_film

    if data.data is not None and data.dataset == _NO_DATASET:
        raise UsageError("--data can be used only with --dataset", "add the name of the data set")
    config = RunConfig(str(bundle_or_only(bundle)), engine, data, policy=policy)
    found = _explain(config, video, everything)
    paths = [str(path) for path in plot_film(found, out)]
    if as_json:
        print_json({**_record(found), "figures": paths})
        return
    print_lines((*_lines(found), *paths))


def _explain(config: RunConfig, video: str, everything: bool) -> Explanation:
    from ..bench.explain.explain import explain as explain_video
    from ..bench.explain.setup import find_video, load_for_explanation
    from ..runtime.inputs.base import NamedClip

    network, dataset = load_for_explanation(config, with_dataset=config.data.dataset != _NO_DATASET)
    if dataset is None:
        return explain_video(network, video, everything=everything)
    known = find_video(dataset, video)
    return explain_video(network, NamedClip(known.key, known.open), classes=known.classes, everything=everything)


def _record(found: Explanation) -> dict[str, Any]:
    looks = [
        {
            "step": view.step,
            "frame": view.position,
            "place": view.place,
            "looked_at": view.step <= found.exit_step,
            "gate": view.gate,
            "rule": view.decision._asdict(),
            "top": [score._asdict() for score in view.top],
        }
        for view in found.steps
    ]
    numbers = {name: value for name, value in asdict(found).items() if name != "steps"}
    return {**numbers, "answer": found.answer._asdict(), "looks": looks}


def _lines(found: Explanation) -> tuple[str, ...]:
    from ..plots.film.layout import outcome_text, true_text

    rows = [("", "step", "frame", "rule", "class", "probability")]
    for view in found.steps:
        mark = "exit" if view.step == found.exit_step else "" if view.step < found.exit_step else "not seen"
        best = view.top[0]
        name = f"{best.name} (right)" if best.right else best.name
        rows.append((mark, str(view.step), str(view.position), view.decision.text, name, f"{best.probability:.3f}"))
    head = (found.video + true_text(found), f"{found.bundle}, {found.engine}; {found.policy_label}")
    # Text columns are left-aligned, numeric columns right-aligned.
    return (*head, "", *aligned(rows, left=1).split("\n"), "", outcome_text(found))
