"""A worker as its parent sees it: a request, then an answer within a limit, or one line that says why not."""

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

from .answers import WorkerRequest
from .contenders import Contender
from .settings import WorkerConfig

_CODE = "import sys; sys.path[:] = {path!r}; from tools.gpu_check.worker import main; main()"
_TF32 = "NVIDIA_TF32_OVERRIDE"  # 0 forbids it in cuBLAS, cuDNN and TensorRT, whatever a program asks for
_BLOCK = 1 << 16


class WorkerError(Exception):
    """Why there is no answer, in one line."""


class Worker:
    """A contender's process, from its start to `close`."""

    def __init__(self, contender: Contender, config: WorkerConfig) -> None:
        self._said = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(contender),
            start_new_session=True,
        )
        task = {**{name: str(value) for name, value in asdict(config).items()}, "slots": config.slots}
        self._first = json.dumps({**task, "contender": asdict(contender)})

    def start(self, limit_s: float) -> dict[str, str]:
        """Load the contender and return how its engine describes itself.

        Raises:
            WorkerError: it did not load, crashed, or took longer than its limit.
        """
        described: dict[str, str] = self._exchange(self._first, limit_s)
        return described

    def ask(self, request: WorkerRequest, limit_s: float) -> Any:
        """Return the answer to a request; raises as `start` does."""
        return self._exchange(json.dumps(asdict(request)), limit_s)

    def close(self) -> None:
        """End the process, and what it has started, and wait for it."""
        if self._stderr.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _exchange(self, line: str, limit_s: float) -> Any:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # why it has ended is told below
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        said = json.loads(self._line(monotonic() + limit_s, limit_s))
        if "error" in said:
            raise WorkerError(said["error"])
        return said["reply"]

    def _line(self, until: float, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._said:
            if not select.select([self._process.stdout], [], [], max(until - monotonic(), 0))[0]:
                raise WorkerError(f"no answer within {limit_s:.0f} s")
            block = os.read(self._process.stdout.fileno(), _BLOCK)
            if not block:
                raise WorkerError(self._end())
            self._said += block
        line, _, self._said = self._said.partition(b"\n")
        return line

    def _end(self) -> str:
        code = self._process.wait()
        ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1].strip()}" if lines else ended


def _environment(contender: Contender) -> dict[str, str]:
    """Return the worker's environment: TF32 is forbidden where answers have to be exact, and not where they are not."""
    inherited = {name: value for name, value in os.environ.items() if name != _TF32}
    return {**inherited, _TF32: "0"} if contender.exact else inherited
