"""Recording the startup by phase: times add up, and nothing is recorded outside a startup."""

from __future__ import annotations

import time

import pytest

from vbench import startup as module
from vbench.startup import StartupTimes, phase, process_startup, ready, startup


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the current time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_time_belongs_to_the_innermost_phase(clock: list[float]) -> None:
    with startup():
        clock[0] += 1
        with phase("engine"):
            clock[0] += 2
            with phase("digests"):
                clock[0] += 4
            with phase("engine/backbone"):
                clock[0] += 8
            clock[0] += 16
        with phase("digests"):
            clock[0] += 32
        times = ready()
    assert times is not None
    assert times.phases == {"engine": 18, "digests": 36, "engine/backbone": 8, "other": 1}
    assert list(times.phases)[-1] == "other"
    assert times.seconds == 63
    assert times.record() == {"seconds": 63, "phases": times.phases}
    assert times.text() == "ready in 63.0 s: engine 26.0, digests 36.0, other 1.0"


def test_phases_within_a_whole_one_are_not_recorded(clock: list[float]) -> None:
    with startup():
        with phase("choice", whole=True), phase("engine"):
            clock[0] += 1
        with phase("engine"):
            clock[0] += 2
        times = ready()
    assert times is not None
    assert times.phases == {"choice": 1, "engine": 2, "other": 0}


def test_a_startup_within_another_continues_it(clock: list[float]) -> None:
    with startup(), phase("imports"):
        clock[0] += 1
        with startup(), phase("data"):
            clock[0] += 2
            times = ready()
        assert times is not None
        assert times.phases == {"imports": 1, "data": 2, "other": 0}
        with startup(), phase("data"):  # of a second run
            clock[0] += 4
            times = ready()
        assert times is not None
        assert times.phases == {"data": 4, "other": 0}
    assert ready() is None


def test_nothing_is_recorded_outside_a_startup() -> None:
    with phase("engine"):
        assert ready() is None
    with startup():
        pass
    assert ready() is None


def test_an_error_ends_the_recording(clock: list[float]) -> None:
    with pytest.raises(KeyError), startup(), phase("engine"):
        raise KeyError
    with startup():
        clock[0] += 1
        times = ready()
    assert times == StartupTimes({"other": 1})


def test_a_command_starts_with_its_process(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_process_age_s", lambda: 0.25)
    with process_startup():
        clock[0] += 1
        times = ready()
    assert times == StartupTimes({"python": 0.25, "other": 1})
    monkeypatch.undo()
    assert module._process_age_s() > 0


def test_short_phases_are_only_in_the_record() -> None:
    assert StartupTimes({"engine": 0.5, "digests": 0.04, "other": 0.01}).text() == "ready in 0.6 s: engine 0.5"
    assert StartupTimes({"other": 0.01}).text() == "ready in 0.0 s"
