"""Workload: the full-size network of the goldens, and its clips as pixels, JPEG folders and video files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.golden.make_checkpoint import state_dict
from tests.golden.make_clips import float_clip, uint8_clip

CROWD = range(24)  # enough to refill eight slots; the mean exit step is close to that of all forty clips
CLIPS = (0, 2, 4, 5, 9, 11, 12, 15)  # exit steps spread over the ten
_VIDEO_FRAMES = 300


def save_checkpoint(path: Path) -> Path:
    torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, path)
    return path


def pixels(clips: Sequence[int]) -> list[NDArray[np.float32]]:
    return [float_clip(0, index) for index in clips]


def jpeg_folders(root: Path, clips: Sequence[int]) -> list[Path]:
    """Write each clip as ten JPEGs of 256 x 320, the storage format of FrameExit's data sets."""
    folders = []
    for index in clips:
        folder = root / f"{index:02d}"
        folder.mkdir(parents=True)
        for number, frame in enumerate(uint8_clip(0, index), start=1):
            Image.fromarray(frame).save(folder / f"frame_{number:04d}.jpeg", quality=95)
        folders.append(folder)
    return folders


def videos(root: Path, group_of_pictures: int, clips: Sequence[int]) -> list[Path]:
    """Write each clip as ten seconds of H.264 at 30 frames/s, with B-frames.

    There is a key frame at least every ``group_of_pictures`` frames. Each of the clip's ten frames is shown for a tenth
    of the time while it drifts sideways.
    """
    root.mkdir(parents=True)
    return [_video(root / f"{index:02d}.mp4", uint8_clip(0, index), group_of_pictures) for index in clips]


def _video(path: Path, frames: NDArray[np.uint8], group_of_pictures: int) -> Path:
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "bf": "3", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.gop_size = group_of_pictures
        for number in range(_VIDEO_FRAMES):
            picture = np.roll(frames[number * len(frames) // _VIDEO_FRAMES], number % 30, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
