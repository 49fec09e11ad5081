"""Parent side of a worker: request/reply with a timeout and a one-line failure reason."""

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
_TF32 = "NVIDIA_TF32_OVERRIDE"  # 0 disables it in cuBLAS, cuDNN and TensorRT, overriding the program
_BLOCK = 1 << 16


class WorkerError(Exception):
    """One-line reason why a worker did not reply."""


class Worker:
    """The process of a contender, from start to `close`."""

    def __init__(self, contender: Contender, config: WorkerConfig) -> None:
        self._received = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
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
        """Load the contender and return the description of its engine.

        Raises:
            WorkerError: it did not load, crashed, or exceeded the time limit.
        """
        described: dict[str, str] = self._exchange(self._first, limit_s)
        return described

    def ask(self, request: WorkerRequest, limit_s: float) -> Any:
        """Send a request and return the reply; raises WorkerError like `start`."""
        return self._exchange(json.dumps(asdict(request)), limit_s)

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

    def _exchange(self, line: str, limit_s: float) -> Any:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the reason is reported below
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        reply = json.loads(self._line(monotonic() + limit_s, limit_s))
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["reply"]

    def _line(self, until: float, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            if not select.select([self._process.stdout], [], [], max(until - monotonic(), 0))[0]:
                raise WorkerError(f"no reply within {limit_s:.0f} s")
            block = os.read(self._process.stdout.fileno(), _BLOCK)
            if not block:
                raise WorkerError(self._end())
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _end(self) -> str:
        code = self._process.wait()
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1].strip()}" if lines else ended


def _environment(contender: Contender) -> dict[str, str]:
    """Return the worker's environment: TF32 is disabled for exact contenders and unrestricted for others."""
    inherited = {name: value for name, value in os.environ.items() if name != _TF32}
    return {**inherited, _TF32: "0"} if contender.exact else inherited
