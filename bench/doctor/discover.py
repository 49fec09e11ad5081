"""Which data sets lie where the user says, looked at quickly: annotation files, and the frames of a few videos.

``data_check`` looks at every video.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...errors import DatasetError
from ...runtime.doctor.finding import Fact, Finding, absent, findings, ok, trouble
from ..datasets import ffn
from ..datasets.ffn_files import LAYOUTS as LISTED
from ..datasets.ffn_files import Layout as Listed
from ..datasets.ffn_files import read_listing
from ..datasets.frameexit import LAYOUTS as LABELLED
from ..datasets.frameexit import Layout as Labelled
from ..datasets.frameexit import frame_folder, read_annotations

_LOOKED_AT = 20
_T = TypeVar("_T")


def check(data: Path | None) -> list[Finding]:
    """Return the data sets in the folder ``data``, by default $VBENCH_DATA, which has a subfolder for each."""
    variable = os.environ.get("VBENCH_DATA")
    if data is None and not variable:
        missing = absent("VBENCH_DATA is not set", "export VBENCH_DATA=DIR, a folder with one subfolder per data set")
        return [Finding("data", "data sets", *missing)]
    root = data or Path(str(variable))
    if not root.is_dir():
        return [Finding("data", "data sets", *trouble(f"{root} is not a folder", "export VBENCH_DATA=DIR"))]
    looks: dict[str, Callable[[Path], Fact]] = {
        **{name: partial(_labelled, layout) for name, layout in LABELLED.items()},
        **{name: partial(_listed, layout) for name, layout in LISTED.items()},
    }
    there = {name: partial(_known, root / name, look) for name, look in looks.items() if (root / name).is_dir()}
    others = absent(f"{', '.join(name for name in looks if name not in there)}: no such folder in {root}")
    return findings("data", {**there, **({} if len(there) == len(looks) else {"others": lambda: others})})


def _known(root: Path, look: Callable[[Path], Fact]) -> Fact:
    try:
        return look(root)
    except DatasetError as error:
        return trouble(error.what, error.hint)


def _labelled(layout: Labelled, root: Path) -> Fact:
    keys = read_annotations(layout, root).keys
    remedy = f"vbench data prepare {layout.name} --videos DIR --data {root}"
    return _with_frames(len(keys), [frame_folder(root, key) for key in _some(keys)], remedy)


def _listed(layout: Listed, root: Path) -> Fact:
    listing = read_listing(layout, root)
    remedy = f"vbench data check {layout.name} --data {root}"
    return _with_frames(len(listing.rows), _some(ffn.locate(listing)), remedy)


def _some(values: Sequence[_T]) -> Sequence[_T]:
    """Return a few, spread over all."""
    return values[:: max(len(values) // _LOOKED_AT, 1)][:_LOOKED_AT]


def _with_frames(videos: int, folders: Sequence[Path], remedy: str) -> Fact:
    ready = sum(folder.is_dir() for folder in folders)
    said = f"{videos} videos, {ready} of {len(folders)} looked at have frames"
    return ok(said) if ready else trouble(said, remedy)
