"""Replay of a large trace: the complete command, from file to table, in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vbench.bench.records.video_row import VideoRow
from vbench.bench.trace.step_costs import StepCosts
from vbench.bench.trace.trace import TraceHeader
from vbench.bench.trace.trace_file import TRACE, write_trace
from vbench.runtime.scheduler.results import Step

from .measure import spread, table

VIDEOS, STEPS, CLASSES, POINTS = 10_000, 10, 200, 10_000
_MEGABYTE = 1e6
_COMMAND = "from vbench.cli.main import main; main()"


def replay(root: Path, repetitions: int) -> None:
    """Print the time and memory of a sweep."""
    print(f"## Replay: {POINTS:,} points of the authors' gates and of every other policy over a generated trace\n")
    root.mkdir(parents=True)
    write_trace(root, list(_rows()), _header())
    size = (root / TRACE).stat().st_size / _MEGABYTE
    print(f"{VIDEOS:,} videos, {STEPS} steps, {CLASSES} classes; the trace takes {size:.0f} MB.\n")
    rows = []
    for name, options in (
        (f"gates, {POINTS:,} points", ("--policies", "gates", "--points", str(POINTS))),
        ("every policy, defaults", ()),
    ):
        runs = [_measured(root, *options) for _ in range(repetitions)]
        seconds, megabytes = ([run[column] for run in runs] for column in (0, 1))
        rows.append((name, spread(seconds), f"{max(megabytes):.0f}"))
    print(table(("command", "seconds, median [min .. max]", "largest MB"), rows))


def _measured(run: Path, *options: str) -> tuple[float, float]:
    """Return seconds and peak megabytes of ``vbench sweep``."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", _COMMAND, "sweep", str(run), *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"vbench sweep exited with status {status}")
    return time.perf_counter() - begin, usage.ru_maxrss * 1024 / _MEGABYTE


def _rows() -> Iterator[VideoRow]:
    """Generate videos whose confidence grows with each step, later for harder ones."""
    rng = np.random.default_rng(0)
    for video in range(VIDEOS):
        label, hard = int(rng.integers(CLASSES)), rng.exponential(2)
        logits = rng.normal(size=(STEPS, CLASSES)).astype(np.float32)
        logits[:, label] += (np.arange(STEPS) + 3 - hard).astype(np.float32)
        gates = 1 / (1 + np.exp(hard - np.arange(STEPS) / 2 + rng.normal(size=STEPS)))
        steps = tuple(
            Step(float(gates[step]) if 0 < step < STEPS - 1 else None, logits[step], None, 0.01, 0.01 * (step + 1))
            for step in range(STEPS)
        )
        yield VideoRow(f"video{video:05d}", (label,), steps=steps)


def _header() -> TraceHeader:
    backbone, gate, classifier = 4_098_000_000, 1_066_000, 819_000
    return TraceHeader(
        bundle="generated",
        bundle_sha256="0" * 64,
        family="frameexit",
        engine="none",
        precision="fp32",
        dataset="generated",
        metric="top1",
        classes=CLASSES,
        costs=StepCosts(
            frames=(1,) * STEPS,
            macs=(backbone,) * STEPS,
            gate_macs=(0, *(gate,) * (STEPS - 2), 0),
            classifier_macs=(classifier,) * STEPS,
        ),
        paper_gmacs_per_frame=4.12,
        default_policy={"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]},
        default_policy_sources={},
    )
