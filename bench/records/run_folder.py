"""Write a run to disk: its configuration, the environment, and the result of every video.

During a run, each video is appended to a journal, so a killed run loses only the video in progress. At the end, the
journal becomes Parquet tables and ``run.json`` is marked complete; metrics are derived from the tables by
``summarize`` only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...errors import RunError, UsageError
from ...files import whole_file, whole_folder
from ...runtime.engines.options import EngineOptions
from ...runtime.policies.base import Policy
from ...runtime.policies.choice import PolicyChoice
from ...runtime.policies.registry import policy_of
from ...runtime.scheduler.options import LATENCY, StreamOptions
from ..datasets.options import DataOptions
from . import journal
from . import planned as planned_file
from .lock import RunLock
from .planned import UNCHANGED, DatasetChanges, Planned
from .row_check import answers_problem
from .run_file import RUN_FILE, SCHEMA_VERSION, RunRecord, read_run
from .score_table import ScoreInfo
from .tables import write_tables
from .video_row import VideoRow


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run; sufficient to repeat or resume it.

    ``trace`` runs and records every step of every video, regardless of the policy. ``features`` also records the state
    after each step; ``split`` names the split of the videos if the data set does not. ``top_k`` is the number of
    classes in the table of probabilities; None for all.
    """

    bundle: str
    engine: EngineOptions = field(default_factory=EngineOptions)
    data: DataOptions = field(default_factory=DataOptions)
    stream: StreamOptions = LATENCY
    policy: PolicyChoice = field(default_factory=PolicyChoice)
    trace: bool = False
    features: bool = False
    split: str | None = None
    top_k: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the configuration as JSON; see `from_record`."""
        groups = ("engine", "data", "stream", "policy")
        features = {"features": True, "split": self.split} if self.features else {}
        top_k = {} if self.top_k is None else {"top_k": self.top_k}
        options = {name: getattr(self, name).record() for name in groups}
        return {"bundle": self.bundle, "trace": self.trace, **features, **top_k, **options}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> RunConfig:
        """Return the configuration from a record; ``where`` names its location in errors.

        Raises:
            KeyError, TypeError, UsageError: it is incomplete.
        """
        return cls(
            bundle=str(record["bundle"]),
            engine=EngineOptions.from_record(record["engine"]),
            data=DataOptions.from_record(record["data"]),
            stream=StreamOptions.from_record(record["stream"]),
            policy=PolicyChoice.from_record(record["policy"], where),
            trace=bool(record["trace"]),
            features=bool(record.get("features", False)),
            split=record.get("split"),
            top_k=record.get("top_k"),
        )


@dataclass(frozen=True)
class RunHeader:
    """Record of a run without its results.

    Attributes:
        policy: record of the policy that the run follows.
        policy_label: short policy label for legends and tables.
        policy_sources: origin of the policy values that were not given explicitly, by option.
        step_frames: number of frames that each step of the policy's route reads, if every step starts over; None if
            each step builds on the one before, so that clips exit early.
        engine: the actual engine configuration; see ``Engine.describe``.
        left_out: videos in the split that are unavailable, each with its ``video`` and ``reason``.
        engine_choice: how the engine was chosen; None if the options named it.
        replica_choice: how the number of replicas was chosen; None if the options named it.
        variant: name of the variant, and of its folder, if the run is one of several variants; else None.
    """

    config: RunConfig
    policy: dict[str, Any]
    policy_label: str
    policy_sources: dict[str, str]
    step_frames: tuple[int, ...] | None
    bundle: dict[str, Any]
    engine: dict[str, str]
    machine: dict[str, str | int]
    versions: dict[str, str]
    command: str
    videos: int
    left_out: tuple[dict[str, str], ...]
    variant: str | None = None
    engine_choice: dict[str, Any] | None = None
    replica_choice: dict[str, Any] | None = None
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def as_dict(self) -> dict[str, Any]:
        """Return the header as stored in ``run.json``."""
        config = self.config
        # The mode is shorthand for schedule and slots; both are resolved here.
        schedule = {name: value for name, value in config.stream.record().items() if name != "mode"}
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "command": self.command,
            "bundle": self.bundle,
            "engine": config.engine.engine,
            "engine_details": self.engine,
            "engine_choice": self.engine_choice,
            "replica_choice": self.replica_choice,
            "dataset": config.data.dataset,
            "variant": self.variant,
            "policy": self.policy,
            "policy_label": self.policy_label,
            "policy_sources": self.policy_sources,
            "step_frames": None if self.step_frames is None else list(self.step_frames),
            "schedule": schedule,
            "config": config.record(),
            "machine": self.machine,
            "versions": self.versions,
            "videos": self.videos,
            "left_out": list(self.left_out),
        }


class RunFolder:
    """Writer of a run: call ``append`` for every video, then ``finish`` once.

    It holds the lock of the folder until ``finish`` or the end of a ``with`` block.
    """

    def __init__(self, path: Path, content: dict[str, Any], lock: RunLock) -> None:
        self.path = path
        self._content = content
        self._lock = lock

    @classmethod
    def create(cls, path: Path, header: RunHeader, planned: Planned | None = None) -> RunFolder:
        """Create the folder with an unfinished ``run.json`` and the ``planned`` videos; on failure, create nothing.

        Raises:
            RunError: the folder already exists.
            MissingError, UsageError: it is not writable, or the disk is full.
        """
        try:
            with whole_folder(path) as temporary:
                run = cls(temporary, {**header.as_dict(), "complete": False, "metrics": None}, RunLock(temporary))
                (temporary / RUN_FILE).write_text(run._text(), encoding="utf-8")
                if planned is not None:
                    planned_file.write(temporary, planned)
        except UsageError:
            if os.path.lexists(path):
                raise RunError(f"{path} already exists", "choose another folder with --out") from None
            raise
        run.path = path
        return run

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release(self.path)

    def append(self, row: VideoRow) -> None:
        """Append a video to the journal; it is durable even if the process is killed immediately afterward."""
        journal.append(self.path, row)

    def discard(self) -> None:
        """Remove the folder of a run that has no results."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release(self.path)

    def finish(
        self,
        videos: Sequence[str],
        summarize: Callable[[Sequence[VideoRow]], dict[str, Any]],
        write_more: Callable[[Path, Sequence[VideoRow]], None] | None = None,
        changes: DatasetChanges = UNCHANGED,
        info: ScoreInfo | None = None,
        startup: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Write the tables in the order of ``videos``, add the metrics, mark the run complete, and remove the journal.

        Args:
            videos: the key of every video with a row, once each.
            summarize: returns the metrics of the rows.
            write_more: receives the folder and the rows, to write additional files.
            changes: changes to the data set since the run was started.
            info: description of the probabilities, see `write_tables`.
            startup: time to the first video of this process, by phase; see ``StartupTimes``.
        """
        place = {video: number for number, video in enumerate(videos)}
        rows = journal.read_all(self.path, place)
        metrics = summarize(rows)
        write_tables(self.path, rows, info)
        if write_more is not None:
            write_more(self.path, rows)
        changed = _changed(self._content, changes, place) if changes else {}
        self._content = {**self._content, **changed, "startup": startup, "complete": True, "metrics": metrics}
        with whole_file(self.path / RUN_FILE) as record:
            record.write_text(self._text(), encoding="utf-8")
        journal.remove(self.path)
        planned_file.remove(self.path)
        self._lock.release(self.path)
        return metrics

    def _text(self) -> str:
        return json.dumps(self._content, indent=1) + "\n"


def _changed(content: Mapping[str, Any], changes: DatasetChanges, finished: Collection[str]) -> dict[str, Any]:
    """Return the entries of a record that differ because the data set has changed since the run was started."""
    reason = "removed from the data set before it was run"
    lost = [{"video": key, "reason": reason} for key in changes.removed if key not in finished]
    left_out = [*(content.get("left_out") or ()), *lost]
    return {"videos": len(finished), "left_out": left_out, "dataset_changes": changes.record()}


@dataclass(frozen=True)
class UnfinishedRun:
    """An interrupted run: its configuration, its original policy, its videos, and those it has completed.

    ``planned`` is None for a run that an earlier version of vbench started.
    """

    folder: RunFolder
    config: RunConfig
    policy: Policy
    policy_sources: dict[str, str]
    bundle_digest: str
    planned: Planned | None
    done: frozenset[str]


def open_unfinished(path: Path) -> UnfinishedRun:
    """Open an interrupted run to resume it, and take its lock.

    Raises:
        RunError: there is no run, it is complete, another process is writing to it, or its record or journal is
            damaged.
        UsageError: its record contains a policy of an unknown kind, or the folder is not writable.
    """
    _require_unfinished(path, read_run(path))  # before the lock, which would create a file in any other folder
    with ExitStack() as stack:
        lock = RunLock(path)
        stack.callback(lock.release, path)
        record = read_run(path)  # check again: another process may have just finished the run
        _require_unfinished(path, record)
        unfinished = _unfinished(path, record, lock)
        stack.pop_all()
    return unfinished


def _require_unfinished(path: Path, record: RunRecord) -> None:
    if record.complete:
        raise RunError(f"the run {path} is already complete", "start a new one without --resume")


def _unfinished(path: Path, record: RunRecord, lock: RunLock) -> UnfinishedRun:
    try:
        config = RunConfig.from_record(record.object("config").content, f"{path / RUN_FILE}: config.policy")
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path / RUN_FILE}: config does not hold the expected options ({error})", "start a new run"
        ) from None
    digest = record.object("bundle").get("sha256", str)
    done: set[str] = set()
    if problem := answers_problem(_noting(journal.read(path), done)):
        raise RunError(f"{path} cannot be resumed: {problem}", "start a new run")
    # The budget that selected the policy is recorded with it, but is not one of its parameters.
    parameters = {name: value for name, value in record.object("policy").content.items() if name != "budget_ms"}
    policy = policy_of(parameters, f"{path / RUN_FILE}: policy")
    sources = {name: str(source) for name, source in record.object("policy_sources").content.items()}
    folder = RunFolder(path, dict(record.content), lock)
    return UnfinishedRun(folder, config, policy, sources, digest, planned_file.read(path), frozenset(done))


def _noting(rows: Iterable[VideoRow], videos: set[str]) -> Iterator[VideoRow]:
    """Yield the rows and add their videos to ``videos``; the rows of a trace do not all fit in memory."""
    for row in rows:
        videos.add(row.video)
        yield row
