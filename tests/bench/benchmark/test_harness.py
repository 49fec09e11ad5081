"""Turns of contenders: their order and number, and what failures and interruptions leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests import faulty_engines
from tests.benches import EARLY, ORIGINAL, QUIET, bench, contender, row
from vbench.bench.benchmark import bench_rows, harness, read_bench
from vbench.bench.benchmark.bench_folder import BenchFolder
from vbench.bench.benchmark.contender import Contender
from vbench.bench.benchmark.harness import NARROW, Harness, Step
from vbench.bench.benchmark.options import BenchOptions
from vbench.bench.benchmark.results import WARM_UP, Bench, ContenderResult
from vbench.bench.benchmark.start import resume_bench
from vbench.bench.benchmark.turn import Started, Turn, TurnRequest, WorkerTask
from vbench.bench.benchmark.worker_process import WorkerError
from vbench.errors import RunError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest

VIDEOS = 4
MILLISECONDS = 200.0  # of a video, so that one pass of four is long enough

Act = Callable[[int, TurnRequest], float | None]


class Scripted:
    """A worker without a process; ``acts`` return the milliseconds of a video by contender, turn and request."""

    acts: ClassVar[dict[str, Act]] = {}
    log: ClassVar[list[str]] = []
    closed: ClassVar[list[str]] = []

    def __init__(self, task: WorkerTask) -> None:
        self._name, self._turns = task.contender.name, 0

    def start(self, limit_s: float) -> Started:
        assert limit_s > 60
        if self._name == "refusing":
            raise WorkerError("RuntimeError: no such kernel")
        return Started({"engine": "scripted"}, 1.0, 0.5)

    def run(self, request: TurnRequest, limit_s: float) -> Turn:
        assert limit_s > 60
        self._turns += 1
        self.log.append(self._name)
        act = self.acts.get(self._name)
        ms = MILLISECONDS if act is None else act(self._turns, request)
        rows = [row(video, ms or MILLISECONDS) for video in request.clips]
        seconds = sum(each.elapsed_ms for each in rows) / 1e3
        return Turn(tuple(rows), tuple(range(len(rows))), seconds, QUIET, None, 1)

    def close(self) -> None:
        self.closed.append(self._name)


@pytest.fixture(autouse=True)
def scripted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the workers, except where they are faulty; the checks before the repetitions would only lengthen logs."""
    if "faulty" in request.fixturenames:
        return
    monkeypatch.setattr(harness, "Worker", Scripted)
    monkeypatch.setattr(harness, "verify_contender", lambda *_, **__: [])
    for name, empty in (("acts", {}), ("log", []), ("closed", [])):
        monkeypatch.setattr(Scripted, name, empty)


def new_bench(*contenders: Contender, min_repeats: int = 3, max_minutes: float = 60.0) -> Bench:
    made = bench([ContenderResult(one) for one in contenders or (ORIGINAL, EARLY)], complete=False)
    options = BenchOptions(min_repeats=min_repeats, max_minutes=max_minutes)
    clips = replace(made.header.clips, videos=VIDEOS, labeled=False)
    made.header = replace(made.header, options=options, clips=clips, passes={})
    return made


def measure(made: Bench, listen: Callable[[Step], None] = lambda _: None) -> list[int]:
    """Run a benchmark and return the number of turns at every save."""
    saves: list[int] = []
    Harness(made, listen, lambda saved: saves.append(sum(len(one.turns) for one in saved.results))).run()
    return saves


def test_every_contender_runs_once_per_repetition() -> None:
    made = new_bench(ORIGINAL, EARLY, contender("third"))
    saves = measure(made)
    assert made.complete
    assert all(sorted(one.turns) == [WARM_UP, 1, 2, 3] for one in made.results)
    names = {one.contender.name for one in made.results}
    repetitions = [Scripted.log[start : start + 3] for start in range(6, 15, 3)]  # after the timing and the warm-up
    assert all(set(repetition) == names for repetition in repetitions)
    assert repetitions[1] == repetitions[0][::-1]
    assert saves == [3, 6, 9, 12, 12]
    assert sorted(Scripted.closed) == sorted(names)


def test_repetitions_continue_while_a_ratio_is_uncertain() -> None:
    Scripted.acts[EARLY.name] = lambda turn, _: MILLISECONDS * (1 + turn % 2)
    made = new_bench()
    measure(made)
    assert len(made.results[0].measured) == 6, "twice the least number"


def test_repetitions_end_when_the_ratios_are_known() -> None:
    Scripted.acts[EARLY.name] = lambda turn, _: MILLISECONDS * (1 + NARROW / 20 * (turn % 2))
    made = new_bench()
    measure(made)
    assert len(made.results[1].measured) == 3


def test_the_time_limit_ends_the_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        return now

    def spend(_turn: int, _request: TurnRequest) -> float:
        nonlocal now
        now += 30.0
        return MILLISECONDS

    monkeypatch.setattr(harness, "monotonic", clock)
    Scripted.acts[EARLY.name] = spend
    made = new_bench(max_minutes=2.1)
    measure(made)
    assert len(made.results[1].measured) == 2, "loading, timing and warm-up took the first minute"
    assert made.complete
    assert [row.verdict.name for row in bench_rows(made)] == ["INVALID", "INVALID"]


def test_at_least_one_repetition_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 100_000, 1000))
    monkeypatch.setattr(harness, "monotonic", lambda: float(next(seconds)))
    made = new_bench(max_minutes=0.1)
    measure(made)
    assert len(made.results[0].measured) == 1


def test_short_turns_repeat_the_clips_and_long_ones_take_fewer() -> None:
    Scripted.acts[EARLY.name] = lambda *_: 10.0
    made = new_bench()
    measure(made)
    assert made.header.passes == {ORIGINAL.name: 1, EARLY.name: 19}
    assert len(made.results[1].turns[1].rows) == 19 * VIDEOS


@pytest.mark.parametrize(("minutes", "clips"), [(60.0, 64), (2.0, 44), (1.2, 17), (0.1, 4)])
def test_the_number_of_clips_fits_into_the_time(minutes: float, clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "monotonic", lambda: 0.0)
    one = contender("inflight", schedule="inflight", slots=8)
    made = new_bench(ORIGINAL, one, max_minutes=minutes)
    made.header = replace(made.header, clips=replace(made.header.clips, videos=100))
    measure(made)
    assert made.header.clips.videos == clips
    if clips > 4:
        turns = clips * (1 + 3) + clips * (1 + 3 * made.header.passes["inflight"])
        assert (turns + 2 * 32) * MILLISECONDS / 1e3 <= 0.7 * 60 * minutes


def test_a_limit_is_the_exact_number_of_clips() -> None:
    made = new_bench(max_minutes=0.01)
    made.header = replace(made.header, limit=32, clips=replace(made.header.clips, videos=32))
    measure(made)
    assert made.header.clips.videos == 32


def test_slots_are_filled_several_times() -> None:
    made = new_bench(ORIGINAL, contender("inflight", schedule="inflight", slots=8))
    measure(made)
    assert made.header.passes["inflight"] == 6, "24 clips for 8 slots"


def failing(at: int, reason: str = "exited with code 7: CUDA error") -> Act:
    def act(turn: int, _request: TurnRequest) -> None:
        if turn == at:
            raise WorkerError(reason)

    return act


@pytest.mark.parametrize("at", [1, 2, 4], ids=["timing", "warm-up", "repetition"])
def test_a_contender_that_fails_is_dropped_and_the_rest_continue(at: int) -> None:
    Scripted.acts["failing"] = failing(at)
    made = new_bench(ORIGINAL, contender("refusing"), contender("failing"), EARLY)
    measure(made)
    rows = {one.name: one for one in bench_rows(made)}
    assert rows["refusing"].verdict == ("INVALID", ("RuntimeError: no such kernel",))
    assert rows["failing"].verdict == ("INVALID", ("exited with code 7: CUDA error",))
    assert rows[ORIGINAL.name].repeats == rows[EARLY.name].repeats == 3
    assert made.complete
    assert Scripted.closed.count("failing") == 2, "when it failed, and at the end; the second has no effect"


def test_all_contenders_fail() -> None:
    made = new_bench(contender("refusing"))
    measure(made)
    assert made.complete
    assert not made.working


def test_an_interruption_keeps_complete_repetitions_and_ends_the_workers() -> None:
    def interrupt(turn: int, _request: TurnRequest) -> None:
        if turn == 5:
            raise KeyboardInterrupt

    Scripted.acts[EARLY.name] = interrupt
    made = new_bench()
    with pytest.raises(KeyboardInterrupt):
        measure(made)
    assert not made.complete
    assert 1 in made.results[0].turns
    assert 2 in made.results[1].turns
    assert sorted(Scripted.closed) == sorted((ORIGINAL.name, EARLY.name))


def test_a_resumed_benchmark_keeps_its_clips_and_continues() -> None:
    made = new_bench()
    Scripted.acts[EARLY.name] = failing(5)
    measure(made)
    assert made.results[1].failure
    Scripted.acts.clear()
    made.header = replace(made.header, clips=replace(made.header.clips, videos=3))
    kept = made.results[0].turns[1]
    made.results = [made.results[0], ContenderResult(EARLY, turns=made.results[1].turns)]
    for one in made.results:
        one.turns = {number: turn for number, turn in one.turns.items() if number < 3}
    measure(made)
    assert made.header.clips.videos == 3
    assert made.results[0].turns[1] is kept
    assert all(len(one.measured) == 3 for one in made.results)


def test_a_contender_that_works_only_after_resuming() -> None:
    made = new_bench(ORIGINAL, contender("failing"))
    Scripted.acts["failing"] = failing(1)
    measure(made)
    assert "failing" not in made.header.passes
    Scripted.acts.clear()
    measure(made)
    assert len(made.results[1].measured) == 3


def test_progress_names_the_contender_and_the_remaining_time() -> None:
    steps: list[Step] = []
    measure(new_bench(), steps.append)
    texts = [step.text for step in steps]
    assert texts[0] == f"loading 1 of 2: {ORIGINAL.name}"
    assert any(text.startswith("repetition 3: ") for text in texts)
    remaining = [step.remaining_s for step in steps if step.text.startswith("repetition")]
    known = [value for value in remaining if value is not None]
    assert len(known) == len(remaining)
    assert known == sorted(known, reverse=True)


GOOD = contender("reference")


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty_engines.install(tmp_path, monkeypatch)
    monkeypatch.setattr(harness, "_TURN_LIMIT_S", 15.0)


@pytest.mark.slow
@pytest.mark.usefixtures("faulty")
def test_workers_that_crash_hang_and_lie(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> None:
    """Real processes with every kind of failure: each is a row with its reason, and the rest are measured."""
    others = [contender(name, name) for name in faulty_engines.NAMES]
    made = new_bench(GOOD, contender("good"), *others, min_repeats=2)
    made.header = replace(made.header, bundle=str(tiny_bundle.path), limit=VIDEOS)
    folder = BenchFolder(tmp_path / "bench")
    Harness(made, lambda _: None, folder.save).run()
    folder.close()
    read = read_bench(tmp_path / "bench")
    assert read.complete
    rows = {one.name: one for one in bench_rows(read)}
    reasons = {name: one.verdict.reasons for name, one in rows.items() if one.verdict.name == "INVALID"}
    assert set(reasons) == set(faulty_engines.NAMES) - {"chatty"}
    assert reasons["refusing"] == ("RuntimeError: no such kernel",)
    assert reasons["crashing"] == ("exited with code 7: CUDA error: misaligned address",)
    assert reasons["aborting"][0].startswith("killed by SIGABRT")
    assert "memory runs out" in reasons["killed"][0]
    assert "videos have no answer" in reasons["exhausting"][0]
    assert "Unable to allocate" in reasons["exhausting"][0]
    assert reasons["hanging"] == ("no reply within 15 s",)
    assert any("answers differ from the reference's" in reason for reason in reasons["lying"])
    assert all(rows[name].repeats >= 2 for name in ("reference", "good", "chatty"))
    with pytest.raises(RunError, match="complete"):
        resume_bench(tmp_path / "bench")
