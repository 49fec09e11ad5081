"""Run fuzzed inputs through the command line, each in a process forked from this one after its imports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from tests.fuzz import oracle
from tests.fuzz.case import Case, InputClass, random_of
from tests.fuzz.in_process import _isolate
from tests.fuzz.inotify import OpenedFiles
from tests.fuzz.oracle import Result
from tests.fuzz.samples import Samples
from vbench.runtime.measurements.store import FILE

CODES = (0, 2, 3, 4)
_REAL = 20  # one input of this number runs in a new process, like a command of a user
_START = "from vbench.cli.main import main; main()"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TEMPORARY = re.compile(r"(^|/)\.[^/]+$|\.partial|\.tmp$")


class Ended(NamedTuple):
    """How a command ended; ``code`` is None if it was killed because it took too long, negative for a signal.

    Attributes:
        case: the input, without its functions; None if it has no command.
        before: the files before the command.
        wrong: what is wrong with the files after it, see `Case`.
    """

    code: int | None
    out: str
    err: str
    opened: list[str]
    case: Case | None
    before: dict[str, tuple[int, int]]
    wrong: str | None


def run_commands(
    samples: Samples, kind: InputClass, seed: int, indices: Iterator[int], work: Path, limit_s: float
) -> Iterator[Result]:
    """Yield the result of the command of each input of a class."""
    outside = OpenedFiles(samples.outside)
    for index in indices:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
        (work / "in").mkdir(parents=True)
        outside.take()
        ended = run_forked(kind, seed, index, samples, work, limit_s)
        if ended.case is None:
            yield Result(oracle.REFUSED)
            continue
        opened = [*ended.opened, *(f"opened outside/{name}" for name in outside.take() if name)]
        failures = _failures(ended.case, ended, limit_s)
        if opened:
            failures[oracle.OPENED] = "; ".join(sorted(set(opened)))[:300]
        # A command that was killed could not remove anything.
        left = ended.code is not None and leftovers(ended.before, oracle.listing(work), ended.case.output, ended.code)
        if left:
            failures[oracle.LEFTOVER] = ", ".join(left)[:300]
        outcome = oracle.ANSWERED if ended.code == 0 else oracle.REFUSED
        shown = " ".join(ended.case.command).replace(str(samples.root), "$ROOT")
        yield Result(outcome, {kind: f"[{ended.case.what}] {text} (vbench {shown})" for kind, text in failures.items()})


def preload() -> None:
    """Import what commands import, so that a forked process starts quickly; no library may start threads yet."""
    import av
    import matplotlib.figure
    import onnxruntime
    import polars
    import pydantic
    import torch
    from PIL import Image

    import vbench.bench.compare.compare
    import vbench.bench.run.variants
    import vbench.bench.sweep.sweep
    import vbench.cli.main
    import vbench.export.exporter
    import vbench.plots.report.page

    del av, matplotlib, onnxruntime, polars, pydantic, torch, Image, vbench


def run_forked(kind: InputClass, seed: int, index: int, samples: Samples, work: Path, limit_s: float) -> Ended:
    """Write an input and run its command in a forked process, whose working folder is ``work / "in"``.

    The process also writes the input, since the libraries that do so start threads, which do not survive a fork.
    """
    files = {name: work.with_name(f"{work.name}-{name}") for name in ("stdout", "stderr", "opened", "case", "wrong")}
    process = os.fork()
    if process == 0:
        _child(kind, seed, index, samples, work, files)
    code = _wait(process, limit_s)
    texts = {name: path.read_text("utf-8", "surrogateescape") if path.exists() else "" for name, path in files.items()}
    for path in files.values():
        path.unlink(missing_ok=True)
    if not texts["case"]:
        raise RuntimeError(f"{kind.name} {index} could not be written: {texts['stderr']}")
    content = json.loads(texts["case"])
    case = Case(use=lambda: None, **content["case"]) if content["case"]["command"] else None
    before = {name: tuple(status) for name, status in content["before"].items()}
    return Ended(
        code, texts["stdout"], texts["stderr"], texts["opened"].splitlines(), case, before, texts["wrong"] or None
    )


def _child(kind: InputClass, seed: int, index: int, samples: Samples, work: Path, files: dict[str, Path]) -> NoReturn:
    code = 99
    try:
        os.setsid()
        os.chdir(work / "in")
        _isolate(work / "tmp", work / "home")
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(files[name], os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # What the parent had buffered or configured must not be used.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        case = kind.make(random_of(seed, kind.name, index), samples, work / "in")
        names = ("what", "command", "must_fail", "must_answer", "output")
        written = {"case": {name: getattr(case, name) for name in names}, "before": oracle.listing(work)}
        files["case"].write_text(json.dumps(written))
        if case.command and index % _REAL == _REAL - 1:
            os.execv(sys.executable, [sys.executable, "-c", _START, *case.command])
        elif case.command:
            report = os.open(files["opened"], os.O_WRONLY | os.O_CREAT)
            code = _run(case.command, oracle.Watch(work, samples.folder), report)
            files["wrong"].write_text(case.wrong(None) or "")
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(command: tuple[str, ...], watch: oracle.Watch, report: int) -> int:
    from vbench.cli.main import main

    sys.argv = ["vbench", *command]
    watch.arm()
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    finally:
        os.write(report, "\n".join(watch.disarm()).encode("utf-8", "surrogateescape"))
    return 0


def _wait(process: int, limit_s: float) -> int | None:
    """Return the exit code, a negative signal, or None after a time limit; kill the process and its children."""
    end = time.monotonic() + limit_s
    pause = 0.001
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _failures(case: Case, ended: Ended, limit_s: float) -> dict[str, str]:
    if ended.code is None:
        return {oracle.HANG: f"no end within {limit_s:g} s"}
    lines = [line for line in ended.err.splitlines() if line.startswith("vbench: ")]
    last = ended.err.strip().splitlines()[-1:] or [""]
    if ended.code not in CODES or "Traceback" in ended.err:
        return {oracle.CRASH: f"exit code {ended.code}: {ascii(last[0])[:160]}"}
    found = {}
    if len(lines) > 1 or (ended.code != 0 and not lines and not (ended.code == 4 and ended.out)):
        found[oracle.MESSAGE] = f"exit code {ended.code} with {len(lines)} lines of error: {ended.err[-200:]!a}"
    control = _CONTROL.search(ended.err) or _CONTROL.search(ended.out)
    if control:
        found[oracle.MESSAGE] = f"the output holds {control[0]!r}"
    return {**found, **_wrong_answer(case, ended)}


def _wrong_answer(case: Case, ended: Ended) -> dict[str, str]:
    if ended.code != 0:
        return {oracle.FALSE_REFUSAL: ascii(ended.err[-160:])} if case.must_answer else {}
    if case.must_fail:
        return {oracle.FALSE_SUCCESS: "exit code 0"}
    wrong = ended.wrong
    if "--json" in case.command:
        try:
            json.loads(ended.out, parse_constant=_reject)
        except ValueError as error:
            wrong = f"--json printed {error}"
    return {oracle.FALSE_SUCCESS: wrong} if wrong else {}


def _reject(constant: str) -> NoReturn:
    raise ValueError(constant)


def leftovers(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], output: str, code: int | None
) -> list[str]:
    """Return the new files that a command should not have left: temporary ones, and any other if it failed.

    A command that ends with a failed check (4) has written its output; so has a run whose videos all failed. The times
    of engines, which ``--engine auto`` stores with a bundle, remain valid if the run then fails.
    """
    stem = f"in/{output.partition('.')[0]}"
    new = {name for name in after if name not in before and not name.startswith(("home", *oracle.LIBRARY_FILES))}
    new -= {"tmp", f"in/bundle/{FILE}"}
    written = {name for name in new if name == stem or name.startswith((f"{stem}/", f"{stem}."))}
    return sorted({name for name in new if _TEMPORARY.search(name)} | (new - written if code in (0, 4) else new))
