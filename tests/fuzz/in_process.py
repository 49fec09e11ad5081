"""Run fuzzed inputs one after another in this process, which its parent may kill."""

from __future__ import annotations

import gc
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import oracle
from tests.fuzz.case import Case, InputClass, random_of
from tests.fuzz.inotify import OpenedFiles
from tests.fuzz.oracle import Result
from tests.fuzz.samples import Samples
from vbench.errors import VbenchError

_MEMORY = 16 << 30


def run_inputs(samples: Samples, kind: InputClass, seed: int, indices: Iterator[int], work: Path) -> Iterator[Result]:
    """Yield the result of each input of a class.

    Args:
        work: folder of this process, whose contents are replaced.
    """
    folder, temporary, home = work / "in", work / "tmp", work / "home"
    _isolate(temporary, home)
    watch = oracle.Watch(work, samples.folder)
    outside = OpenedFiles(samples.outside)
    for index in indices:
        os.chdir(work)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.chdir(folder)
        case = kind.make(random_of(seed, kind.name, index), samples, folder)
        outside.take()
        before = oracle.listing(work)
        watch.arm()
        result = result_of(case)
        opened = [*watch.disarm(), *(f"opened outside/{name}" for name in outside.take() if name)]
        failures = {**result.failures}
        if opened:
            failures[oracle.OPENED] = "; ".join(sorted(set(opened)))[:300]
        left = [name for name in oracle.listing(work) if name not in before and not _is_cache(name)]
        if left and case.command[:2] != ("run", "--resume"):
            failures[oracle.LEFTOVER] = ", ".join(left)[:300]
            shutil.rmtree(temporary)
            temporary.mkdir()
        yield Result(result.outcome, {kind: f"[{case.what}] {text}" for kind, text in failures.items()})
        if index % 1000 == 0:
            gc.collect()


def _isolate(temporary: Path, home: Path) -> None:
    """Use folders of this process for temporary and configuration files, and limit its memory."""
    for path in (temporary, home):
        path.mkdir(parents=True, exist_ok=True)
    os.environ.update(TMPDIR=str(temporary), HOME=str(home), MPLCONFIGDIR=str(home), XDG_CACHE_HOME=str(home))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _is_cache(name: str) -> bool:
    return name.startswith(("home/", *oracle.LIBRARY_FILES))


def result_of(case: Case) -> Result:
    """Read an input and return what is wrong with the result."""
    try:
        answer = case.use()
    except VbenchError as error:
        return _refused(case, error)
    except Exception as error:
        return Result(oracle.REFUSED, {oracle.CRASH: oracle.place_of(error)})
    failures = {}
    if case.must_fail:
        failures[oracle.FALSE_SUCCESS] = "an answer"
    wrong = oracle.not_finite(answer) or case.wrong(answer)
    if wrong:
        failures[oracle.FALSE_SUCCESS] = wrong
    return Result(oracle.ANSWERED, failures)


def _refused(case: Case, error: VbenchError) -> Result:
    failures = {}
    if case.must_answer:
        failures[oracle.FALSE_REFUSAL] = ascii(str(error))[:200]
    bad = oracle.bad_text(str(error))
    if bad:
        failures[oracle.MESSAGE] = f"{oracle.place_of(error).partition(':')[0]} {bad}"
    return Result(oracle.REFUSED, failures)
