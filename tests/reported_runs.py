"""Synthetic runs for a report: one over all frames, and one that exits early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.compared_runs import CONFIG, make_run, noisy
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.records.video_row import VideoRow
from vbench.runtime.policies.choice import PolicyChoice

ALL_FRAMES = {"kind": "frameexit", "first_threshold": 1.0, "gate_thresholds": [1.0]}


def chosen(**choices: Any) -> RunConfig:
    """Return the configuration of a run with the given policy options."""
    return replace(CONFIG, policy=PolicyChoice(**choices))


def whole(videos: int = 80, seed: int = 0, correct: int = 80) -> list[VideoRow]:
    """Return rows of videos that all used all three steps."""
    rows = noisy(videos, seed, wrong=lambda number: number >= correct)
    return [replace(each, exit_step=3, frames_used=3, gmacs=0.75) for each in rows]


def early(videos: int = 80, seed: int = 1, correct: int = 72) -> list[VideoRow]:
    """Return rows in which half the videos exit at the first step, the others at the last, at half the latency."""
    rows = noisy(videos, seed, faster=0.5, wrong=lambda number: number >= correct)
    return [
        replace(each, exit_step=step, frames_used=step, gmacs=0.25 * step)
        for number, each in enumerate(rows)
        for step in (1 if number % 2 else 3,)
    ]


def default_and_whole(folder: Path) -> list[Path]:
    all_frames = {"policy": ALL_FRAMES, "config": chosen(first_threshold=1.0)}
    return [
        make_run(folder / "all_frames", whole(), command="vbench run b --first-threshold=1", **all_frames),
        make_run(folder / "default", early(), command="vbench run b --dataset folder --limit 80"),
    ]
