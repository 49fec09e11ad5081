"""Helpers for replay tests: exported demo networks, their traces, and random traces."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bundle_cache import cached_export
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.records.video_row import VideoRow
from vbench.bench.run.run import start_run
from vbench.bench.trace.step_costs import StepCosts
from vbench.bench.trace.trace import Trace, TraceHeader
from vbench.bench.trace.trace_file import write_trace
from vbench.export.exporter import ExportOptions
from vbench.runtime.policies.confidence import softmax
from vbench.runtime.scheduler.results import Step

DEMO = Path(__file__).parents[1] / "models" / "demo"


def export_demo(folder: Path) -> Path:
    """Export the demo's FrameExit."""
    options = ExportOptions(input_size=64, class_names=DEMO / "classes.txt")
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = shutil.copy(DEMO / "frameexit_demo.pth", folder.parent)  # at the same relative path from every bundle
    cached_export(Path(checkpoint), folder / "frameexit_demo", options)
    return folder / "frameexit_demo"


def record(bundle: Path, dataset: str, videos: int, out: Path) -> Path:
    """Record a trace with ONNX Runtime."""
    config = RunConfig(str(bundle), data=DataOptions(dataset, limit=videos), trace=True)
    return start_run(config, out, "vbench run --trace").path


def random_trace(videos: int, steps: int = 10, classes: int = 5, seed: int = 0, metric: str = "top1") -> Trace:
    """Generate a trace whose accuracy and confidence grow with every step."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=videos)
    logits = rng.normal(size=(steps, videos, classes)).astype(np.float32)
    hard = rng.exponential(size=videos)
    strength = 4 * np.arange(1, steps + 1)[:, None] / steps - hard
    logits[:, np.arange(videos), labels] += strength.astype(np.float32)
    gates = 1 / (1 + np.exp(-strength + rng.normal(size=strength.shape)))
    gates[[0, -1]] = np.nan
    probabilities = softmax(logits)
    entropies = -(probabilities * np.log(probabilities)).sum(axis=-1) / np.log(max(classes, 2))
    elapsed = np.full((steps, videos), 10.0)
    header = TraceHeader(
        bundle="made_up",
        bundle_sha256="0" * 64,
        family="frameexit",
        engine="ort",
        precision="fp32",
        dataset="folder",
        metric=metric,  # type: ignore[arg-type]
        classes=classes,
        costs=StepCosts((1,) * steps, (10**9,) * steps, (0, *(10**6,) * (steps - 2), 0), (10**5,) * steps),
        paper_gmacs_per_frame=4.12,
        default_policy={"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]},
        default_policy_sources={},
    )
    return Trace(
        header=header,
        videos=tuple(f"video{number}" for number in range(videos)),
        labels=tuple((int(label),) for label in labels),
        gates=gates,
        confidences=probabilities.max(axis=-1).astype(np.float64),
        entropies=entropies.astype(np.float64),
        predictions=logits.argmax(axis=-1),
        logits=logits,
        elapsed_ms=elapsed,
        latency_ms=elapsed.cumsum(axis=0),
    )


def flexible_trace(videos: int, seed: int = 0) -> Trace:
    """Generate a trace of a frame-flexible network at 4, 8 and 16 frames."""
    trace = random_trace(videos, steps=3, seed=seed)
    costs = StepCosts((4, 8, 16), (4 * 10**9, 8 * 10**9, 17 * 10**9), (0, 0, 0), (0, 0, 0))
    header = replace(
        trace.header,
        family="frame_counts",
        costs=costs,
        paper_gmacs_per_frame=None,
        default_policy={"kind": "frames", "frames": 16},
    )
    elapsed = np.array([[10.0], [20.0], [40.0]]) * np.ones((3, videos))
    return replace(
        trace,
        header=header,
        gates=np.full((3, videos), np.nan),
        elapsed_ms=elapsed,
        latency_ms=elapsed.cumsum(axis=0),
    )


def save_trace(trace: Trace, folder: Path) -> Path:
    """Write a trace as its run would."""
    rows = [
        VideoRow(
            video,
            trace.labels[place],
            steps=tuple(
                Step(
                    float(trace.gates[step, place]),
                    trace.logits[step, place],
                    None,
                    trace.elapsed_ms[step, place] / 1e3,
                    trace.latency_ms[step, place] / 1e3,
                )
                for step in range(trace.steps)
            ),
        )
        for place, video in enumerate(trace.videos)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_trace(folder, rows, trace.header)
    return folder
