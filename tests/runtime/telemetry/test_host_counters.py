"""Counters of the host: what is read from ``/proc`` and ``/sys``, and what is unknown on other machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes_host import FakeHost
from vbench.runtime.telemetry.cgroups import memory_stall_s, throttled_s


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_only_the_cpus_of_the_process_count(host: FakeHost) -> None:
    host.busy((1.5, 100, 2.25, 100), stolen_s=0.25)
    sample = host.counters().read()
    assert sample.busy_s == pytest.approx(3.75), "neither idle nor waiting nor stolen"
    assert sample.stolen_s == pytest.approx(0.5)
    assert (sample.throttled_s, sample.memory_stall_s, sample.clock_mhz, sample.joules) == (None,) * 4


@pytest.mark.parametrize(
    "stat",
    [
        "cpu0 1 1 1 1 1 1 1 1 0 0\n",  # the second CPU is offline
        "cpu0 0 0 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n",  # a sandbox that counts nothing
        "cpu0 1 1 1 1\ncpu2 1 1 1 1\n",  # an old kernel
        "",
    ],
)
def test_cpu_time_that_is_not_counted_is_unknown(host: FakeHost, stat: str) -> None:
    host.write("proc/stat", stat)
    sample = host.counters().read()
    assert (sample.busy_s, sample.stolen_s) == (None, None)


def test_children_and_theirs_are_own(host: FakeHost) -> None:
    counters, host.own_s = host.counters(), 5.0
    alone = counters.read().own_s
    host.write("proc/self/task/7/children", "11 ")
    host.process(11, 0.5, children="12 13 ")  # 13 has ended
    host.process(12, 0.25)
    assert counters.read().own_s - alone == pytest.approx(0.75)
    (host.proc / "12" / "stat").unlink()
    assert counters.read().own_s - alone == pytest.approx(0.5)


def test_without_proc_reading_fails(host: FakeHost) -> None:
    (host.proc / "stat").unlink()
    with pytest.raises(FileNotFoundError):
        host.counters().read()


# control groups


def test_throttling_of_the_most_throttled_group(host: FakeHost) -> None:
    host.write("sys/fs/cgroup/cpu.stat", "usage_usec 10\n")  # the root has no quota
    host.write("sys/fs/cgroup/box/cpu.stat", "usage_usec 10\nnr_throttled 4\nthrottled_usec 2500000\n")
    host.write("sys/fs/cgroup/box/run/cpu.stat", "usage_usec 10\nthrottled_usec 500000\n")
    assert host.counters().read().throttled_s == pytest.approx(2.5)


def test_throttling_in_version_1(host: FakeHost) -> None:
    host.write("proc/self/cgroup", "4:cpu,cpuacct:/job\n0::/\n")
    host.write("sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 0\nthrottled_time 0\n")
    host.write("sys/fs/cgroup/cpu/job/cpu.stat", "nr_throttled 2\nthrottled_time 1500000000\n")
    assert throttled_s(host.cgroups, host.proc) == pytest.approx(1.5)


PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"


def test_memory_stalls_of_the_innermost_group_precede_those_of_the_machine(host: FakeHost) -> None:
    assert memory_stall_s(host.cgroups, host.proc) is None
    host.write("proc/pressure/memory", PRESSURE.format(3_000_000))
    assert memory_stall_s(host.cgroups, host.proc) == pytest.approx(3)
    host.write("sys/fs/cgroup/box/memory.pressure", PRESSURE.format(2_000_000))
    assert memory_stall_s(host.cgroups, host.proc) == pytest.approx(2)
    host.write("sys/fs/cgroup/box/run/memory.pressure", PRESSURE.format(1_000_000))
    assert host.counters().read().memory_stall_s == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "\n\n", "throttled_usec\n", "throttled_usec many\nsome total=many\n"])
def test_damaged_files_of_a_group_are_unknown(host: FakeHost, text: str) -> None:
    host.write("sys/fs/cgroup/box/run/cpu.stat", text)
    host.write("sys/fs/cgroup/box/run/memory.pressure", text)
    sample = host.counters().read()
    assert (sample.throttled_s, sample.memory_stall_s) == (None, None)


# clock and energy


def test_the_clock_is_that_of_busy_cpus(host: FakeHost) -> None:
    host.clock(0, 3400)
    host.clock(2, 800)
    counters = host.counters()

    def clock_mhz(*busy_s: float) -> float | None:
        host.now_s += 1
        host.busy(busy_s)
        return counters.read().clock_mhz

    assert clock_mhz(0, 0, 0, 0) is None, "nothing is known about the time before"
    assert clock_mhz(0.9, 0, 0.1, 0) == 3400
    assert clock_mhz(0.9, 0, 0.2, 0) is None, "both CPUs were idle"
    (host.sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").unlink()
    assert clock_mhz(1.9, 0, 1.2, 0) == 800


def test_energy_of_all_packages(host: FakeHost) -> None:
    host.energy("intel-rapl:0", "package-0", 990)
    host.energy("intel-rapl:0:0", "core", 50)
    host.energy("intel-rapl:1", "package-1", 10)
    host.energy("intel-rapl:2", "psys", 5)
    counters = host.counters()
    assert counters.read().joules == 0
    host.energy("intel-rapl:0", "package-0", 5)
    host.energy("intel-rapl:1", "package-1", 30)
    host.energy("intel-rapl:2", "psys", 900)
    assert counters.read().joules == pytest.approx(15 + 20), "a counter wraps around at the end of its range"


def test_energy_that_may_not_be_read_is_unknown(host: FakeHost) -> None:
    host.energy("intel-rapl:0", "package-0", 1)
    host.energy("intel-rapl:1", "package-1", 1)
    (host.sys / "class/powercap/intel-rapl:1/energy_uj").write_text("")
    assert host.counters().read().joules is None
