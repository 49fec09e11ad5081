"""Records of the host's load, and which of them are problems."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from vbench.runtime.telemetry.gpu_record import GpuRecord, Share, Spread
from vbench.runtime.telemetry.host_counters import HostSample
from vbench.runtime.telemetry.host_record import HostRecord, host_record
from vbench.runtime.telemetry.stability import problems

IDLE = HostRecord(seconds=10, cpus=2, wanted_cpus=2, own_cpus=1.8, other_cpus=0.02)


def samples(other: Iterable[float], own: float = 1.0, window_s: float = 0.5) -> list[HostSample]:
    """Return samples with these numbers of CPUs used by other processes in each window."""
    found = [HostSample(100.0, 50.0, 1000.0, 0.0)]
    for each in other:
        last = found[-1]
        busy_s = last.busy_s + (own + each) * window_s if last.busy_s is not None else None
        found.append(last._replace(at_s=last.at_s + window_s, own_s=last.own_s + own * window_s, busy_s=busy_s))
    return found


def recorded(found: list[HostSample], cpus: int = 2, threads: int | None = None) -> HostRecord:
    record = host_record(found, cpus, threads)
    assert record is not None
    return record


def signals(record: HostRecord) -> list[str]:
    return [problem.signal for problem in problems(record)]


# records


def test_means_over_the_measurement() -> None:
    start = HostSample(10, 5, 100, 1, 3, 4, None, 0)
    end = HostSample(14, 9, 106, 2, 5, 4.5, 3000, 60)
    record = recorded([start, end])
    assert (record.seconds, record.own_cpus, record.other_cpus, record.stolen_cpus) == (4, 1, 0.5, 0.25)
    assert (record.throttled_share, record.memory_stall_share, record.joules) == (0.5, 0.125, 60)
    assert record.clock_mhz == Spread(3000, 3000, 3000)


def test_unknown_signals_stay_unknown_and_are_no_problem() -> None:
    record = recorded([HostSample(0, 0), HostSample(5, 5)])
    assert set(vars(record).values()) == {5.0, 2, 1, None, 0.0}
    assert problems(record) == ()
    assert problems(None) == ()


def test_no_record_of_no_time() -> None:
    assert host_record([], 2) is None
    assert host_record([HostSample(1, 1)], 2) is None
    assert host_record([HostSample(1, 1), HostSample(1, 1)], 2) is None


def test_counters_that_disagree_by_a_tick_are_no_negative_load() -> None:
    record = recorded([HostSample(0, 0, 0.0, 5.0), HostSample(1, 1.004, 1.0, 4.9)])
    assert (record.other_cpus, record.stolen_cpus) == (0, 0)


def test_the_use_of_the_cpus_is_unknown_in_a_measurement_of_a_few_ticks() -> None:
    record = recorded([HostSample(0, 0, 0.0, 0.0, 0.0), HostSample(0.2, 0.1, 0.3, 0.1, 0.1)])
    assert (record.own_cpus, record.other_cpus, record.stolen_cpus) == (0.5, None, None)
    assert record.throttled_share == 0.5, "which is counted exactly"


def test_a_run_wants_its_threads_or_what_it_used_rounded_up() -> None:
    wanted = [recorded(samples([0, 0], own=own), cpus=4).wanted_cpus for own in (0.0, 0.9, 1.05, 1.3, 4.02)]
    assert wanted == [1, 1, 1, 2, 4]
    assert recorded(samples([0, 0], own=0.4), threads=2).wanted_cpus == 2
    assert recorded(samples([0, 0], own=1.9), threads=1).wanted_cpus == 2
    assert recorded(samples([0, 0]), threads=8).wanted_cpus == 2, "no more than there are"


def test_the_share_of_disturbed_windows() -> None:
    record = recorded(samples([0, 0, 0, 0, 1, 0, 0, 0, 0, 0]), threads=2)
    assert record.disturbed_share == pytest.approx(0.1)
    assert signals(record) == []
    last = samples([0, 0, 0, 1], window_s=0.5)
    last.append(last[-1]._replace(at_s=last[-1].at_s + 0.01, busy_s=0.0))
    assert recorded(last, threads=2).disturbed_share == pytest.approx(0.25), "the rest is too short to tell"


def test_the_share_of_a_slow_clock() -> None:
    clocks = [3000.0] * 18 + [2000.0] * 2
    with_clocks = [sample._replace(clock_mhz=mhz) for sample, mhz in zip(samples([0] * 19), clocks)]
    record = recorded(with_clocks)
    assert record.clock_mhz == Spread(2000, 3000, 3000)
    assert (record.slow_clock_share, record.disturbed_share) == (pytest.approx(0.1), pytest.approx(2 / 19))
    (problem,) = problems(record)
    assert problem.text == "the CPU clock was below 85 % of its median in 10.0 % of samples, limit 5 %"
    few = recorded(with_clocks[-10:])
    assert (few.clock_mhz, few.slow_clock_share) == (Spread(2000, 3000, 3000), None)


def test_json() -> None:
    for record in (IDLE, replace(IDLE, clock_mhz=Spread(1, 2, 3), slow_clock_share=0.5, joules=7.0)):
        assert HostRecord.from_dict(json.loads(json.dumps(record.as_dict()))) == record
    with pytest.raises(TypeError):
        HostRecord.from_dict({"seconds": 1.0})


# problems


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"other_cpus": 0.92}, "other processes used 0.92 of 2 CPUs, limit 0.20"),
        ({"other_cpus": 1.25, "wanted_cpus": 1}, "other processes used 1.25 of 2 CPUs, limit 1.20"),
        ({"other_cpus": 0.12, "wanted_cpus": 1, "cpus": 1}, "other processes used 0.12 of 1 CPU, limit 0.10"),
        ({"stolen_cpus": 0.11}, "the hypervisor took 0.11 of 2 CPUs, limit 0.10"),
        ({"throttled_share": 0.125}, "the CPU quota stopped the process for 12.5 % of the time, limit 2 %"),
        ({"memory_stall_share": 0.06}, "processes waited for memory for 6.0 % of the time, limit 5 %"),
    ],
)
def test_a_problem_states_signal_value_and_limit(change: dict[str, float], text: str) -> None:
    record = replace(IDLE, **change)  # type: ignore[arg-type]
    (problem,) = problems(record)
    assert problem.text == text
    assert problem.signal in change
    assert (problem.value, problem.value > problem.limit) == (getattr(record, problem.signal), True)


@pytest.mark.parametrize(
    "change",
    [
        {"other_cpus": 0.2},
        {"other_cpus": 1.2, "wanted_cpus": 1},
        {"other_cpus": 30.0, "wanted_cpus": 8, "cpus": 64},
        {"stolen_cpus": 0.1, "throttled_share": 0.02, "memory_stall_share": 0.05, "slow_clock_share": 0.05},
    ],
)
def test_what_is_within_the_limits_is_no_problem(change: dict[str, float]) -> None:
    assert problems(replace(IDLE, **change)) == ()  # type: ignore[arg-type]


def test_all_problems_are_listed() -> None:
    busy = replace(IDLE, other_cpus=1.0, stolen_cpus=0.5, throttled_share=0.5, memory_stall_share=0.5)
    assert signals(busy) == ["other_cpus", "stolen_cpus", "throttled_share", "memory_stall_share"]


def test_a_throttled_gpu() -> None:
    shares = (Share("sw_power_cap", 0.3), Share("hw_thermal_slowdown", 0.04), Share("applications_clocks_setting", 1))
    gpu = GpuRecord("GPU", 10, 1, None, None, None, None, None, None, shares, None, None, 1, None)
    (problem,) = problems(IDLE, gpu)
    assert problem.text == "the GPU was throttled by power cap in 30.0 % of samples, limit 5 %"
    assert problem.signal == "gpu_sw_power_cap"


# the error rates of the rule, on simulated load with known truth

RUNS = {4: 1000, 20: 250, 120: 50}  # by the number of windows of half a second


def unstable_share(load: Iterable[np.ndarray[tuple[int], np.dtype[np.float64]]], cpus: int) -> float:
    found = [bool(signals(recorded(samples(map(float, other), own=cpus / 2), cpus, threads=cpus))) for other in load]
    return float(np.mean(found))


@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("windows", [4, 20, 120])
@pytest.mark.parametrize("background", [0.02, 0.05])
def test_background_is_rarely_called_unstable(cpus: int, windows: int, background: float) -> None:
    """The background of every window is exponential, as are the pauses between what a system does now and then."""
    random = np.random.default_rng(cpus + windows)
    load = random.exponential(background, (RUNS[windows], windows))
    assert unstable_share(load, cpus) < 0.05


@pytest.mark.parametrize(("cpus", "loops"), [(1, 1), (2, 1), (8, 2)])
@pytest.mark.parametrize("windows", [4, 20, 120])
def test_busy_loops_are_detected(cpus: int, loops: int, windows: int) -> None:
    """A loop gets between half of a CPU that the run also wants and all of one that the run often leaves idle."""
    random = np.random.default_rng(cpus + windows)
    got = random.uniform(0.45, 1.0, (RUNS[windows], 1)) + random.exponential(0.02, (RUNS[windows], windows))
    assert unstable_share(loops * got, cpus) == 1
