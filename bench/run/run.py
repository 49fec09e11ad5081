"""Run a bundle over a data set and record every answer.

Videos in equals videos out: one that cannot be decoded, or that has no label, becomes a row with its error and never
ends the run. What the engine computes is measured after a warm-up that is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.bundle.manifest import FrameExitManifest
from ...runtime.inputs.frame_input import Named
from ...runtime.networks.base import Network
from ...runtime.networks.prediction import StreamResult
from ...runtime.telemetry.environment import machine, versions
from ...runtime.telemetry.gpu_monitor import Telemetry
from ...runtime.video.source import FrameSource
from ..datasets import Dataset, Video, label_row
from ..records.run_folder import RunConfig, RunFolder, RunHeader, open_unfinished
from ..records.summary import summarise
from ..records.video_row import Row
from ..trace.trace_file import write_trace
from .setup import Prepared, again, prepare
from .trace_header import trace_header


@dataclass(frozen=True)
class Result:
    """A finished run: its folder and its metrics, see ``summarise``."""

    path: Path
    metrics: dict[str, Any]
    dataset: Dataset


@dataclass(frozen=True)
class Progress:
    """Where a run stands after each video."""

    folder: Path
    done: int
    total: int
    row: Row


Listener = Callable[[Progress], None]


def start_run(config: RunConfig, out: Path | None, command: str, listener: Listener = lambda _: None) -> Result:
    """Run ``config`` into the folder ``out`` (None: a new one in ``runs/``).

    Raises:
        VbenchError: the bundle, the engine or the data set cannot be used; nothing is written then.
    """
    prepared = prepare(config)
    folder = begin(prepared, out or new_path(prepared), command)
    return go_on(prepared, folder, frozenset(), listener)


def resume_run(path: Path, listener: Listener = lambda _: None) -> Result:
    """Go on with the interrupted run in ``path``; it ends with the same answers as if it had not been interrupted.

    Raises:
        RunError: there is no such run, it is complete, or its bundle has changed.
    """
    unfinished = open_unfinished(path)
    bundle = unfinished.config.bundle
    if open_bundle(Path(bundle)).digest != unfinished.bundle_digest:
        raise RunError(f"{path}: the bundle {bundle} has changed since", "start a new run")
    return go_on(again(unfinished.config), unfinished.folder, unfinished.done, listener)


def begin(prepared: Prepared, path: Path, command: str) -> RunFolder:
    """Make the folder of a run, with nothing in it but what the run is to be."""
    config, network, dataset = prepared.config, prepared.network, prepared.dataset
    bundle = network.bundle
    header = RunHeader(
        config=config,
        policy=_policy(config, network),
        bundle={"name": bundle.name, "network": bundle.manifest.network, "sha256": bundle.digest},
        engine=network.engine.describe(),
        machine=machine(),
        versions=versions(),
        command=command,
        videos=len(dataset.videos[: config.limit]),
        left_out=tuple({"video": left.key, "reason": left.reason} for left in dataset.left_out),
    )
    return RunFolder.create(path, header)


def go_on(prepared: Prepared, folder: RunFolder, done: frozenset[str], listener: Listener) -> Result:
    """Run all videos but those that are ``done``, and finish the run."""
    config, network, dataset = prepared.config, prepared.network, prepared.dataset
    manifest = network.bundle.manifest
    videos = dataset.videos[: config.limit]
    left = [video for video in videos if video.key not in done]
    gpu = Telemetry(network.engine.describe())  # before the warm-up, as it reads the idle power
    if left:
        network.warm_up(config.stream)
    clips = (Named(video.key, partial(_open, video, manifest.classes)) for video in left)
    with gpu, closing(network.stream(clips, config.stream)) as results:
        for number, result in enumerate(results, start=len(videos) - len(left) + 1):
            row = _row(left[result.clip], result, traced=config.trace)
            folder.append(row)
            listener(Progress(folder.path, number, len(videos), row))
    paper_gmacs = manifest.paper_gmacs_per_frame if isinstance(manifest, FrameExitManifest) else None
    metrics = folder.finish(
        [video.key for video in videos],
        lambda rows: {
            **summarise(rows, dataset.metric, manifest.classes, network.steps, paper_gmacs),
            "gpu": _gpu_metrics(gpu, len(left)),
        },
        *([partial(write_trace, header=trace_header(prepared, paper_gmacs))] if config.trace else []),
    )
    return Result(folder.path, metrics, dataset)


def new_path(prepared: Prepared) -> Path:
    """Return a folder in ``runs/`` that is not there yet."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{prepared.network.bundle.name}-{prepared.config.engine}"
    path, number = Path("runs", stem), 2
    while path.exists():
        path, number = Path("runs", f"{stem}-{number}"), number + 1
    return path


def _open(video: Video, classes: int) -> FrameSource:
    label_row(video, classes)
    return video.open()


def _policy(config: RunConfig, network: Network) -> dict[str, Any]:
    budget = {} if config.budget_ms is None else {"budget_ms": config.budget_ms}
    return {**network.policy_record(), **budget}


def _gpu_metrics(telemetry: Telemetry, videos: int) -> dict[str, Any] | None:
    record = telemetry.record(videos)
    return None if record is None else record.as_dict()


def _row(video: Video, result: StreamResult, *, traced: bool) -> Row:
    cost = result.cost
    row = Row(
        video=video.key,
        label=video.classes,
        frames_read=cost.read.frames_read,
        frames_decoded=cost.read.frames_decoded,
        frames_replaced=cost.read.frames_replaced,
        gmacs_in_vain=cost.macs_in_vain / 1e9,
        decode_ms=1e3 * cost.read.decode_s,
        preprocess_ms=1e3 * cost.read.preprocess_s,
        wait_ms=1e3 * cost.wait_s,
        backbone_ms=1e3 * cost.backbone_s,
        head_ms=1e3 * cost.head_s,
        scheduling_ms=1e3 * cost.scheduling_s,
        elapsed_ms=1e3 * cost.elapsed_s,
        error=None if result.error is None else str(result.error),
    )
    prediction = result.prediction
    if prediction is None:
        return row
    return replace(
        row,
        prediction=prediction.label,
        probability=float(prediction.probabilities[prediction.label]),
        exit_step=prediction.exit_step,
        frames_used=prediction.frames_used,
        scores=result.scores,
        gmacs=prediction.macs / 1e9,
        latency_ms=1e3 * cost.latency_s,
        probabilities=prediction.probabilities,
        steps=result.steps if traced else (),
    )
