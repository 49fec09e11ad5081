"""The process in which LoadGen runs.

LoadGen's test is one blocking call that cannot be stopped, and an exception in its callbacks crashes the process. In
its own process it can be killed at any time, and its arrival times do not depend on the interpreter that runs the
clips. Queries are written to one pipe, and the ids of answered queries are read from another; this costs about 0.1 ms
per query, which LoadGen counts as latency. The process ends when its parent does.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Any

from .loadgen_settings import LoadGenTest

QUERY = struct.Struct("=QI")  # id and index of the clip
ANSWER = struct.Struct("=Q")  # id
_BLOCK = 1 << 16


def main(request: str, queries: int, answers: int) -> None:
    """Run the test ``request`` (JSON) with the file descriptors of both pipes, and exit."""
    import mlperf_loadgen as loadgen

    test = LoadGenTest.from_json(request)
    threading.Thread(target=_complete, args=(loadgen, answers), daemon=True).start()
    system = loadgen.ConstructSUT(lambda samples: _issue(queries, samples), lambda: None)
    library = loadgen.ConstructQSL(test.samples, test.samples, lambda _: None, lambda _: None)
    audit = f"{test.folder}/audit.config"  # by default, LoadGen reads its settings from this file in the current folder
    loadgen.StartTestWithLogSettings(system, library, _settings(loadgen, test), _logs(loadgen, test), audit)
    os._exit(0)


def _settings(loadgen: Any, test: LoadGenTest) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, test.scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    for name, value in test.settings.items():
        setattr(settings, name, value)
    return settings


def _logs(loadgen: Any, test: LoadGenTest) -> Any:
    logs = loadgen.LogSettings()
    logs.log_output.outdir = test.folder
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    return logs


def _issue(queries: int, samples: Sequence[Any]) -> None:
    try:
        content = b"".join(QUERY.pack(sample.id, sample.index) for sample in samples)
        while content:
            content = content[os.write(queries, content) :]
    except BaseException as error:
        _end(error)


def _complete(loadgen: Any, answers: int) -> None:
    """Pass answered queries to LoadGen until the parent closes the pipe."""
    try:
        while content := os.read(answers, _BLOCK):  # whole ids: writes of a few bytes are atomic
            ids = (id for (id,) in ANSWER.iter_unpack(content))
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(id, 0, 0) for id in ids])
    except BaseException as error:
        _end(error)
    os._exit(1)


def _end(error: BaseException) -> None:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)
