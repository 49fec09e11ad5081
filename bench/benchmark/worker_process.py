"""A worker's process, from start to `close`: every wait is bounded, and every failure is one line."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from time import monotonic
from typing import Any

from .turn import Started, Turn, TurnRequest, WorkerTask

_CODE = "import sys; sys.path[:] = {path!r}; from {package}.worker import main; main()"
_TF32 = "NVIDIA_TF32_OVERRIDE"  # 0 disables it in cuBLAS, cuDNN and TensorRT, overriding the program
_BLOCK = 1 << 16


class WorkerError(Exception):
    """One-line reason why a worker did not reply."""


class Worker:
    """A running process; `start` loads its contender."""

    def __init__(self, task: WorkerTask) -> None:
        self._received = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._task = task
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path, package=__package__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(task),
            start_new_session=True,  # Ctrl-C reaches only the benchmark, which ends its workers
        )

    def start(self, limit_s: float) -> Started:
        """Load the contender.

        Raises:
            WorkerError: it did not load, crashed, or exceeded the time limit.
        """
        return Started(**self._exchange(self._task.record(), limit_s))

    def run(self, request: TurnRequest, limit_s: float) -> Turn:
        """Run a turn; raise WorkerError as `start` does."""
        return Turn.from_record(self._exchange(asdict(request), limit_s))

    def close(self) -> None:
        """Kill the process and its children, and wait for it."""
        if self._stderr.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _exchange(self, request: dict[str, Any], limit_s: float) -> Any:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the reason is reported below
            self._process.stdin.write(f"{json.dumps(request)}\n".encode())
            self._process.stdin.flush()
        reply = json.loads(self._line(monotonic() + limit_s, limit_s))
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["reply"]

    def _line(self, until: float, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        parts = [self._received]
        while b"\n" not in parts[-1]:
            if not select.select([self._process.stdout], [], [], max(until - monotonic(), 0))[0]:
                raise WorkerError(f"no reply within {limit_s:.0f} s")
            block = os.read(self._process.stdout.fileno(), _BLOCK)
            if not block:
                raise WorkerError(self._end())
            parts.append(block)
        line, _, self._received = b"".join(parts).partition(b"\n")
        return line

    def _end(self) -> str:
        code = self._process.wait()
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        if code == -signal.SIGKILL:
            ended += ", which is how the system ends a process when memory runs out"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1].strip()}" if lines else ended


def _environment(task: WorkerTask) -> dict[str, str]:
    """Return the worker's environment: TF32 is disabled for exact contenders and unrestricted for others."""
    inherited = {name: value for name, value in os.environ.items() if name != _TF32}
    return {**inherited, _TF32: "0"} if task.contender.exact else inherited
