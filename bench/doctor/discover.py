"""Find the data sets in the user's data folder, and check their annotation files and the frames of a few videos.

``vbench data check`` examines every video.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...errors import DatasetError
from ...runtime.doctor.finding import CheckResult, Finding, absent, findings, ok, problem
from ..datasets import ffn
from ..datasets.ffn_files import LAYOUTS as FFN_LAYOUTS
from ..datasets.ffn_files import FFNLayout, read_listing
from ..datasets.frameexit import FrameExitLayout, read_annotations
from ..datasets.registry import frame_layouts

_SAMPLED_FOLDERS = 20
_T = TypeVar("_T")


def check(data: Path | None) -> list[Finding]:
    """Return findings on the data sets in ``data``, by default $VBENCH_DATA, which has one subfolder per data set."""
    variable = os.environ.get("VBENCH_DATA")
    if data is None and not variable:
        missing = absent("VBENCH_DATA is not set", "export VBENCH_DATA=DIR, a folder with one subfolder per data set")
        return [Finding("data", "data sets", *missing)]
    root = data or Path(str(variable))
    if not root.is_dir():
        return [Finding("data", "data sets", *problem(f"{root} is not a folder", "export VBENCH_DATA=DIR"))]
    looks: dict[str, Callable[[Path], CheckResult]] = {
        **{name: partial(_check_frameexit, layout) for name, layout in frame_layouts().items()},
        **{name: partial(_check_ffn, layout) for name, layout in FFN_LAYOUTS.items()},
    }
    there = {name: partial(_guarded, root / name, look) for name, look in looks.items() if (root / name).is_dir()}
    others = absent(f"{', '.join(name for name in looks if name not in there)}: no such folder in {root}")
    return findings("data", {**there, **({} if len(there) == len(looks) else {"others": lambda: others})})


def _guarded(root: Path, check: Callable[[Path], CheckResult]) -> CheckResult:
    try:
        return check(root)
    except DatasetError as error:
        return problem(error.message, error.hint)


def _check_frameexit(layout: FrameExitLayout, root: Path) -> CheckResult:
    annotations = read_annotations(layout, root)
    keys = annotations.keys
    remedy = f"vbench data prepare {layout.name} --videos DIR --data {root}"
    return _frame_finding(len(keys), [annotations.frame_folder(key) for key in _sample(keys)], remedy)


def _check_ffn(layout: FFNLayout, root: Path) -> CheckResult:
    listing = read_listing(layout, root)
    remedy = f"vbench data check {layout.name} --data {root}"
    return _frame_finding(len(listing.rows), _sample(ffn.locate_frames(listing)), remedy)


def _sample(values: Sequence[_T]) -> Sequence[_T]:
    """Return a few values, evenly spaced."""
    return values[:: max(len(values) // _SAMPLED_FOLDERS, 1)][:_SAMPLED_FOLDERS]


def _frame_finding(videos: int, folders: Sequence[Path], remedy: str) -> CheckResult:
    ready = sum(folder.is_dir() for folder in folders)
    said = f"{videos} videos; {ready} of the {len(folders)} checked have frames"
    return ok(said) if ready else problem(said, remedy)
