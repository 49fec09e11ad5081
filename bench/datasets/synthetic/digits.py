"""Synthetic digit videos for the demo: a handwritten digit moving through clutter, generated without a download.

Some videos show the digit clearly in every frame, others in only one frame out of ten; in their other frames, the digit
is half covered, blurred or absent. Some predictions therefore need one frame and others many, and early exits save
compute. The bytes of a video depend only on its split and index and are the same on every machine and numpy version,
because they are computed from raw PCG64 words with exact integer arithmetic (matrix products of integers whose sums
stay below 2**24, exact in float32 in any summation order).
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ....errors import MissingError
from .portable_random import Ints, PortableRandom, check_video_index

Split = Literal["training", "validation", "gates", "test"]

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAINING_VIDEOS = 48_000
VALIDATION_VIDEOS = 400
GATES_VIDEOS = 3000
TEST_VIDEOS = 2000
FRAMES = 10
SIZE = 64

SIZES = {
    "training": TRAINING_VIDEOS,
    "validation": VALIDATION_VIDEOS,
    "gates": GATES_VIDEOS,
    "test": TEST_VIDEOS,
}
_KEYS = {"validation": 0, "training": 1, "gates": 2, "test": 3}
_SHOWN_IN_TRAINING = ("training", "gates")  # the splits that use the handwriting of the training videos
_SEED = 20210426
_CELLS = 8  # a scikit-learn digit is 8x8 cells, each with 0..16 of ink
_INK = 128  # full ink; int16 holds 128 * 255
_FRAGMENTS = 2  # pieces of other digits in each frame
_BLURRED, _ABSENT, _CLEAR = 60, 80, 100  # of the others, 60 percent are half covered, 20 blurred, 20 absent


def digit_label(split: Split, index: int) -> int:
    """Return the class (0 to 9, the digit itself) of video ``index``; the classes are equally frequent."""
    _check(split, index)
    return index % len(CLASS_NAMES)


def digit_video(split: Split, index: int, *, plain: bool = False) -> NDArray[np.uint8]:
    """Draw video ``index`` of a split.

    The training videos share their handwriting with the videos that the gates are fitted on, and the validation videos
    share theirs with the test videos; everything else is drawn separately for each video.

    Args:
        plain: show only the digit, clearly in every frame; used to pre-train backbones.

    Returns:
        RGB frames in temporal order, uint8 ``[10, 64, 64, 3]``.

    Raises:
        MissingError: scikit-learn, which provides the digits, is not installed.
        UsageError: there is no such split or video.
    """
    label = digit_label(split, index)
    rng = PortableRandom(_SEED, _KEYS[split], index)
    pool = _digits(split)
    own = pool[label]
    digit = own[index // len(CLASS_NAMES) % len(own) if split == "validation" else rng.integer(0, len(own) - 1)]
    background = _background(rng)
    middle = int(background.sum(dtype=np.int64) // background.size)
    clear = FRAMES if plain else rng.integer(1, FRAMES)
    ink = _digit_ink(rng, digit, clear)
    if not plain:
        ink = np.maximum(ink, _clutter_ink(rng, pool))
    video = background + ((_ink_color(rng, middle) - background) * ink[..., None] >> 7)
    grain = rng.integer(4, 16)
    noise = rng.random_bytes(video.size).reshape(video.shape).astype(np.int16)
    video += (noise - 128) * np.int16(grain) >> 7
    return np.clip(video, 0, 255, out=video).astype(np.uint8)


def _digit_ink(rng: PortableRandom, digit: Ints, clear: int) -> NDArray[np.int16]:
    # The digit's own path through the frames, int16 [10, 64, 64]: clear, half covered, blurred or absent.
    size = rng.integer(32, 42)
    steps = np.arange(FRAMES)
    y, x = (_bounce(rng.integer(0, 400) + steps * rng.integer(-7, 7), SIZE - size) + size // 2 for _ in range(2))
    kinds = rng.integers(FRAMES, 0, 99)
    kinds[np.argsort(rng.integers(FRAMES, 0, 2**32), kind="stable")[:clear]] = _CLEAR
    softness = np.where((kinds >= _BLURRED) & (kinds < _ABSENT), 48, 16)
    cells = np.broadcast_to(digit, (FRAMES, 1, _CELLS, _CELLS))
    ink = _draw(cells, y[:, None], x[:, None], np.full((FRAMES, 1), size), softness[:, None])
    ink[(kinds >= _ABSENT) & (kinds < _CLEAR)] = 0
    shown = rng.integers(FRAMES, 35, 65) * size // 100
    sides = rng.integers(FRAMES, 0, 3)
    for frame in np.flatnonzero(kinds < _BLURRED):
        _cover(ink[frame], int(sides[frame]), (int(y[frame]), int(x[frame])), size, int(shown[frame]))
    return ink


def _cover(ink: NDArray[np.int16], side: int, center: tuple[int, int], size: int, shown: int) -> None:
    # Keep `shown` pixels of the digit on one side (top, bottom, left, right) and clear the rest.
    along = ink if side < 2 else ink.T
    first = center[side // 2] - size // 2
    if side % 2 == 0:
        along[first + shown :] = 0
    else:
        along[: first + size - shown] = 0


def _clutter_ink(rng: PortableRandom, pool: tuple[Ints, ...]) -> NDArray[np.int16]:
    # Fragments of 4x4 cells of other digits, moved in every frame, int16 [10, 64, 64].
    count = FRAMES * _FRAGMENTS
    classes = rng.integers(count, 0, len(pool) - 1)
    picks = rng.integers(count, 0, 2**32)
    pieces = np.zeros((count, _CELLS, _CELLS), np.int64)
    tops, lefts = rng.integers(count, 0, 4), rng.integers(count, 1, 3)
    for piece, which, pick, top, left in zip(pieces, classes, picks, tops, lefts):
        window = slice(top, top + 4), slice(left, left + 4)
        piece[window] = pool[which][pick % len(pool[which])][window]
    shape = (FRAMES, _FRAGMENTS)
    y, x, size = (rng.integers(count, low, high).reshape(shape) for low, high in ((0, 63), (0, 63), (24, 40)))
    return _draw(pieces.reshape(*shape, _CELLS, _CELLS), y, x, size, np.full(shape, 16))


def _background(rng: PortableRandom) -> NDArray[np.int16]:
    # A coarse random texture in color that the camera pans over, int16 [10, 64, 64, 3].
    base, swing = rng.integer(50, 200), rng.integer(10, 60)
    cells = (
        rng.integers(3 * _CELLS**2, -swing, swing).reshape(3, _CELLS, _CELLS) + rng.integers(3, -25, 25)[:, None, None]
    )
    length = SIZE + 2 * FRAMES
    axis = _axis(length // 2, length * 2, 32, length)
    field = (axis @ (cells + 128).astype(np.float32) @ axis.T).astype(np.int32) // 256**2 - 128
    texture = np.clip(field.transpose(1, 2, 0) + base, 0, 255).astype(np.int16)
    down, right = rng.integer(-2, 2), rng.integer(-2, 2)
    corners = ((FRAMES + down * t // 2, FRAMES + right * t // 2) for t in range(FRAMES))
    return np.stack([texture[top : top + SIZE, left : left + SIZE] for top, left in corners])


def _ink_color(rng: PortableRandom, middle: int) -> NDArray[np.int16]:
    # Lighter or darker than the background, with a contrast that varies by video.
    contrast = rng.integer(70, 130)
    lighter = middle + contrast <= 255 and (rng.integer(0, 1) == 1 or middle - contrast < 0)
    return np.clip(middle + (contrast if lighter else -contrast) + rng.integers(3, -20, 20), 0, 255).astype(np.int16)


def _draw(cells: Ints, y: Ints, x: Ints, size: Ints, softness: Ints) -> NDArray[np.int16]:
    # Render cells [n, k, 8, 8], k per frame, at pixel positions, sizes and softness [n, k]: int16 [n, 64, 64].
    n, k = y.shape
    keys = (zip(center.flat, size.flat, softness.flat) for center in (y, x))
    rows, columns = (np.stack([_axis(*map(int, key)) for key in axis]).reshape(n, k, SIZE, _CELLS) for axis in keys)
    tall = rows @ cells.astype(np.float32)
    wide = columns.transpose(0, 1, 3, 2).reshape(n, k * _CELLS, SIZE)
    ink: NDArray[np.int16] = (tall.transpose(0, 2, 1, 3).reshape(n, SIZE, k * _CELLS) @ wide // 2**13).astype(np.int16)
    return np.minimum(ink, _INK)  # 16 * 256 * 256 / 2**13 = 128


@functools.lru_cache(4096)
def _axis(center: int, size: int, softness: int, length: int = SIZE) -> NDArray[np.float32]:
    # Weight [length, 8] of each cell at each pixel of an axis, in 1/256: a tent of half width `softness` / 16 cells.
    pixel = (2 * (np.arange(length) - center) + 1) * 64 // size + 64  # in 1/16 cell
    tent = softness - np.abs(pixel[:, None] - (16 * np.arange(_CELLS) + 8))
    weights: NDArray[np.float32] = (np.maximum(tent, 0) * 4096 // softness**2).astype(np.float32)
    return weights


def _bounce(position: Ints, room: int) -> Ints:
    # Fold a straight path into 0..room.
    folded = position % (2 * room)
    return np.minimum(folded, 2 * room - folded)


@functools.cache
def _digits(split: Split) -> tuple[Ints, ...]:
    # The digits of a split by class, int64 [n, 8, 8]; every fifth digit of a class is for validation and test.
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingError("the demo's digits need scikit-learn", "pip install scikit-learn") from None
    images, labels = load_digits(return_X_y=True)
    cells = images.reshape(-1, _CELLS, _CELLS).astype(np.int64)
    positions = (np.flatnonzero(labels == label) for label in range(len(CLASS_NAMES)))
    trained = split in _SHOWN_IN_TRAINING
    return tuple(cells[[p for n, p in enumerate(own) if (n % 5 != 0) == trained]] for own in positions)


def _check(split: str, index: int) -> None:
    check_video_index("the digits", SIZES, split, index)
