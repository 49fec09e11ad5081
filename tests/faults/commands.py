"""The commands that write, their outputs, and how to repeat them after a fault."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars

from tests.faults.process import check_ended, vbench
from tests.fuzz.samples import Samples
from tests.step_parts import to_step_parts

_TIMES = (
    *("latency_ms", "decode_ms", "preprocess_ms", "wait_ms", "backbone_ms", "head_ms", "scheduling_ms", "elapsed_ms"),
    *("frames_decoded", "frames_read"),
)
_KEY = "video{:02}_000001_000011"
PREPARED_VIDEOS = 4
# A process may be killed after it has completed a run and before it removes these; nothing reads them then.
REST = ("journal.jsonl", "planned.json", ".lock")

Prepare = Callable[[Samples, Path], None]


@dataclass(frozen=True)
class WritingCommand:
    """A command that writes ``output`` in its working folder.

    Attributes:
        arguments: its arguments, given the samples.
        prepare: fills the working folder before the command.
        resumes: whether an incomplete output is a run to resume.
        replaces: whether the command replaces its own complete output; otherwise it exits with code 2.
    """

    name: str
    arguments: Callable[[Samples], tuple[str, ...]]
    output: str
    prepare: Prepare = lambda _samples, _folder: None
    resumes: bool = False
    replaces: bool = True

    def start(self, samples: Samples, folder: Path) -> tuple[str, ...]:
        """Fill the new working folder and return the arguments."""
        folder.mkdir(parents=True, exist_ok=True)
        self.prepare(samples, folder)
        return self.arguments(samples)

    def repeat(self, samples: Samples, folder: Path, expected: dict[str, str]) -> None:
        """Run the command again after a fault, as a user would, and check that its output is ``expected``."""
        complete = self._is_complete(folder)
        resumed = self.resumes and complete is False
        ended = vbench(folder, ("run", "--resume", self.output) if resumed else self.arguments(samples))
        check_ended(ended)
        if self.replaces or ended.code != 2:
            assert ended.code == 0, ended.err
        check_output(folder, expected, REST if complete else ())

    def _is_complete(self, folder: Path) -> bool | None:
        """Return whether the output is a complete run; None if it is not a run."""
        record = folder / self.output / "run.json"
        return bool(json.loads(record.read_bytes())["complete"]) if record.exists() else None


def check_output(folder: Path, expected: dict[str, str], ignored: tuple[str, ...] = ()) -> None:
    """Check that a working folder holds what an undisturbed command leaves, and nothing else."""
    found = {name: digest for name, digest in state(folder).items() if Path(name).name not in ignored}
    problems = [f"no {name}" for name in expected if name not in found]
    problems += [f"{name} was left" for name in found if name not in expected]
    problems += [f"{name} differs" for name in expected if name in found and found[name] != expected[name]]
    assert not problems, problems


def state(folder: Path) -> dict[str, str]:
    """Return every file below ``folder`` with a digest of its contents, apart from times."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*files, *(each for each in folders if each.startswith("."))):
            path = Path(parent, name)
            found[path.relative_to(folder).as_posix()] = "" if path.is_dir() else _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.name in ("predictions.parquet", "trace.parquet", "probabilities.parquet"):
        table = polars.read_parquet(path)
        return str(table.drop([name for name in _TIMES if name in table.columns]).to_dicts())
    if path.name == "run.json":
        record = json.loads(path.read_bytes())
        return str((record["complete"], record["videos"], record["policy"], (record["metrics"] or {}).get("accuracy")))
    if path.name == "manifest.json":
        record = json.loads(path.read_bytes())
        record["source"].pop("path")  # relative to the bundle, whose folder differs between tests
        return str({name: value for name, value in record.items() if name != "created"})
    if path.suffix in (".svg", ".pdf"):
        return "a figure"  # with its time
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(samples: Samples) -> tuple[str, ...]:
    return "run", str(samples.bundle), "--dataset", "folder", "--data", str(samples.data), "-o", "out"


def _unfinished(samples: Samples, folder: Path) -> None:
    shutil.copytree(samples.unfinished, folder / "out")


def _old_bundle(samples: Samples, folder: Path) -> None:
    """Write a bundle of an older version, which ``vbench migrate`` converts."""
    to_step_parts(Path(shutil.copytree(samples.bundle, folder / "bundle")), schema_version=3)


def _data_to_prepare(samples: Samples, folder: Path) -> None:
    keys = [_KEY.format(number) for number in range(PREPARED_VIDEOS)]
    (folder / "videos").mkdir()
    (folder / "data").mkdir()
    for key, source in zip(keys, ("h264.mp4", "mpeg4.avi", "h264.mkv", "mpeg4.mp4")):
        (folder / "videos" / f"{key}{Path(source).suffix}").symlink_to(samples.videos / source)
    rows = [f"run,video{number:02},1,11,val,0" for number in range(PREPARED_VIDEOS)]
    head = "label,youtube_id,time_start,time_end,split,is_cc"
    (folder / "data" / "split.txt").write_text("\n".join(f"{key}.mp4" for key in keys))
    (folder / "data" / "kinetics_val.csv").write_text("\n".join((head, *rows)))
    (folder / "data" / "classes.txt").write_text("run")


RUN = WritingCommand("run", _run, "out", resumes=True, replaces=False)
TRACE = WritingCommand("trace", lambda samples: (*_run(samples), "--trace"), "out", resumes=True, replaces=False)
RESUME = WritingCommand(
    "resume", lambda _samples: ("run", "--resume", "out"), "out", _unfinished, resumes=True, replaces=False
)
PREPARE = WritingCommand(
    "prepare",
    lambda _samples: ("data", "prepare", "minikinetics", "--videos", "videos", "--data", "data", "--workers", "2"),
    "data",
    _data_to_prepare,
)
PACKAGE = WritingCommand(
    "package", lambda samples: ("package", str(samples.bundle), "-o", "out"), "out", replaces=False
)
SWEEP = WritingCommand(
    "sweep", lambda samples: ("sweep", str(samples.run), "-o", "out.parquet", "--points", "3"), "out.parquet"
)
REPORT = WritingCommand("report", lambda samples: ("report", str(samples.run), "-o", "out.html"), "out.html")
PLOT = WritingCommand("plot", lambda samples: ("plot", "exits", str(samples.run), "-o", "out.png"), "out.png")
EXPLAIN = WritingCommand(
    "explain",
    lambda samples: ("explain", str(samples.videos / "h264.mp4"), "--bundle", str(samples.bundle), "-o", "out.png"),
    "out.png",
)
MIGRATE = WritingCommand("migrate", lambda _samples: ("migrate", "bundle"), "bundle", _old_bundle)
AUDIT = WritingCommand(
    "audit",
    lambda samples: (
        *("audit", str(samples.bundle), "--against", "torch", "--dataset", "folder", "--data", str(samples.data)),
        *("-o", "out"),
    ),
    "out",
    replaces=False,
)
EXPORT = WritingCommand(
    "export",
    lambda samples: (
        *("export", str(samples.flexible_checkpoint), "-o", "out", "--frames", "2"),
        *("--input-size", "32"),
    ),
    "out",
    replaces=False,
)
COMMANDS = (RUN, TRACE, RESUME, PREPARE, PACKAGE, SWEEP, REPORT, PLOT, EXPLAIN, MIGRATE, AUDIT, EXPORT)
