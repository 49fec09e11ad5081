"""Synthetic motion videos: the class is the motion of a blob, so a single frame carries no class information.

The pace of a motion varies by video: a few frames suffice for a slow one, but with only 4 frames, a fast one moves so
far between frames that right is indistinguishable from left. Positions are on a torus and start anywhere, and the sizes
of a growing blob have the same distribution as those of a constant one, so a single frame has exactly the same
distribution for every class. The bytes of a video depend only on its split and index: they are computed from raw PCG64
words with integer arithmetic.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .portable_random import Ints, PortableRandom, check_video_index

Split = Literal["training", "validation", "test"]

CLASS_NAMES = (
    "right",
    "left",
    "down",
    "up",
    "clockwise",
    "anticlockwise",
    "growing",
    "shrinking",
    "swinging sideways",
    "swinging up and down",
)
TRAINING_VIDEOS = 100_000
VALIDATION_VIDEOS = 400
TEST_VIDEOS = 400
FRAMES = (32, 48)
SIZE = 48

SIZES = {"training": TRAINING_VIDEOS, "validation": VALIDATION_VIDEOS, "test": TEST_VIDEOS}
_KEYS = {"validation": 0, "training": 1, "test": 2}
_SEED = 20230326
_CYCLE = 1024  # phases are counted in 1/1024 of a cycle
_PACE = (8, 48)  # cycles in a video, in 1/16
_BLOB = (9, 20)  # side of a blob in pixels
_REACH = (8, 15)  # radius of a circle or half the width of a swing, in pixels
_CELLS = 4  # a blob is 4x4 cells, full or empty
_RESTING = 1  # maximum number of blobs that do not move
_TILE = 8


class _Path(NamedTuple):
    # A blob's center and side in pixels, int64 [frames].
    y: Ints
    x: Ints
    side: Ints


def motion_label(split: Split, index: int) -> int:
    """Return the class (0 to 9, an index into ``CLASS_NAMES``) of video ``index``; classes are equally frequent."""
    _check(split, index)
    return index % len(CLASS_NAMES)


def motion_video(split: Split, index: int) -> NDArray[np.uint8]:
    """Draw video ``index`` of a split.

    Returns:
        RGB frames in temporal order, uint8 ``[32 to 48, 48, 48, 3]``.

    Raises:
        UsageError: there is no such split or video.
    """
    label = motion_label(split, index)
    rng = PortableRandom(_SEED, _KEYS[split], index)
    frames = rng.integer(*FRAMES)
    video = _background(rng, frames)
    middle = int(video.sum(dtype=np.int64) // video.size)
    for _ in range(rng.integer(0, _RESTING)):
        _paint(video, rng, _path(rng, frames, None), middle)
    _paint(video, rng, _path(rng, frames, CLASS_NAMES[label]), middle)
    grain = rng.integer(4, 24)
    noise = rng.random_bytes(video.size).reshape(video.shape).astype(np.int16)
    video += (noise - 128) * np.int16(grain) >> 7
    return np.clip(video, 0, 255, out=video).astype(np.uint8)


def _path(rng: PortableRandom, frames: int, name: str | None) -> _Path:
    phase = rng.integer(0, _CYCLE - 1) + rng.integer(*_PACE) * (_CYCLE // 16) * np.arange(frames) // frames
    y, x, side = (np.full(frames, rng.integer(*limits)) for limits in ((0, SIZE - 1), (0, SIZE - 1), _BLOB))
    reach = rng.integer(*_REACH)
    if name in ("left", "up", "anticlockwise", "shrinking"):
        phase = -phase
    if name in ("right", "left"):
        x = x + SIZE * phase // _CYCLE
    elif name in ("down", "up"):
        y = y + SIZE * phase // _CYCLE
    elif name in ("growing", "shrinking"):
        side = _BLOB[0] + (_BLOB[1] - _BLOB[0] + 1) * (phase % _CYCLE) // _CYCLE
    if name in ("clockwise", "anticlockwise", "swinging sideways"):
        x = x + _wave(phase + _CYCLE // 4, reach)
    if name in ("clockwise", "anticlockwise", "swinging up and down"):
        y = y + _wave(phase, reach)
    return _Path(y, x, side)


def _wave(phase: Ints, reach: int) -> Ints:
    # A sine made of two parabolas, exact in integers: -reach to reach.
    half = _CYCLE // 2
    along = phase % half
    bow = 4 * reach * along * (half - along) // half**2
    return np.where(phase % _CYCLE < half, bow, -bow)


def _paint(video: NDArray[np.int16], rng: PortableRandom, path: _Path, middle: int) -> None:
    # Draw one blob into int16 [frames, size, size, 3], lighter or darker than the middle of the background.
    cells = np.zeros((_CELLS + 1, _CELLS + 1), bool)  # the last row and column stand for the area outside the blob
    cells[:_CELLS, :_CELLS] = rng.integers(_CELLS**2, 0, 2).reshape(_CELLS, _CELLS) > 0
    color = np.clip(middle + rng.integer(80, 140) + rng.integers(3, -20, 20), 0, 255).astype(np.int16)
    rows, columns = (_cell_index(center, path.side) for center in (path.y, path.x))
    np.copyto(video, color, where=cells[rows[:, :, None], columns[:, None, :], None])


def _cell_index(center: Ints, side: Ints) -> Ints:
    # Cell of the blob at each pixel of an axis, int64 [frames, size]; `_CELLS` outside the blob.
    along = (np.arange(SIZE) - (center - side // 2)[:, None]) % SIZE
    return np.minimum(along * _CELLS // side[:, None], _CELLS)


def _background(rng: PortableRandom, frames: int) -> NDArray[np.int16]:
    # Random tiles in color that the camera pans over, int16 [frames, size, size, 3].
    base, swing = rng.integer(30, 110), rng.integer(2, 15)
    tiles = base + rng.integers(SIZE // _TILE * SIZE // _TILE, -swing, swing).reshape(SIZE // _TILE, -1, 1)
    tiles = tiles + rng.integers(3, -15, 15)
    wide = np.tile(np.clip(tiles.repeat(_TILE, 0).repeat(_TILE, 1), 0, 255).astype(np.int16), (2, 2, 1))
    tops, lefts = (rng.integer(-4, 4) * np.arange(frames) // 8 % SIZE for _ in range(2))
    return np.stack([wide[top : top + SIZE, left : left + SIZE] for top, left in zip(tops, lefts)])


def _check(split: str, index: int) -> None:
    check_video_index("the motions", SIZES, split, index)
