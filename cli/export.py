"""``vbench export``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..bench.datasets.registry import DATASETS
from ..errors import UsageError
from .common.extras import needs
from .common.input_size import input_size_contradiction, input_size_text
from .common.options import OneOf, frame_counts, takes
from .common.output import note, print_json, print_lines, stages

if TYPE_CHECKING:
    from ..bench.datasets.calibration import CalibrationVideos
    from ..export.options import ClipSampling, Layout
    from ..runtime.bundle.manifest import Manifest, Output
    from ..runtime.policies.first_threshold import DatasetDefaults

_VIDEOS = 64


@takes()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="The authors' checkpoint: a .pth, .pth.tar or .pyth file.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Bundle to create.", show_default="bundles/<checkpoint's name>")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(help="fp32, fp16, int8 (for CPUs), int8-trt (for TensorRT); separate several with commas."),
    ] = "fp32",
    calibrate: Annotated[
        str | None,
        typer.Option(help="Data set to measure activations on, for 8-bit precisions and fp16.", show_default="none"),
        OneOf(lambda: DATASETS, "data set"),
    ] = None,
    calibrate_data: Annotated[
        Path | None, typer.Option(help="Folder of the calibration data set.", show_default="$VBENCH_DATA/<data set>")
    ] = None,
    calibrate_videos: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of calibration videos, spread evenly over the data set.", show_default=str(_VIDEOS)
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="FrameExit: data set the network is for; determines the bundle's default confidence at step 1, and "
            "whether its probabilities are a softmax or a sigmoid.",
            show_default="none: taken from the data set of a run",
        ),
        OneOf(lambda: DATASETS, "data set"),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Frame counts of a frame-flexible network, separated by commas.",
            show_default="those it was trained with",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Frame-flexible networks: folded (separate convolutions per frame count: fast) or shared (one set of "
            "convolutions for all: small).",
            show_default="folded",
        ),
    ] = None,
    gate_sets: Annotated[
        Path | None,
        typer.Option(
            help="FrameExit: folder of gate sets (vbench fit-gates) to include; CHECKPOINT is one of them, and its "
            "gates run by default.",
            show_default="none",
        ),
    ] = None,
    clip_sampling: Annotated[
        str | None,
        typer.Option(
            help="FrameExit with a backbone for clips: temporal_views (as in SlowFast's tests) or "
            "temporal_views_to_end (the last clip ends with the video).",
            show_default="temporal_views",
        ),
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            help="Side length of the network's input in pixels.",
            show_default="the checkpoint's or its record's, else 224; 300 for EfficientNet, 256 for SlowFast",
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Text file of class names, one per line.", show_default="none")
    ] = None,
    probabilities: Annotated[
        str | None,
        typer.Option(
            help="softmax, or sigmoid for a network whose classes are not mutually exclusive.",
            show_default="the one for --dataset, else softmax",
        ),
    ] = None,
    max_error: Annotated[float, typer.Option(help="Maximum relative difference from PyTorch allowed in fp32.")] = 1e-4,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 to 23.")] = 18,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a checkpoint to a bundle that runs without PyTorch.

    The network, its classes and frame counts are detected from the checkpoint. Every part and the whole network are
    compared with PyTorch before the bundle is written. Below fp32 only the backbone is converted (of a frame-flexible
    network, the part of every frame count), and differences are reported.

    Example: vbench export frameexit_r50.pth

    A Frame Flexible Network: vbench export tsm_ffn_r50.pth --frames 4,8,16

    With 8 bits: vbench export frameexit_r50.pth --precision fp32,int8 --calibrate minikinetics
    """
    with needs("export"):
        from ..export.exporter import Calibration, ExportOptions, export_checkpoint
    videos = _videos(calibrate, calibrate_data, calibrate_videos)
    out = out or Path("bundles", re.sub(r"(\.(pth|pyth|pt|tar))+$", "", checkpoint.name))
    options = ExportOptions(
        precisions=tuple(precision.split(",")),
        dataset=None if dataset is None else _defaults(dataset),
        frames=None if frames is None else frame_counts(frames),
        layout=cast("Layout | None", weights),  # validated by ExportOptions
        gate_sets=gate_sets,
        clip_sampling=cast("ClipSampling | None", clip_sampling),  # likewise
        input_size=input_size,
        opset=opset,
        max_error=max_error,
        class_names=classes,
        probabilities=cast("Output | None", probabilities),  # likewise
        force=force,
    )
    calibration = None if videos is None else Calibration(str(calibrate), videos.clips)
    with stages() as show_stage:
        bundle = export_checkpoint(checkpoint, out, options, show_stage, calibration)
    if videos is not None:
        _note_skipped(videos)
    if (contradiction := input_size_contradiction(bundle.manifest)) is not None:
        note(contradiction)
    print_json(_document(out, bundle.manifest)) if as_json else print_lines(_lines(out, bundle.manifest))


def _defaults(dataset: str) -> DatasetDefaults:
    from ..runtime.policies.first_threshold import DatasetDefaults

    reader = DATASETS.get(dataset)
    return DatasetDefaults(dataset, reader.first_threshold, getattr(reader, "output", "softmax"))


def _videos(dataset: str | None, data: Path | None, count: int | None) -> CalibrationVideos | None:
    if dataset is None:
        if data is not None or count is not None:
            raise UsageError(
                "--calibrate-data and --calibrate-videos work only with --calibrate", "add --calibrate DATASET"
            )
        return None
    from ..bench.datasets import load_dataset
    from ..bench.datasets.calibration import calibration_videos

    videos = calibration_videos(load_dataset(dataset, data), count or _VIDEOS)
    if count is not None and count > len(videos.videos):
        note(f"{dataset} has only {len(videos.videos)} videos; using all of them for calibration")
    return videos


def _note_skipped(videos: CalibrationVideos) -> None:
    if videos.skipped:
        names = ", ".join(item.key for item in videos.skipped[:3]) + (", ..." if len(videos.skipped) > 3 else "")
        note(f"{len(videos.skipped)} calibration videos could not be decoded and were skipped ({names})")


def _document(out: Path, manifest: Manifest) -> dict[str, object]:
    return {
        "bundle": str(out),
        "network": manifest.network,
        "input_size": {
            "pixels": manifest.preprocessing.input_size,
            "origin": manifest.source.input_size_origin,
            "recorded": manifest.source.recorded_input_size,
        },
        "precisions": {name: spec.model_dump(mode="json") for name, spec in manifest.precision_details.items()},
        "checks": {name: check.model_dump(mode="json") for name, check in manifest.checks.items()},
    }


def _lines(out: Path, manifest: Manifest) -> list[str]:
    from ..runtime.families import family_of
    from .common.precision_table import check_line, kept_line

    lines = [
        f"{out}: {manifest.network}, {len(manifest.parts)} parts, {manifest.classes} classes",
        *(f"input {text}" for name, text in family_of(manifest).describe(manifest) if name == "input"),
        f"input size {input_size_text(manifest)}",
        *(f"{name}: {text}" for name, text in family_of(manifest).describe(manifest) if name == "gate sets"),
    ]
    lines += [f"{precision} against PyTorch: {check_line(check)}" for precision, check in manifest.checks.items()]
    kept = ((precision, kept_line(spec)) for precision, spec in manifest.precision_details.items())
    return lines + [f"{precision}: {line}" for precision, line in kept if line is not None]
