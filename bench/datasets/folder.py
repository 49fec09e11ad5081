"""User-provided videos: one subfolder per class, with video files or folders of images.

    data/boxing/clip_01.mp4
    data/boxing/clip_02/frame_0001.jpeg ...
    data/waving/...

Class names are the sorted subfolder names; a video's key is `<class>/<name>`. Entries that are neither a video nor a
folder of images are reported as left out. Hidden files are ignored.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...errors import DatasetError, FrameError
from ...input_files import has_extension, is_hidden
from ...runtime.video.image_file import image_names
from ...runtime.video.open import open_frames
from .base import Dataset, LeftOut, Video
from .registry import PILLOW, PYAV, FolderDataset, Requirement

VIDEO_EXTENSIONS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
_HINT = "create one subfolder per class, and put its videos (or folders of images) there"


def load(root: Path) -> Dataset:
    """Return the data set in `root`; its metric is top-1.

    Raises:
        DatasetError: there are no class folders, or none of them contains a video.
        MissingError: a package that decodes the videos or images is missing.
    """
    names = tuple(path.name for path in _visible(root) if path.is_dir())
    videos: list[Video] = []
    left_out: list[LeftOut] = []
    requires: set[Requirement] = set()  # only for what the folder contains: images need no video decoder
    for position, name in enumerate(names):
        for path in _visible(root / name):
            key = f"{name}/{path.name}"
            reason = _left_out_reason(path)
            if reason:
                left_out.append(LeftOut(key, reason))
            else:
                videos.append(Video(key, (position,), partial(open_frames, path)))
                requires.add(PILLOW if path.is_dir() else PYAV)
    if not videos:
        raise DatasetError(f"none of the {len(names)} class folders in {root} contains a video", _HINT)
    for requirement in requires:
        requirement.check("folder")
    videos.sort(key=lambda video: video.key)
    return Dataset("folder", names, tuple(videos), tuple(left_out), "top1", split=None)


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        raise DatasetError(f"cannot list {folder}: {error.strerror}", _HINT) from error


def _left_out_reason(path: Path) -> str | None:
    if not path.is_dir():
        known = has_extension(path.name, VIDEO_EXTENSIONS)
        return None if known else f"not a video (video names end in {', '.join(VIDEO_EXTENSIONS)})"
    try:
        return None if image_names(path) else "a folder without images"
    except FrameError as error:
        return str(error)


READER = FolderDataset(load)
