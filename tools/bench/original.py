"""Baseline: eager PyTorch as in the original, batch size one, all ten frames decoded and preprocessed first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from vbench.runtime.inputs.base import ReadCost
from vbench.runtime.networks.base import Network
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult
from vbench.runtime.video.full_decoder import Decoder
from vbench.runtime.video.open import open_frames
from vbench.runtime.video.orientation import to_rgb
from vbench.runtime.video.sampling import linspace_positions


def original(network: Network, clips: Sequence[Path] | Sequence[NDArray[np.float32]]) -> list[ClipResult]:
    """Run every clip as the original does; reading is counted as decoding and preprocessing."""
    return [_one(network, clip) for clip in clips]


def whole_videos(network: Network, clips: Sequence[Path]) -> list[ClipResult]:
    """Decode every frame of a video file before the first step, like a reader that counts frames by decoding."""
    return [_from_frames(network, *_decode_video(clip, network.steps)) for clip in clips]


def _one(network: Network, clip: Path | NDArray[np.float32]) -> ClipResult:
    if isinstance(clip, np.ndarray):
        return next(network.stream([clip], StreamOptions()))
    return _from_frames(network, *_decode_folder(clip, network.steps))


def _from_frames(network: Network, frames: Sequence[NDArray[np.uint8]], decode_s: float, decoded: int) -> ClipResult:
    begin = perf_counter()
    engine = network.engine
    pixels = [engine.get(engine.run("preprocess", engine.put(frame[None]))) for frame in frames]
    preprocess_s = perf_counter() - begin
    result = next(network.stream([np.concatenate(pixels)], StreamOptions()))
    result.cost.read = ReadCost(len(frames), decoded, decode_s, preprocess_s)
    return result


def _decode_folder(folder: Path, count: int) -> tuple[list[NDArray[np.uint8]], float, int]:
    begin = perf_counter()
    source = open_frames(folder)
    frames = [source.read(position) for position in linspace_positions(len(source), count)]
    return frames, perf_counter() - begin, source.frames_decoded


def _decode_video(path: Path, count: int) -> tuple[list[NDArray[np.uint8]], float, int]:
    begin = perf_counter()
    pictures = list(Decoder(path))
    frames = [to_rgb(pictures[position]) for position in linspace_positions(len(pictures), count)]
    return frames, perf_counter() - begin, len(pictures)
