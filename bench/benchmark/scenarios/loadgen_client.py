"""Client of the LoadGen process: it receives queries and sends answers, and every wait is bounded."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import NamedTuple

from ....errors import RunError
from ....runtime.engines.install_hint import missing_package
from .loadgen_process import ANSWER, QUERY
from .loadgen_settings import LoadGenTest

_CODE = "import sys; sys.path[:] = {path!r}; from {package}.loadgen_process import main; main({arguments})"
_SILENCE_S = 60.0  # longest time that LoadGen may neither issue a query nor wait for an answer
_END_S = 60.0  # longest time to exit after the last query
_BLOCK = 1 << 16


class Query(NamedTuple):
    """A LoadGen query: its id, and the index of its clip."""

    id: int
    sample: int


def require_loadgen() -> None:
    """Raise MissingError if LoadGen is not installed."""
    if find_spec("mlperf_loadgen") is None:
        raise missing_package("mlcommons-loadgen", "loadgen")


class LoadGenClient:
    """A running LoadGen test.

    Thread safety: one thread iterates over `queries`; another calls all other methods.
    """

    def __init__(self, test: LoadGenTest) -> None:
        """Start the test."""
        self._answered = self._issued = 0
        self._silence_s = _SILENCE_S + 20 / test.settings.get("server_target_qps", 1.0)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._queries, queries = os.pipe()
        answers, self._answers = os.pipe()
        arguments = f"{test.to_json()!r}, {queries}, {answers}"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(path=sys.path, package=__package__, arguments=arguments)],
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=(queries, answers),
                start_new_session=True,  # Ctrl-C reaches only this process, which ends the test
            )
        finally:
            os.close(queries)
            os.close(answers)

    def queries(self) -> Iterator[Query]:
        """Yield the queries as LoadGen issues them, until the test has ended."""
        rest = b""
        while block := self._read():
            content = rest + block
            whole = len(content) - len(content) % QUERY.size
            rest = content[whole:]
            self._issued += whole // QUERY.size
            yield from map(Query._make, QUERY.iter_unpack(content[:whole]))

    def complete(self, query: int) -> None:
        """Tell LoadGen that the query with this id has been answered."""
        self._answered += 1
        with suppress(BrokenPipeError):  # the reason is reported by `check_end`
            os.write(self._answers, ANSWER.pack(query))

    def check_end(self) -> None:
        """Wait until the process has ended.

        Raises:
            RunError: it failed.
        """
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise RunError(f"LoadGen did not end within {_END_S:g} s of the last answer", "run again") from None
        if code:
            raise RunError(f"LoadGen {self._reason(code)}", "run again")

    def end(self) -> None:
        """Kill the process if it is still running, which ends `queries`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and close its files; no thread may be using `queries`."""
        self.end()
        os.close(self._queries)
        os.close(self._answers)
        self._stderr.close()

    def _read(self) -> bytes:
        """Return the next bytes, or b"" once the process has ended; end it if LoadGen hangs."""
        while not select.select([self._queries], [], [], self._silence_s)[0]:
            if self._answered == self._issued:
                self._process.kill()
        return os.read(self._queries, _BLOCK)

    def _reason(self, code: int) -> str:
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1].strip()}" if lines else ended
