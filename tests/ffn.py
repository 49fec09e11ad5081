"""Uniform access to the goldens of frame-flexible networks: checkpoints, clips, logits, costs and video scores."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tests import ffn2d, ffn3d
from tests.bundle_cache import cached_export
from tests.golden.ffn2d import make_checkpoint as checkpoints2d
from tests.golden.ffn3d import make_checkpoint as checkpoints3d
from tests.golden.ffn3d import make_clips as clips3d
from vbench.export.exporter import export_checkpoint
from vbench.export.options import ExportOptions
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, frames_part
from vbench.runtime.networks.base import Network

MODELS = (*checkpoints2d.MODELS, *checkpoints3d.MODELS)
CLIPS = 3  # in the goldens, per network and frame count
_ALIGNMENT = 64  # of a tensor in the weights file


def counts(model: str) -> tuple[int, ...]:
    """The frame counts with golden logits."""
    if _is_2d(model):
        return ffn2d.counts(model)
    names = (name.split("/") for name in ffn3d.golden())
    return tuple(sorted(int(name[1][1:]) for name in names if (name[0], *name[2:]) == (model, "logits")))


def trained(model: str) -> tuple[int, ...]:
    """The frame counts for which the frame-flexible networks have branches."""
    return tuple(count for count in counts(model) if count in ((16, 32, 64) if _is_slowfast(model) else (4, 8, 16)))


def tolerance(model: str) -> float:
    """Absolute tolerance of logits."""
    return 1e-4 if _is_2d(model) else ffn3d.TOLERANCE


def score_tolerance(model: str) -> float:
    """Absolute tolerance of video scores: a sum over the logits of three crops, or probabilities."""
    return 1e-5 if _is_slowfast(model) else 3 * ffn3d.TOLERANCE


def save(model: str, folder: Path) -> Path:
    """Write the full-size checkpoint of the goldens in the authors' format."""
    if _is_2d(model):
        content, digest = checkpoints2d.checkpoint(model)
        assert digest == json.loads(str(ffn2d.golden()["meta"]))["digest"][model]
    else:
        content, digest = checkpoints3d.checkpoint(model, seed=ffn3d.ORIGINALS["checkpoint_seed"])
        assert digest == ffn3d.ORIGINALS["tensors_sha256"][model]
    path = folder / f"{model}.{'pth.tar' if _is_2d(model) else 'pyth'}"
    torch.save(content, path)
    return path


def export(checkpoint: Path, out: Path, options: ExportOptions) -> Bundle[FlexibleManifest]:
    """Export without the comparison with PyTorch; the goldens are a stronger check."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vbench.export.frame_counts.FrameCountExporter.verify", lambda *_: {})
        bundle = export_checkpoint(checkpoint, out, options)
    assert isinstance(bundle.manifest, FlexibleManifest)
    return Bundle(bundle.path, bundle.manifest)


def cached(checkpoint: Path, out: Path, options: ExportOptions) -> Bundle[FlexibleManifest]:
    """Export through the tests' bundle cache."""
    bundle = cached_export(checkpoint, out, options, export=export)
    assert isinstance(bundle.manifest, FlexibleManifest)
    return Bundle(bundle.path, bundle.manifest)


def logits(model: str, frames: int) -> NDArray[np.float32]:
    """The original's logits, ``[CLIPS, 174]``; for the plain SlowFast the logarithm of its averaged probabilities."""
    if _is_2d(model):
        return ffn2d.golden()[f"{model}/T{frames}/logits"]
    if model == "slowfast":
        return np.log(ffn3d.golden()[f"{model}/T{frames}/output"])
    return ffn3d.golden()[f"{model}/T{frames}/logits"]


def pixels(model: str, frames: int, clip: int) -> NDArray[np.float32]:
    """A golden clip as network input, ``[frames, 3, h, w]``."""
    if _is_2d(model):
        return ffn2d.pixels(frames, clip + 1)[clip].numpy()
    return np.ascontiguousarray(ffn3d.clip(model, frames, clip)[0].numpy())


def difference(network: Network, model: str, frames: int, clips: int = CLIPS) -> float:
    """The largest logit difference from the original over the first ``clips`` clips."""
    actual = [network.predict(pixels(model, frames, clip)).logits for clip in range(clips)]
    return float(np.abs(np.stack(actual) - logits(model, frames)[:clips]).max())


def reference_macs(model: str, frames: int) -> int:
    """Multiply-accumulates of the original for one clip.

    The goldens of TSM and TEA have three frame counts; the cost of the others is proportional.
    """
    if not _is_2d(model):
        return int(ffn3d.ORIGINALS["macs_per_view"][model][f"T{frames}"])
    return int(ffn2d.golden()[f"macs/{model}/T4"]) * frames // 4


def macs_ratio(bundle: Bundle[FlexibleManifest], model: str, frames: int) -> float:
    return bundle.manifest.parts[frames_part(frames)].macs / reference_macs(model, frames)


def videos(model: str) -> list[tuple[int, int]]:
    """The videos and frame counts with golden scores of the original loader."""
    prefix = f"{model}/loader/source"
    names = (name.removeprefix(prefix).split("/") for name in ffn3d.golden() if name.startswith(prefix))
    return sorted((int(name[0]), int(name[1][1:])) for name in names if name[2] == "video_score")


@functools.cache
def video(number: int) -> NDArray[np.uint8]:
    """A complete video, before sampling, resizing and cropping, ``[length, H, W, 3]``."""
    height, width = clips3d.SOURCE_SIZES[number]
    return np.stack([clips3d.frame(700 + number, time, height, width) for time in range(clips3d.LENGTH)])


def score_difference(network: Network, model: str, number: int, frames: int) -> float:
    """The largest difference from the original loader's score of a video, from decoded frames.

    The score is the sum over the crops of logits (Uniformer, where ours are the mean) or of probabilities (SlowFast,
    which has one crop).
    """
    prediction = network.predict(video(number), frames=frames)  # type: ignore[call-arg]
    expected = ffn3d.golden()[f"{model}/loader/source{number}/T{frames}/video_score"]
    crops = len(ffn3d.golden()[f"{model}/loader/source{number}/T{frames}/crop_logits"])
    actual = prediction.probabilities if _is_slowfast(model) else crops * prediction.logits
    return float(np.abs(actual - expected).max())


def bundle_bytes(bundle: Bundle[FlexibleManifest], frames: Sequence[int] | None = None) -> int:
    """Bytes of graphs and weights; with ``frames``, of a bundle limited to those counts."""
    chosen = bundle.manifest.frame_counts if frames is None else frames
    graphs = [bundle.part_file(part, "fp32") for part in ("preprocess", *map(frames_part, chosen))]
    places: dict[int, int] = {}
    for graph in graphs:
        for tensor in onnx.load(graph, load_external_data=False).graph.initializer:
            place = {entry.key: entry.value for entry in tensor.external_data}
            if place:
                places[int(place["offset"])] = int(place["length"])
    return sum(graph.stat().st_size for graph in graphs) + sum(
        length + -length % _ALIGNMENT for length in places.values()
    )


def _is_2d(model: str) -> bool:
    return model in checkpoints2d.MODELS


def _is_slowfast(model: str) -> bool:
    return model.startswith("slowfast")
