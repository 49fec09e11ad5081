"""A run on disk: what was asked, on what machine, and the raw answer for every video.

While a run goes on, each video is a line of ``journal.jsonl``, so that a killed run loses at most the video it was
at. At the end the journal becomes Parquet tables and ``run.json`` says that the run is complete; statistics are
derived from the tables by ``summarise`` and nowhere else.
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
from ...runtime.engines.base import EngineOptions
from ...runtime.policies.choice import PolicyChoice
from ...runtime.scheduler.options import LATENCY, StreamOptions
from ..datasets.options import DataOptions
from . import journal
from .video_row import Row, write_tables

SCHEMA_VERSION = 3
RUN_FILE = "run.json"
_JOURNAL = "journal.jsonl"


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
    """Everything about a run but its answers."""

    config: RunConfig
    policy: dict[str, Any]
    bundle: dict[str, Any]
    engine: dict[str, str]
    machine: dict[str, str | int]
    versions: dict[str, str]
    command: str
    videos: int
    left_out: tuple[dict[str, str], ...]
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def as_dict(self) -> dict[str, Any]:
        """Return the header as it stands in ``run.json``."""
        config = self.config
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created,
            "command": self.command,
            "bundle": self.bundle,
            "engine": config.engine,
            "engine_details": self.engine,
            "dataset": config.dataset,
            "policy": self.policy,
            "schedule": asdict(config.stream),
            "config": asdict(config),
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

    def append(self, row: Row) -> None:
        """Add a video to the journal; it is there even if the process is killed right after."""
        journal.append(self.path / _JOURNAL, row)

    def finish(
        self,
        videos: Sequence[str],
        summarise: Callable[[Sequence[Row]], dict[str, Any]],
        write_more: Callable[[Path, Sequence[Row]], None] = lambda _folder, _rows: None,
    ) -> dict[str, Any]:
        """Write the tables in the order of ``videos``, then their metrics, mark the run complete, drop the journal.

        ``write_more`` is given the folder and the rows to write what else there is.
        """
        place = {video: number for number, video in enumerate(videos)}
        rows = sorted(journal.read(self.path / _JOURNAL), key=lambda row: place[row.video])
        metrics = summarise(rows)
        write_tables(self.path, rows)
        write_more(self.path, rows)
        self._content = {**self._content, "complete": True, "metrics": metrics}
        self._write_content()
        (self.path / _JOURNAL).unlink(missing_ok=True)
        return metrics

    def _write_content(self) -> None:
        with whole_file(self.path / RUN_FILE) as temporary:
            temporary.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that was interrupted: what it was to do, and the videos it has done."""

    folder: RunFolder
    config: RunConfig
    bundle_digest: str
    done: frozenset[str]


def open_unfinished(path: Path) -> UnfinishedRun:
    """Open an interrupted run to go on with it.

    Raises:
        RunError: there is no run, or it is complete.
    """
    content = read_run(path)
    if content.get("complete"):
        raise RunError(f"{path}: this run is complete", "start a new one without --resume")
    try:
        asked = content["config"]
        lists = {name: asked[name] and tuple(asked[name]) for name in ("gate_thresholds", "frames")}
        config = RunConfig(**{**asked, **lists, "stream": StreamOptions(**asked["stream"])})
        digest = str(content["bundle"]["sha256"])
    except (KeyError, TypeError):
        raise RunError(f"{path / RUN_FILE}: not whole", "start a new run") from None
    try:
        done = frozenset(row.video for row in journal.read(path / _JOURNAL))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RunError(f"{path / _JOURNAL}: damaged", "start a new run") from None
    return UnfinishedRun(RunFolder(path, content), config, digest, done)


def read_run(path: Path) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Raises:
        RunError: it is missing, unreadable, or of another schema.
    """
    file = path / RUN_FILE
    try:
        content = json.loads(file.read_bytes())
    except OSError:
        raise RunError(f"{file}: not there", "give a folder that vbench run made") from None
    except ValueError:
        raise RunError(f"{file}: not readable as JSON", "start a new run") from None
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{file}: not of schema version {SCHEMA_VERSION}", "run it again with this version of vbench")
    return content
