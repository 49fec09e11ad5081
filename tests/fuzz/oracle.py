"""Faults of a fuzzed input: its exception, a number that is not finite, files that it left or opened."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import vbench

ANSWERED, REFUSED = "answered", "refused"
# The kinds of failure, which are columns of the report.
CRASH, HANG, FALSE_SUCCESS, FALSE_REFUSAL = "crash", "hang", "false success", "false refusal"
LEFTOVER, OPENED, MESSAGE = "leftover", "opened", "message"
FAILURES = (CRASH, HANG, FALSE_SUCCESS, FALSE_REFUSAL, LEFTOVER, OPENED, MESSAGE)

_ROOT = Path(vbench.__file__).resolve().parent
_TESTS = Path(__file__).resolve().parents[1]
_PROGRAMS = ("uname", "lscpu")  # which Python's own platform module starts
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/shm", "/proc", "/sys", "/etc")


# What libraries keep in the temporary folder: ONNX Runtime's session file and torch's folder of compiled code.
LIBRARY_FILES = ("tmp/.ses", "tmp/torchinductor_")


@dataclass(frozen=True)
class Result:
    """Whether there was an answer, and every failure with its description."""

    outcome: str
    failures: dict[str, str] = field(default_factory=dict)


def bad_text(text: str) -> str | None:
    """Return what is wrong with an error message: line breaks and control characters reach the terminal."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            return f"the message holds {character!r}: {text[:200]!r}"
    return None


def not_finite(answer: object) -> str | None:
    """Return where an answer holds NaN or an infinity; None if nowhere."""
    for value in _numbers(answer):
        if not np.isfinite(value).all():
            return f"the answer holds {np.asarray(value)[~np.isfinite(value)].flat[0]}"
    return None


def _numbers(answer: object) -> Iterator[Any]:
    if isinstance(answer, np.ndarray | float | np.floating):
        if np.asarray(answer).dtype.kind == "f":
            yield answer
        return
    for each in _members(answer):
        yield from _numbers(each)


def _members(answer: object) -> Iterable[object]:
    if isinstance(answer, Mapping):
        return answer.values()
    if isinstance(answer, list | tuple | set):
        return answer
    return [getattr(answer, each.name) for each in fields(answer)] if is_dataclass(answer) else ()


def place_of(error: BaseException) -> str:
    """Return the error and the innermost line of vbench in its traceback, which identify a fault."""
    ours = [
        f"{frame.filename.removeprefix(str(_ROOT)).removeprefix('/.mypy/vbench').lstrip('/')}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(_ROOT)) and "/tests/" not in frame.filename
    ]
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__} in {ours[-1] if ours else '?'}: {text!a}"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file below a folder, folders included."""
    found: dict[str, tuple[int, int]] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 - names may be bytes that Path would show differently
            status = os.lstat(path)
            is_folder = name in folders
            found[os.path.relpath(path, folder)] = (0, 0) if is_folder else (status.st_size, status.st_mtime_ns)
    return found


class Watch:
    """An audit hook that records files opened outside the permitted folders, sockets and processes.

    A hook cannot be removed, so there is one per process, which is armed for each input.
    """

    def __init__(self, *allowed: Path) -> None:
        own = {
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            str(_ROOT),
            str(_TESTS),
            *sysconfig.get_paths().values(),
            "/usr",
            "/lib",
        }
        self._allowed = tuple({os.path.realpath(each) for each in (*own, *allowed)} | {*map(str, own)}) + _DEVICES
        self._armed = False
        self.seen: list[str] = []
        sys.addaudithook(self._audit)

    def arm(self) -> None:
        """Start recording."""
        self.seen = []
        self._armed = True

    def disarm(self) -> list[str]:
        """Stop recording and return the violations."""
        self._armed = False
        return self.seen

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event == "open":
            self._check_path(arguments[0])
        elif event.startswith("socket.") and event != "socket.gethostname":
            self.seen.append(f"{event}{arguments[1:]!r}")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            program = os.path.basename(os.fsdecode(arguments[0] or b""))  # noqa: PTH119
            if program not in _PROGRAMS:
                self.seen.append(f"{event} {program}")

    def _check_path(self, given: object) -> None:
        if not isinstance(given, str | bytes | os.PathLike):
            return  # a file descriptor
        path = os.path.realpath(os.fsdecode(given))
        if not path.startswith(self._allowed):
            self.seen.append(f"opened {path}")
