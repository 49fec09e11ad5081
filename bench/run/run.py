"""Run a bundle over a data set and record every prediction.

Every video yields a row: one that cannot be decoded or has no label gets a row with its error and never ends the run.
An unrecorded warm-up precedes the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ...errors import RunError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.inputs.base import NamedClip
from ...runtime.telemetry.cpus import usable_cpus
from ...runtime.telemetry.environment import machine, versions
from ...runtime.telemetry.gpu_monitor import Telemetry, runs_on_gpu
from ...runtime.telemetry.host_monitor import HostMonitor
from ...runtime.video.source import FrameSource
from ...startup import phase, ready, startup
from ..datasets import Dataset, Video, label_row
from ..features.recorder import FeatureRecorder, checked
from ..records import journal
from ..records.conditions import condition_metrics
from ..records.planned import UNCHANGED, DatasetChanges
from ..records.run_folder import RunConfig, RunFolder, RunHeader, open_unfinished
from ..records.score_table import ScoreInfo
from ..records.summary import summarize
from ..records.video_row import VideoRow
from ..trace.trace_file import write_trace
from .features_header import features_header
from .plan import RunPlan, all_videos, planned_videos, remaining_videos
from .setup import RunSetup, set_up, set_up_resumed
from .trace_header import trace_header


@dataclass(frozen=True)
class Result:
    """A finished run: folder, metrics (see ``summarize``), data set, and changes to it since the run started."""

    path: Path
    metrics: dict[str, Any]
    dataset: Dataset
    changes: DatasetChanges = UNCHANGED


@dataclass(frozen=True)
class Progress:
    """Progress of a run after each video."""

    folder: Path
    done: int
    total: int
    row: VideoRow


Listener = Callable[[Progress], None]
T = TypeVar("T")


@startup()
def start_run(
    config: RunConfig,
    out: Path | None,
    command: str,
    listener: Listener = lambda _: None,
    bundle: Bundle[Manifest] | None = None,
) -> Result:
    """Run ``config`` and record it in the folder ``out``, or in a new folder in ``runs/`` if ``out`` is None.

    Args:
        bundle: the bundle of ``config``, if it is already open.

    Raises:
        VbenchError: the bundle, the engine or the data set cannot be used; if so, nothing is written.
    """
    setup = set_up(config, bundle)
    if config.features:
        features_header(setup)  # for its errors, before the folder is created
    with in_folder(setup, out, lambda path: create_run(setup, path, command)) as folder:
        return run_videos(setup, folder, all_videos(setup), listener)


@startup()
def resume_run(
    path: Path,
    listener: Listener = lambda _: None,
    bundle: Bundle[Manifest] | None = None,
    *,
    allow_changed_dataset: bool = False,
) -> Result:
    """Resume the interrupted run in ``path``; its predictions are the same as if it had not been interrupted.

    Args:
        bundle: the bundle of the run, if it is already open.
        allow_changed_dataset: finish with the remaining videos if the data set has changed: videos that are now
            missing are left out unless they have a result, new ones are not run, and the record lists both.

    Raises:
        RunError: there is no such run, it is complete, another process is writing to it, or its bundle or data set has
            changed.
    """
    unfinished = open_unfinished(path)
    with unfinished.folder:
        config = unfinished.config
        bundle = bundle or open_bundle(Path(config.bundle))
        if bundle.digest != unfinished.bundle_digest:
            raise RunError(f"the bundle {config.bundle} has changed since {path} was started", "start a new run")
        setup = set_up_resumed(config, unfinished.policy, unfinished.policy_sources, bundle)
        if config.features:
            unfinished = replace(unfinished, done=FeatureRecorder.resume(path, features_header(setup)))
        return run_videos(
            setup, unfinished.folder, remaining_videos(setup, unfinished, allow_changed_dataset), listener
        )


def create_run(setup: RunSetup, path: Path, command: str, variant: str | None = None) -> RunFolder:
    """Create the folder of a run with only its configuration; ``variant`` names the run if it is one of several."""
    config, network, dataset = setup.config, setup.network, setup.dataset
    bundle = network.bundle
    header = RunHeader(
        config=config,
        **_policy(setup),
        step_frames=None if network.family.cumulative else network.step_frames,
        bundle={"name": bundle.name, "network": bundle.manifest.network, "sha256": bundle.digest},
        engine=network.engine.describe(),
        engine_choice=None if setup.engine_choice is None else setup.engine_choice.record(),
        replica_choice=None if setup.replica_choice is None else setup.replica_choice.record(),
        machine=machine(),
        versions=versions(),
        command=command,
        videos=len(dataset.videos[: config.data.limit]),
        left_out=tuple({"video": left.key, "reason": left.reason} for left in dataset.left_out),
        variant=variant,
    )
    return RunFolder.create(path, header, planned_videos(setup))


def run_videos(setup: RunSetup, folder: RunFolder, plan: RunPlan, listener: Listener) -> Result:
    """Run the remaining videos of ``plan``, and finish the run."""
    config, network, remaining = setup.config, setup.network, plan.remaining
    ran = len(remaining)
    gpu = Telemetry(network.engine.describe())  # before the warm-up, because it reads the idle power
    host = HostMonitor(_cpu_threads(setup))
    if remaining:
        with phase("warm-up"):
            network.warm_up(config.stream)
    recorder = FeatureRecorder(folder.path, features_header(setup)) if config.features else None
    started = ready()
    if started is not None:
        config.engine.say(started.text())
    clips = (NamedClip(video.key, partial(_open, video, network.bundle.manifest.classes)) for video in remaining)
    with gpu, host, closing(network.stream(clips, config.stream)) as results:
        for number, result in enumerate(results, start=len(plan.order) - ran + 1):
            video = remaining[result.clip]
            if recorder is not None:
                result = checked(result, video.key)
            row = VideoRow.from_result(video.key, video.classes, result, traced=config.trace)
            folder.append(row)
            if recorder is not None:
                recorder.add(result)
            listener(Progress(folder.path, number, len(plan.order), row))
    if recorder is not None:
        recorder.finish(journal.read(folder.path))
    metrics = folder.finish(
        plan.order,
        lambda rows: {**_metrics(setup, rows), **condition_metrics(host.record(), gpu.record(ran), ran)},
        partial(write_trace, header=trace_header(setup)) if config.trace else None,
        plan.changes,
        ScoreInfo(network.bundle.manifest.output, setup.dataset.categories, config.top_k),
        None if started is None else started.record(),
    )
    return Result(folder.path, metrics, setup.dataset, plan.changes)


def in_folder(setup: RunSetup, out: Path | None, create: Callable[[Path], T]) -> T:
    """Call ``create`` with ``out``, or with a new path in ``runs/`` if ``out`` is None, and return its result.

    Raises:
        RunError: the folder already exists.
    """
    while True:
        path = out or _new_path(setup)
        try:
            return create(path)
        except RunError:
            if out is not None or not path.exists():
                raise
            # Another process has created the same folder in the meantime.


def _new_path(setup: RunSetup) -> Path:
    """Return the path of a new folder in ``runs/``."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{setup.network.bundle.name}-{setup.config.engine.engine}"
    path, number = Path("runs", stem), 2
    while path.exists():
        path, number = Path("runs", f"{stem}-{number}"), number + 1
    return path


def _open(video: Video, classes: int) -> FrameSource:
    label_row(video, classes)
    return video.open()


def _policy(setup: RunSetup) -> dict[str, Any]:
    """Return the header's policy entries; the record and the label include a budget that selected the policy."""
    policy, budget_ms = setup.network.policy, setup.config.policy.budget_ms
    record, label = policy.record(), policy.label()
    if budget_ms is not None:
        record, label = {**record, "budget_ms": budget_ms}, f"{label}, within {budget_ms:g} ms"
    return {"policy": record, "policy_label": label, "policy_sources": setup.network.policy_sources}


def _metrics(setup: RunSetup, rows: Sequence[VideoRow]) -> dict[str, Any]:
    network, manifest = setup.network, setup.network.bundle.manifest
    published = network.family.published_gmacs_per_step(manifest)
    dataset = setup.dataset
    return summarize(rows, dataset.metric, manifest.classes, network.steps, published, dataset.categories)


def _cpu_threads(setup: RunSetup) -> int | None:
    """Return the number of CPU compute threads; None if the computation runs on a GPU."""
    on_gpu = runs_on_gpu(setup.network.engine.describe())
    return None if on_gpu else setup.config.engine.threads or usable_cpus()
