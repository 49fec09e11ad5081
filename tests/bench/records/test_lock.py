"""The lock of a run folder: one writer, released however its process ends."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vbench.bench.records import lock
from vbench.bench.records.lock import RunLock
from vbench.errors import RunError, UsageError


def test_a_second_writer_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    held = RunLock(tmp_path)
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(
        RunError, match=f"^{tmp_path} is being written to by {owner}; wait for that process to finish, or stop it$"
    ):
        RunLock(tmp_path)
    held.release(tmp_path)
    held.release(tmp_path)
    assert not any(tmp_path.iterdir())
    RunLock(tmp_path).release(tmp_path)


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from vbench.bench.records.lock import RunLock
held = RunLock(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text().startswith("process ")
    RunLock(tmp_path).release(tmp_path)


def test_a_lock_that_its_owner_removes_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[int] = []

    def flock(file: int, _operation: int) -> None:
        if not removed:
            (tmp_path / ".lock").unlink()
        removed.append(file)

    monkeypatch.setattr(lock, "flock", flock)
    held = RunLock(tmp_path)
    assert len(removed) == 2
    assert (tmp_path / ".lock").exists()
    held.release(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot write"):
        RunLock(tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "flock", flock)
    with pytest.raises(UsageError, match=r"^cannot lock .*: No locks available; write to a folder on a local disk$"):
        RunLock(tmp_path)
