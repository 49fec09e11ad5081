"""The clips of a benchmark: a data set, a folder of unlabeled clips, or generated ones.

The default is a built-in data set with the network's classes, if there is one, as for the demo networks. For any other
network, clips are generated; their exit steps say nothing about real videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, FrameError, MissingError, UsageError
from ...input_files import has_extension, is_hidden
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.families import family_of
from ...runtime.video.image_file import image_names
from ...runtime.video.open import open_frames
from ...runtime.video.source import ArrayFrames, FrameSource
from ..datasets.base import Dataset, Video
from ..datasets.folder import VIDEO_EXTENSIONS
from ..datasets.registry import DATASETS, load_dataset
from ..run.setup import match_classes

GENERATED = "generated"
_GENERATED_CLIPS = 24
_HEIGHT, _WIDTH = 256, 320  # the size at which FrameExit's data sets are stored


@dataclass(frozen=True)
class ClipSet:
    """Which clips to run: a data set, the files in ``folder``, or neither to let vbench choose."""

    dataset: str | None = None
    data: Path | None = None
    folder: Path | None = None

    def check(self) -> None:
        """Raise UsageError if the choice is contradictory."""
        if self.folder is not None and (self.dataset is not None or self.data is not None):
            raise UsageError("--clips cannot be combined with --dataset or --data", "omit one of them")
        if self.data is not None and self.dataset is None:
            raise UsageError("--data can be used only with --dataset", "add the name of the data set")

    def load(self, bundle: Bundle[Manifest]) -> Dataset:
        """Return the clips, with the network's class indices if they are labeled.

        Raises:
            DatasetError, MissingError: they cannot be read.
        """
        if self.folder is not None:
            return _folder(self.folder)
        if self.dataset is not None:
            return match_classes(load_dataset(self.dataset, self.data), bundle)
        return _built_in(bundle) or _generated(bundle.manifest)

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON; see `from_record`."""
        paths = {
            name: None if path is None else str(path) for name, path in (("data", self.data), ("folder", self.folder))
        }
        return {"dataset": self.dataset, **paths}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ClipSet:
        """Return the choice from its record.

        Raises:
            KeyError: a field is missing.
        """
        data, folder = (None if record[name] is None else Path(record[name]) for name in ("data", "folder"))
        return cls(record["dataset"], data, folder)


def _folder(root: Path) -> Dataset:
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "pass a folder of video files or of folders of images")
    videos = [Video(path.name, (), partial(open_frames, path)) for path in sorted(root.iterdir()) if _is_clip(path)]
    if not videos:
        raise DatasetError(
            f"{root} contains no clips", f"put video files ({', '.join(VIDEO_EXTENSIONS)}) or folders of images there"
        )
    return Dataset("clips", (), tuple(videos), (), "top1", split=None).with_valid_names()


def _is_clip(path: Path) -> bool:
    if is_hidden(path.name):
        return False
    try:
        return bool(image_names(path)) if path.is_dir() else has_extension(path.name, VIDEO_EXTENSIONS)
    except FrameError:
        return False


def _built_in(bundle: Bundle[Manifest]) -> Dataset | None:
    """Return the first data set that needs no files and has the network's classes."""
    names = bundle.manifest.class_names
    for name in DATASETS if names else ():
        try:
            if DATASETS.get(name).needs_folder:
                continue
            dataset = load_dataset(name)
        except MissingError:
            continue
        if sorted(dataset.class_names) == sorted(names or ()):
            return match_classes(dataset, bundle)
    return None


def _generated(manifest: Manifest) -> Dataset:
    steps = family_of(manifest).steps(manifest)
    frames = max(len(steps), *(step.frames * step.clips for step in steps))
    keys = [f"{GENERATED}_{index:02d}" for index in range(_GENERATED_CLIPS)]
    videos = tuple(Video(key, (), partial(_draw, index, frames)) for index, key in enumerate(keys))
    return Dataset(GENERATED, (), videos, (), "top1", split=None)


def _draw(index: int, frames: int) -> FrameSource:
    return ArrayFrames(draw_clip(index, frames))


def draw_clip(index: int, frames: int) -> NDArray[np.uint8]:
    """Return a drifting pattern of smooth blobs, uint8 RGB ``[frames, 256, 320, 3]``; it depends on ``index`` alone."""
    rng = np.random.default_rng(index)
    coarse = rng.integers(0, 256, (_HEIGHT // 32 + 1, _WIDTH // 32 + 1, 3)).astype(np.float32)
    rows, columns = (np.linspace(0, size - 1.001, length) for size, length in zip(coarse.shape, (_HEIGHT, _WIDTH)))
    down, right = rows.astype(int), columns.astype(int)
    low, left = (rows - down)[:, None, None].astype(np.float32), (columns - right)[None, :, None].astype(np.float32)
    upper = coarse[down][:, right] * (1 - left) + coarse[down][:, right + 1] * left
    lower = coarse[down + 1][:, right] * (1 - left) + coarse[down + 1][:, right + 1] * left
    image = (upper * (1 - low) + lower * low).astype(np.uint8)
    speed = int(rng.integers(1, 6))
    return np.stack([np.roll(image, speed * number, axis=1) for number in range(frames)])


def limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Return the first ``limit`` videos of a data set (None: all)."""
    return replace(dataset, videos=dataset.videos[:limit])
