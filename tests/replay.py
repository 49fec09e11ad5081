"""What tests of replaying need: the demo networks exported, their traces, and traces made up of random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vbench.bench.record import RunConfig
from vbench.bench.run import start_run
from vbench.bench.step_costs import StepCosts
from vbench.bench.trace import Trace, TraceHeader
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.runtime.prediction import softmax

DEMO = Path(__file__).parents[1] / "models" / "demo"


def export_demo(folder: Path) -> Path:
    """Export the demo's FrameExit."""
    options = ExportOptions(input_size=64, class_names=DEMO / "classes.txt")
    export_checkpoint(DEMO / "frameexit_demo.pth", folder / "frameexit_demo", options)
    return folder / "frameexit_demo"


def record(bundle: Path, dataset: str, videos: int, out: Path) -> Path:
    """Record a trace by ONNX Runtime."""
    config = RunConfig(str(bundle), "ort", dataset, None, limit=videos, trace=True)
    return start_run(config, out, "vbench run --trace").path


def random_trace(videos: int, steps: int = 10, classes: int = 5, seed: int = 0, metric: str = "top1") -> Trace:
    """Make up a trace whose answers get better and surer with every step."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=videos)
    logits = rng.normal(size=(steps, videos, classes)).astype(np.float32)
    hard = rng.exponential(size=videos)
    strength = 4 * np.arange(1, steps + 1)[:, None] / steps - hard
    logits[:, np.arange(videos), labels] += strength.astype(np.float32)
    gates = 1 / (1 + np.exp(-strength + rng.normal(size=strength.shape)))
    gates[[0, -1]] = np.nan
    probabilities = softmax(logits)
    entropies = -(probabilities * np.log(probabilities)).sum(axis=-1) / np.log(classes)
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
