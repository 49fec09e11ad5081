"""Run fuzzed inputs of several classes and collect what failed; a worker that hangs or dies is replaced."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.fuzz import oracle
from tests.fuzz.case import InputClass
from tests.fuzz.command_line import preload, run_commands
from tests.fuzz.in_process import run_inputs
from tests.fuzz.oracle import Result
from tests.fuzz.samples import Samples, build_samples

IN_PROCESS_LIMIT_S = 20.0
COMMAND_LIMIT_S = 60.0
_SHOWN = 3  # inputs per fault
_PATIENCE = 4
_PR_SET_PDEATHSIG = 1


@dataclass
class Tally:
    """Results of a class: counts of outcomes and failures, and the inputs of each fault."""

    inputs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, index: int, result: Result) -> None:
        """Count a result."""
        self.inputs += 1
        self.counts[result.outcome] += 1
        for kind, text in result.failures.items():
            self.counts[kind] += 1
            self.faults.setdefault(f"{kind}: {_signature(text)}", []).append((index, text))

    @property
    def failed(self) -> int:
        """Number of failures."""
        return sum(self.counts[kind] for kind in oracle.FAILURES)


def _signature(text: str) -> str:
    """Return the part of a description that is equal for all inputs with one fault."""
    fault = text.rpartition("] ")[2] if text.startswith("[") else text
    return re.sub(r"0x[0-9a-f]+|\d+|'.*?'|\(vbench .*|(?<!\w)/\S+", "_", fault)[:100]


@dataclass(frozen=True)
class Plan:
    """Inputs to run: ``count`` of a class from ``seed``; ``only`` this index if it is not None."""

    kind: InputClass
    seed: int
    count: int
    through_command_line: bool = False
    only: int | None = None
    end: float = float("inf")  # time.monotonic() at which to stop

    def indices(self, start: int) -> Iterator[int]:
        """Yield the indices from ``start`` until the time is up."""
        if self.only is not None:
            yield from (self.only,) if start == 0 else ()
            return
        for index in range(start, self.count):
            if time.monotonic() > self.end:
                return
            yield index


@contextmanager
def open_samples(root: Path) -> Iterator[tuple[Samples, socket.socket]]:
    """Yield the samples, and a socket to which nothing may connect.

    They are built in a separate process, because libraries must not start threads in this one, which forks others.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        samples = Samples(root, listener.getsockname()[1])
        process = multiprocessing.get_context("fork").Process(target=build_samples, args=(samples,))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the samples could not be built")
        preload()
        yield samples, listener


def run_plan(plan: Plan, samples: Samples, listener: socket.socket, limit_s: float) -> Tally:
    """Run the inputs of a class in worker processes, one at a time."""
    tally, begin = Tally(), time.monotonic()
    start = 0
    work = samples.root / f"work-{os.getpid()}"
    while True:
        worker = _Worker(plan, samples, start, work, limit_s)
        for index, result in worker.results():
            if oracle.HANG in result.failures:
                result = _confirm(plan, samples, index, limit_s)
            if _connected(listener):
                result = Result(result.outcome, {**result.failures, oracle.OPENED: "[network] a connection"})
            tally.add(index, result)
            start = index + 1
        if worker.ended or plan.only is not None:
            break
    shutil.rmtree(work, ignore_errors=True)
    tally.seconds = time.monotonic() - begin
    return tally


def _confirm(plan: Plan, samples: Samples, index: int, limit_s: float) -> Result:
    """Run an input that did not end again, alone and with more time: another process may have slowed it down."""
    work = samples.root / f"work-{os.getpid()}-again"
    ((_, result),) = _Worker(replace(plan, only=index), samples, 0, work, _PATIENCE * limit_s).results()
    shutil.rmtree(work, ignore_errors=True)
    return result


def _connected(listener: socket.socket) -> bool:
    with suppress(BlockingIOError):
        listener.accept()[0].close()
        return True
    return False


class _Worker:
    """A process that runs inputs from ``start`` on and reports each result through a pipe."""

    def __init__(self, plan: Plan, samples: Samples, start: int, work: Path, limit_s: float) -> None:
        self.ended = False
        # A command has its own limit, which the process enforces.
        self._limit_s = limit_s + 30 if plan.through_command_line else limit_s
        self._plan, self._start = plan, start
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(plan, samples, start, work, limit_s, theirs))
        self._process.start()
        theirs.close()

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield index and result until the inputs end or the process has to be replaced."""
        index = self._plan.only if self._plan.only is not None else self._start
        while True:
            if not self._pipe.poll(self._limit_s):
                self._stop()
                yield index, Result(oracle.REFUSED, {oracle.HANG: f"no end within {self._limit_s:g} s"})
                return
            try:
                message = self._pipe.recv()
            except EOFError:
                self._process.join()
                text = f"the process ended with {self._process.exitcode}"
                yield index, Result(oracle.REFUSED, {oracle.CRASH: text})
                return
            if isinstance(message, str):
                raise RuntimeError(f"the harness failed: {message}")
            if message is None:
                self.ended = True
                self._process.join()
                return
            index, result = message
            yield index, result
            index += 1

    def _stop(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()


def _work(plan: Plan, samples: Samples, start: int, work: Path, limit_s: float, pipe: Any) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # ends with its parent, even in an endless loop
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries print warnings about damaged files
    seen: list[int] = []

    def remembered() -> Iterator[int]:
        for index in plan.indices(start):
            seen.append(index)
            yield index

    if plan.through_command_line:
        results = run_commands(samples, plan.kind, plan.seed, remembered(), work, limit_s)
    else:
        results = run_inputs(samples, plan.kind, plan.seed, remembered(), work)
    try:
        for result in results:
            pipe.send((seen[-1], result))
        pipe.send(None)
    except Exception:
        pipe.send(f"{plan.kind.name} {seen[-1:]}: {traceback.format_exc()}")
    os._exit(0)  # not waiting for threads that read on


def shares(classes: list[InputClass], inputs: int, weight: Callable[[InputClass], float]) -> dict[str, int]:
    """Divide a number of inputs among classes by weight."""
    total = sum(map(weight, classes)) or 1.0
    return {each.name: round(inputs * weight(each) / total) for each in classes}


def table(tallies: dict[str, Tally]) -> str:
    """Return the results as a Markdown table with a row per class and one for all."""
    total = Tally()
    for each in tallies.values():
        total.inputs += each.inputs
        total.seconds += each.seconds
        total.counts += each.counts
    head = ("class", "inputs", oracle.ANSWERED, oracle.REFUSED, *oracle.FAILURES, "seconds")
    rows = [
        (name, each.inputs, *(each.counts[column] for column in head[2:-1]), f"{each.seconds:.0f}")
        for name, each in (*tallies.items(), ("all", total))
    ]
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def faults(tallies: dict[str, Tally], seed: int, command_line: bool) -> Iterator[str]:
    """Yield each fault with the first inputs that show it, and the command to repeat the first."""
    option = " --cli" if command_line else ""
    for name, tally in tallies.items():
        for fault, inputs in sorted(tally.faults.items(), key=lambda item: -len(item[1])):
            yield f"{name}: {fault} ({len(inputs)} inputs)"
            for index, text in inputs[:_SHOWN]:
                yield f"    {index}: {ascii(text)[1:-1]}"
            yield f"    python -m tests.fuzz{option} --class '{name}' --seed {seed} --only {inputs[0][0]}"


def save(path: Path, tallies: dict[str, Tally], seed: int) -> None:
    """Write all results as JSON."""
    content = {name: {**vars(each), "counts": dict(each.counts)} for name, each in tallies.items()}
    path.write_text(json.dumps({"seed": seed, "classes": content}, indent=1), encoding="utf-8")
