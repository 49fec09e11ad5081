"""Data sets of the Frame Flexible Network: list files, frame folders and rules.

A list gives the number of frames and the class of each video; frames are numbered image files. Videos listed with
fewer than 3 frames are left out, as in the original, and so are those without a frame folder (the original substitutes
a random video). `ffn_files.LAYOUTS` defines the files, `locate_frames` the frame folders.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from ...errors import DatasetError, FrameError
from ...runtime.video.image_file import image_names
from ...runtime.video.listed_frames import ListedFrames
from .base import Dataset, LeftOut, Video
from .ffn_files import LAYOUTS, FFNLayout, Listing, read_listing
from .ffn_lists import ListRow
from .registry import PILLOW, FolderDataset

FEWEST_FRAMES = 3
FRAME_ROOTS = ("", "images", "frames")
NO_FOLDER = "no frame folder"


def locate_frames(listing: Listing) -> tuple[Path, ...]:
    """Return the frame folder of every row, whether or not it exists.

    Paths in a list include a root (`something_v1/20bn-something-something-v1/123`, or an absolute path). Therefore, the
    whole path is tried in the home folder and in its subfolders `images` and `frames`, then the path without its first
    component, and so on, as long as the paths remain distinct. The first variant with an existing folder applies to all
    videos.
    """
    paths = [row.path for row in listing.rows]
    for kept in range(max(path.count("/") for path in paths) + 1, 0, -1):
        tails = [_tail(path, kept) for path in paths]
        if len(set(tails)) < len(paths):
            break
        for root in (listing.home / name for name in FRAME_ROOTS):
            # joined as strings: building a Path per row takes longer than the disk access
            if any(os.path.isdir(f"{root}/{tail}") for tail in tails):  # noqa: PTH112
                return tuple(root / tail for tail in tails)
    return tuple(listing.home / "frames" / path for path in paths)


def _tail(path: str, kept: int) -> str:
    return "/".join(path.split("/")[-kept:])


def frames_of(row: ListRow, folder: Path, frame_name: str) -> int:
    """Return a video's number of frames: from the list or, if the list omits it, by counting matching image files.

    Raises:
        FrameError: the video cannot be used.
    """
    frames = row.frames
    if frames is None or frames >= FEWEST_FRAMES:
        if not os.path.isdir(folder):  # noqa: PTH112 - False, not an error, for names that are too long
            raise FrameError(NO_FOLDER)
        frames = _count(folder, frame_name) if frames is None else frames
    if frames < FEWEST_FRAMES:
        raise FrameError(f"the video has {frames} frames, fewer than {FEWEST_FRAMES}")
    return frames


def _count(folder: Path, frame_name: str) -> int:
    before, after = frame_name.split("{:05d}")
    numbered = re.compile(rf"{re.escape(before)}\d{{5,}}{re.escape(after)}")
    return sum(1 for name in image_names(folder, (after,)) if numbered.fullmatch(name))


def find_videos(listing: Listing) -> tuple[tuple[Video, ...], tuple[LeftOut, ...]]:
    """Return the usable videos and the others, each sorted by key; frames are not opened."""
    videos: list[Video] = []
    left_out: list[LeftOut] = []
    frame_name = listing.layout.frame_name
    for key, row, folder in sorted(zip(listing.keys, listing.rows, locate_frames(listing))):
        try:
            source = partial(ListedFrames, folder, frame_name, frames_of(row, folder, frame_name))
        except FrameError as error:
            left_out.append(LeftOut(key, str(error)))
        else:
            videos.append(Video(key, (row.label,), source, str(listing.source)))
    return tuple(videos), tuple(left_out)


def load(layout: FFNLayout, root: Path) -> Dataset:
    """Return the data set in `root` without opening frames; its metric is top-1.

    Raises:
        DatasetError: no videos have frames; see also `read_listing`.
    """
    listing = read_listing(layout, root)
    videos, left_out = find_videos(listing)
    if not videos:
        places = ", ".join(str(listing.home / name) for name in FRAME_ROOTS)
        what = f"none of the {len(left_out)} videos of {layout.name} has frames in {places}"
        example = f"{listing.rows[0].path}/{layout.frame_name.format(1)}"
        raise DatasetError(what, f"put files such as {example} into one of them, with or without the leading folders")
    return Dataset(layout.name, listing.class_names, videos, left_out, "top1")


def _reader(name: str) -> FolderDataset:
    return FolderDataset(partial(load, LAYOUTS[name]), requires=(PILLOW,))


STHV1, STHV2, KINETICS400 = _reader("sthv1"), _reader("sthv2"), _reader("kinetics400")
HMDB51, HMDB51_2, HMDB51_3 = _reader("hmdb51"), _reader("hmdb51_2"), _reader("hmdb51_3")
