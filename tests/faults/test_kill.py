"""A process killed at any write leaves nothing half-written: the command, run again, gives the undisturbed output."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.commands import (
    EXPORT,
    MIGRATE,
    PACKAGE,
    PREPARE,
    REPORT,
    RESUME,
    RUN,
    SWEEP,
    TRACE,
    WritingCommand,
)
from tests.faults.conftest import Undisturbed
from tests.faults.process import Vbench, vbench
from tests.fuzz.samples import Samples

SEED = 13
FAST = (RUN, RESUME)
SLOW = (TRACE, PACKAGE, SWEEP, REPORT, MIGRATE, EXPORT)
_POINTS = {EXPORT: 2, RUN: 4, RESUME: 4}


def named(*commands: WritingCommand, slow: bool = False) -> list[object]:
    marks = [pytest.mark.slow] if slow else []
    return [pytest.param(command, id=command.name, marks=marks) for command in commands]


@pytest.mark.parametrize("command", [*named(*FAST), *named(*SLOW, slow=True)])
def test_killed_at_a_write(command: WritingCommand, samples: Samples, undisturbed: Undisturbed, tmp_path: Path) -> None:
    expected, writes = undisturbed(command)
    points = range(1, writes + 1)
    for point in random.Random(f"{SEED}/{command.name}").sample(points, min(_POINTS.get(command, 3), writes)):
        folder = tmp_path / f"write-{point}"
        ended = vbench(folder, command.start(samples, folder), kill_at=point)
        assert ended.code == -signal.SIGKILL, ended.err
        command.repeat(samples, folder, expected)


@pytest.mark.slow
@pytest.mark.parametrize("command", named(PREPARE, RUN))
def test_killed_at_a_time(command: WritingCommand, samples: Samples, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Also between writes, in the middle of one, and where other processes write."""
    expected, _ = undisturbed(command)
    begin = time.monotonic()
    folder = tmp_path / "timed"
    vbench(folder, command.start(samples, folder))
    duration = time.monotonic() - begin
    for number in range(4):
        folder = tmp_path / f"time-{number}"
        running = Vbench(folder, command.start(samples, folder))
        time.sleep(duration * random.Random(f"{SEED}/{number}").random())
        running.kill()
        ended = running.wait()
        assert not ended.orphans, "its processes go on"
        command.repeat(samples, folder, expected)
