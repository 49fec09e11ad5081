"""The real annotation files and clips, which are next to the repository, not in it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest


def shared() -> Path:
    return Path(os.environ.get("VBENCH_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))


CLIPS = shared() / "data" / "clips"
ANNOTATIONS = shared() / "data" / "annotations"
CASES = shared() / "cases"

needs_shared = pytest.mark.skipif(
    not (CLIPS.is_dir() and ANNOTATIONS.is_dir()),
    reason=f"no real clips and annotations in {shared()} (set VBENCH_SHARED)",
)


def clip_rows() -> list[dict[str, str]]:
    """What is known about each clip; empty where they are absent."""
    if not CLIPS.is_dir():
        return []
    with (CLIPS / "clips.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))
