"""Run ``vbench`` in a process that ends at a given write, after a given time, or together with another one.

A fork server imports vbench once, since the imports take longer than most commands.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

LIMIT_S = 300.0
CODES = (0, 2, 3, 4)
_WRITES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")
_FORK_SERVER = multiprocessing.get_context("forkserver")
_FORK_SERVER.set_forkserver_preload(["tests.faults.preloaded"])


class Ended(NamedTuple):
    """How a command ended: exit code or negative signal, standard error, and the number of its writes.

    ``orphans`` is whether processes that it started were still there after a while.
    """

    code: int
    err: str
    writes: int
    orphans: bool = False


class Vbench:
    """A running ``vbench``."""

    def __init__(
        self, folder: Path, command: Sequence[str], *, kill_at: int | None = None, start_with: Any = None
    ) -> None:
        """Start ``command`` in ``folder``; kill it before its write number ``kill_at``, counted from 1.

        ``start_with`` is a barrier at which it waits after its imports.
        """
        self._streams = Path(tempfile.mkdtemp(prefix="vbench-fault-"))  # not on the disk that is full
        arguments = (folder, tuple(command), self._streams, kill_at, start_with)
        self._process = _FORK_SERVER.Process(target=_run, args=arguments)
        self._process.start()

    def kill(self) -> None:
        """Send SIGKILL to the process alone, as the kernel does when memory runs out."""
        self._process.kill()

    def wait(self) -> Ended:
        """Wait for the end of the process, and for those it started."""
        self._process.join(LIMIT_S)
        assert self._process.exitcode is not None, f"no end within {LIMIT_S:g} s: {self._read('stderr')}"
        orphans = not self._group_ends()
        ended = Ended(self._process.exitcode, self._read("stderr"), int(self._read("writes") or 0), orphans)
        shutil.rmtree(self._streams)
        return ended

    def _read(self, name: str) -> str:
        path = self._streams / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _group_ends(self, limit_s: float = 30.0) -> bool:
        """Return whether all processes of the group end within a time limit; kill them if not."""
        assert self._process.pid is not None
        end = time.monotonic() + limit_s
        with suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.killpg(self._process.pid, 0)
                time.sleep(0.05)
            os.killpg(self._process.pid, signal.SIGKILL)
            return False
        return True


def vbench(folder: Path, command: Sequence[str], kill_at: int | None = None) -> Ended:
    """Run a command in ``folder`` to its end."""
    return Vbench(folder, command, kill_at=kill_at).wait()


def barrier() -> Any:
    """Return a barrier for two processes."""
    return _FORK_SERVER.Barrier(2)


def check_ended(ended: Ended) -> None:
    """Check that a command ended in an orderly way: a known exit code and at most one line of error."""
    assert ended.code in CODES, f"exit code {ended.code}: {ended.err[-2000:]}"
    assert "Traceback" not in ended.err, ended.err[-2000:]
    lines = [line for line in ended.err.splitlines() if line.startswith("vbench: ")]
    assert len(lines) == int(ended.code != 0), ended.err
    assert not ended.orphans, "processes were left"


def _run(folder: Path, command: tuple[str, ...], streams: Path, kill_at: int | None, start_with: Any) -> NoReturn:
    from vbench.cli.main import main

    os.setsid()
    os.chdir(folder)
    os.environ["TMPDIR"] = str(streams)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(streams / name, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["vbench", *command]
    writes = _CountedWrites(folder, kill_at)
    if start_with is not None:
        start_with.wait(LIMIT_S)
    sys.addaudithook(writes)
    try:
        main()
    except SystemExit as ended:
        writes.active = False
        (streams / "writes").write_text(str(writes.count))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)
    os._exit(0)


class _CountedWrites:
    """Audit hook that counts the changes below a folder, and kills the process before one of them."""

    def __init__(self, folder: Path, kill_at: int | None) -> None:
        self.count = 0
        self.active = True
        self._prefix, self._kill_at = f"{folder}/", kill_at

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and (event in _WRITES or (event == "open" and self._is_write(arguments))):
            self._count(arguments[0])

    def _is_write(self, arguments: tuple[Any, ...]) -> bool:
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))

    def _count(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are not followed
        if absolute.startswith(self._prefix):
            self.count += 1
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
