"""The monitor of the host around a measurement; it never affects the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes_host import FakeHost
from vbench.runtime.telemetry.host_counters import HostCounters
from vbench.runtime.telemetry.host_monitor import HostMonitor
from vbench.runtime.telemetry.stability import problems

QUICK_S = 0.01
HAS_PROC = Path("/proc/stat").exists()


def test_samples_until_the_end(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    monitor = HostMonitor(threads=2, counters=host.counters(), interval_s=QUICK_S)
    with monitor:
        host.own_s, host.now_s = 0.1, host.now_s + 2
        host.busy((0.25, 0, 0.35, 0))
        time.sleep(5 * QUICK_S)
    record = monitor.record()
    assert record is not None
    assert (record.seconds, record.cpus, record.wanted_cpus) == (2, 2, 2)
    assert (record.own_cpus, record.other_cpus) == (pytest.approx(0.05), pytest.approx(0.25))
    assert not [thread for thread in threading.enumerate() if thread.name == "vbench-host-monitor"]


def test_without_proc_there_is_no_record(tmp_path: Path) -> None:
    with HostMonitor(counters=HostCounters(tmp_path, tmp_path, [0])) as monitor:
        pass
    assert monitor.record() is None


def test_there_is_no_record_before_the_measurement() -> None:
    assert HostMonitor().record() is None


def test_counters_that_disappear_do_not_reach_the_run(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    with HostMonitor(counters=host.counters(), interval_s=QUICK_S) as monitor:
        host.write("proc/stat", "cpu0 x\ncpu2 y\n")
        time.sleep(5 * QUICK_S)
    assert monitor.record() is None


def test_an_error_of_the_run_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), HostMonitor(counters=FakeHost(tmp_path).counters()):
        raise KeyError


@contextmanager
def busy_loop(cpu: int) -> Iterator[None]:
    """Keep a CPU busy in another process that is not a child of this one."""
    code = f"import os\nos.sched_setaffinity(0, [{cpu}])\nprint('ready', os.getpid(), flush=True)\nwhile True: pass"
    start = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {code!r}])"
    launcher = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    process = int(launcher.stdout.readline().split()[1])
    launcher.wait()
    try:
        yield
    finally:
        os.kill(process, 9)
        launcher.stdout.close()


@pytest.mark.skipif(not HAS_PROC or not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_competing_process_is_seen_on_this_machine() -> None:
    """This process sleeps, so the loop gets its CPU whatever else runs; only more load could change the numbers."""
    with busy_loop(min(os.sched_getaffinity(0))), HostMonitor(threads=len(os.sched_getaffinity(0))) as monitor:
        time.sleep(1.0)
    record = monitor.record()
    assert record is not None
    if record.other_cpus is None:
        pytest.skip("this system does not count the time of its CPUs")
    assert record.own_cpus < 0.5
    assert record.other_cpus > 0.5
    if record.cpus <= 4:
        assert "other_cpus" in [problem.signal for problem in problems(record)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_a_child_that_still_runs_is_own_load() -> None:
    if not list(Path("/proc/self/task").glob("*/children")):
        pytest.skip("this kernel does not list children")
    counters = HostCounters()
    before = counters.read().own_s
    with subprocess.Popen([sys.executable, "-c", "print(sum(range(10**7)))\ninput()"], **_PIPES) as child:  # type: ignore[call-overload]
        assert child.stdout.readline()
        own_s = counters.read().own_s
        child.stdin.write("\n")
    assert own_s > before
    assert counters.read().own_s >= own_s


_PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
