"""Synthetic finished runs, written by the real writers, for tests of their readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vbench.bench.compare.compare import Comparison, compare
from vbench.bench.datasets import Metric
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.conditions import condition_metrics
from vbench.bench.records.run_folder import RunConfig, RunFolder, RunHeader
from vbench.bench.records.summary import summarize
from vbench.bench.records.video_row import VideoRow
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.policies.registry import policy_of
from vbench.runtime.telemetry.host_record import HostRecord

CLASSES = 8
IDLE = HostRecord(seconds=10, cpus=2, wanted_cpus=2, own_cpus=1.8, other_cpus=0.02)
BUSY = replace(IDLE, other_cpus=0.92)
CONFIG = RunConfig("bundles/tiny", EngineOptions(threads=2), DataOptions("folder"))
MACHINE: dict[str, str | int] = {"processor": "Some CPU", "cores": 4, "system": "Linux", "python": "3.12"}
Rows = list[VideoRow]


def make_run(
    path: Path,
    rows: Sequence[VideoRow],
    metric: Metric = "top1",
    config: RunConfig = CONFIG,
    host: HostRecord | None = None,
    **header: Any,
) -> Path:
    """Write a finished run with these rows through the real writers; ``host`` is the load during it."""
    policy = header.pop("policy", {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]})
    given = {
        "policy": policy,
        "policy_label": policy_of(policy, "the test's policy").label(),
        "policy_sources": {"first_threshold": "the data set folder"},
        "step_frames": None,
        "bundle": {"name": "tiny", "network": "frameexit", "sha256": "0"},
        "engine": {},
        "machine": MACHINE,
        "versions": {},
        "command": "vbench run",
        "left_out": (),
        **header,
    }
    folder = RunFolder.create(path, RunHeader(config=config, videos=len(rows), **given))
    for row in rows:
        folder.append(row)
    measured = {} if host is None else condition_metrics(host, None, len(rows))
    folder.finish([row.video for row in rows], lambda found: {**summarize(found, metric, CLASSES, 3, None), **measured})
    return path


def row(number: int, right: bool = True, latency_ms: float = 10.0, frames: int = 2) -> VideoRow:
    """Return a video of class ``number % 8``; a wrong prediction ranks its class last."""
    label = number % CLASSES
    order = [label, *(other for other in range(CLASSES) if other != label)]
    order = order if right else [*order[1:], label]
    probabilities = np.zeros(CLASSES, np.float32)
    probabilities[order] = np.arange(CLASSES, 0, -1) / 36
    return VideoRow(
        video=f"video{number:04}",
        label=(label,),
        prediction=order[0],
        probability=float(probabilities[order[0]]),
        exit_step=frames,
        frames_used=frames,
        frames_read=frames,
        frames_decoded=frames,
        scores=(0.5,) * frames,
        gmacs=0.25 * frames,
        latency_ms=latency_ms,
        elapsed_ms=latency_ms + 1,
        probabilities=probabilities,
    )


def failed(number: int) -> VideoRow:
    return VideoRow(video=f"video{number:04}", label=(number % CLASSES,), elapsed_ms=3.0, error="broken")


def noisy(videos: int, seed: int = 0, faster: float = 1.0, wrong: Callable[[int], bool] = lambda _: False) -> Rows:
    """Return videos of very different latency, which varies by 1 % between seeds."""
    hard = np.random.default_rng(99).lognormal(3, 0.5, videos)
    jitter = np.random.default_rng(seed).normal(1, 0.01, videos)
    return [
        row(number, not wrong(number), float(time * faster))
        for number, time in zip(range(videos), hard * jitter, strict=True)
    ]


def compared(tmp_path: Path, before: Rows, after: Rows, metric: Metric = "top1") -> Comparison:
    return compare(make_run(tmp_path / "before", before, metric), make_run(tmp_path / "after", after, metric))
