"""One contender in its own process: loads a bundle once, then runs the clips of a source on request.

It runs under any checkout that its ``PYTHONPATH`` names, so it uses only what ``vbench.load`` and ``stream`` have
always offered. The first line of its input is the task, every other line is the name of a source; each is answered by a
line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import vbench


def main() -> None:
    """Serve turns until the input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print
        _serve(json.loads(sys.stdin.readline()), out)


def _serve(task: dict[str, Any], out: TextIO) -> None:
    network = vbench.load(task["bundle"], task["engine"], precision=task["precision"], threads=task["threads"])
    clips = {source: [_clip(path) for path in paths] for source, paths in task["clips"].items()}
    options = _options(task["workers"])
    _send(None, out)
    for line in sys.stdin:
        _send(_turn(network, clips[line.strip()], options), out)


def _send(reply: dict[str, Any] | None, out: TextIO) -> None:
    out.write(json.dumps(reply) + "\n")
    out.flush()


def _clip(path: str) -> Any:
    return np.load(path) if path.endswith(".npy") else Path(path)


def _options(workers: int | None) -> Any:
    """Return the options of a stream with this number of reader threads, or the checkout's default."""
    if workers is None:
        return None
    from dataclasses import replace

    from vbench.runtime.scheduler.options import THROUGHPUT

    return replace(THROUGHPUT, workers=workers)


def _turn(network: Any, clips: list[Any], options: Any) -> dict[str, Any]:
    cpu, begin = time.process_time(), time.perf_counter()
    results = sorted(network.stream(clips, options), key=lambda result: result.clip)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {
        "ms": 1000 * seconds / len(clips),
        "cpu_ms": 1000 * cpu / len(clips),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "answers": [[result.prediction.label, result.prediction.exit_step] for result in results],
    }


if __name__ == "__main__":
    main()
