"""Write a run to disk: its configuration, the machine, and the raw result of every video.

While a run is in progress, each video is a line of its journal, so that a killed run loses at most the video it was
at. At the end the journal becomes Parquet tables and ``run.json`` says that the run is complete; statistics are
derived from the tables by ``summarize`` and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...files import disk_error, whole_file
from ...runtime.engines.options import EngineOptions
from ...runtime.policies.base import Policy
from ...runtime.policies.choice import PolicyChoice
from ...runtime.policies.registry import policy_of
from ...runtime.scheduler.options import LATENCY, StreamOptions
from ..datasets.options import DataOptions
from . import journal
from .run_file import RUN_FILE, SCHEMA_VERSION, read_run
from .tables import write_tables
from .video_row import VideoRow


@dataclass(frozen=True)
class RunConfig:
    """What a run was asked to do; enough to repeat or to resume it.

    ``trace`` runs every step of every video and records the results, whatever the policy.
    """

    bundle: str
    engine: EngineOptions = field(default_factory=EngineOptions)
    data: DataOptions = field(default_factory=DataOptions)
    stream: StreamOptions = LATENCY
    policy: PolicyChoice = field(default_factory=PolicyChoice)
    trace: bool = False

    def record(self) -> dict[str, Any]:
        """Return the configuration as JSON; see `from_record`."""
        groups = ("engine", "data", "stream", "policy")
        return {"bundle": self.bundle, "trace": self.trace, **{name: getattr(self, name).record() for name in groups}}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> RunConfig:
        """Return the configuration of a record; ``where`` it stands is for the error.

        Raises:
            KeyError, TypeError, UsageError: it is not whole.
        """
        return cls(
            bundle=str(record["bundle"]),
            engine=EngineOptions.from_record(record["engine"]),
            data=DataOptions.from_record(record["data"]),
            stream=StreamOptions.from_record(record["stream"]),
            policy=PolicyChoice.from_record(record["policy"], where),
            trace=bool(record["trace"]),
        )


@dataclass(frozen=True)
class RunHeader:
    """Everything about a run but its answers.

    Attributes:
        policy: record of the policy that the run follows.
        policy_label: the policy in a few words, for legends and tables.
        policy_sources: where the values of the policy come from that were not given explicitly, by option.
        step_frames: frames that each step of the policy's route reads, where every step starts anew; None where a step
            continues the one before, so that a clip exits early.
        engine: what really ran, see ``Engine.describe``.
        left_out: videos of the split that are not there, each with its ``video`` and ``reason``.
        variant: name of the variant that the run is of several side by side, and of its folder; None: it is alone.
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
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def as_dict(self) -> dict[str, Any]:
        """Return the header as ``run.json`` holds it."""
        config = self.config
        # The mode is a shorthand for schedule and slots, which are both resolved here.
        schedule = {name: value for name, value in config.stream.record().items() if name != "mode"}
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "command": self.command,
            "bundle": self.bundle,
            "engine": config.engine.engine,
            "engine_details": self.engine,
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
    """Writes a run: ``append`` for every video, ``finish`` once."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self._content = content

    @classmethod
    def create(cls, path: Path, header: RunHeader) -> RunFolder:
        """Make the folder with an unfinished ``run.json``.

        Raises:
            RunError: the folder is there already.
        """
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise RunError(f"{path}: already there", "choose another folder with --out") from None
        except OSError as error:
            raise disk_error(path, error) from None
        run = cls(path, {**header.as_dict(), "complete": False, "metrics": None})
        run._write_content()
        return run

    def append(self, row: VideoRow) -> None:
        """Add a video to the journal; it is there even if the process is killed right after."""
        journal.append(self.path, row)

    def finish(
        self,
        videos: Sequence[str],
        summarize: Callable[[Sequence[VideoRow]], dict[str, Any]],
        write_more: Callable[[Path, Sequence[VideoRow]], None] = lambda _folder, _rows: None,
    ) -> dict[str, Any]:
        """Write the tables in the order of ``videos``, then their metrics, mark the run complete, drop the journal.

        ``write_more`` is given the folder and the rows to write what else there is.
        """
        place = {video: number for number, video in enumerate(videos)}
        rows = sorted(journal.read(self.path), key=lambda row: place[row.video])
        metrics = summarize(rows)
        write_tables(self.path, rows)
        write_more(self.path, rows)
        self._content = {**self._content, "complete": True, "metrics": metrics}
        self._write_content()
        journal.remove(self.path)
        return metrics

    def _write_content(self) -> None:
        with whole_file(self.path / RUN_FILE) as temporary:
            temporary.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that was interrupted: its configuration, the policy that it began with, and the videos it has done."""

    folder: RunFolder
    config: RunConfig
    policy: Policy
    policy_sources: dict[str, str]
    bundle_digest: str
    done: frozenset[str]


def open_unfinished(path: Path) -> UnfinishedRun:
    """Open an interrupted run to resume it.

    Raises:
        RunError: there is no run, it is complete, or its record or its journal is damaged.
        UsageError: its record holds a policy of an unknown kind.
    """
    record = read_run(path)
    if record.complete:
        raise RunError(f"{path}: this run is complete", "start a new one without --resume")
    try:
        config = RunConfig.from_record(record.object("config").content, f"{path / RUN_FILE}: config.policy")
    except (KeyError, TypeError) as error:
        raise RunError(f"{path / RUN_FILE}: config holds other options ({error})", "start a new run") from None
    digest = record.object("bundle").get("sha256", str)
    done = frozenset(row.video for row in journal.read(path))
    # A budget that chose the policy is recorded with it, but is none of its numbers.
    numbers = {name: value for name, value in record.object("policy").content.items() if name != "budget_ms"}
    policy = policy_of(numbers, f"{path / RUN_FILE}: policy")
    sources = {name: str(source) for name, source in record.object("policy_sources").content.items()}
    return UnfinishedRun(RunFolder(path, dict(record.content)), config, policy, sources, digest, done)
