"""Measure contenders in turns: each in its own process, all of them once in every repetition.

Machine noise then affects all contenders alike, and ratios are taken within a repetition. Repetitions continue
until every ratio is known well enough or the time is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from time import monotonic

from ..stats.ratios import ratio_interval
from .contender import original_of
from .results import FEWEST_QUIET, WARM_UP, Bench, ContenderResult
from .turn import Turn, TurnRequest, WorkerTask, repeated
from .verify import verify_contender
from .worker_process import Worker, WorkerError

_START_LIMIT_S = 1800.0  # building a TensorRT plan takes minutes
_TURN_LIMIT_S = 120.0  # for a turn that is expected to be short
_SLOWDOWN = 20  # a turn that takes this many times longer than expected is considered hung
_MOST_CLIPS, _FEWEST_CLIPS = 64, 4
_PROBED_CLIPS = 4
_CHECKED_CLIPS = 32  # that the compliance checks of a contender run, at most
_LEAST_TURN_S = 0.75  # shorter turns drown in noise, and the load of the machine is unknown below 0.25 s
_FILL = 3  # times that a turn fills its slots, so that the partly filled batches at its end weigh little
_MOST_PASSES = 50
_SHARE_OF_TIME = 0.7  # of the remaining time, for checks and the minimum number of repetitions
NARROW = 0.03  # half-width of a ratio's interval, on a logarithmic scale, at which repetitions end
MOST_REPEATS = 2  # multiple of the minimum number


@dataclass(frozen=True)
class Step:
    """Progress of a benchmark: what is happening now, and the estimated seconds until the end (None: unknown)."""

    text: str
    remaining_s: float | None = None


Listener = Callable[[Step], None]
Save = Callable[[Bench], None]


class Harness:
    """Runs the contenders of ``bench`` and adds their turns to it.

    Args:
        save: called with the benchmark after every repetition.
    """

    def __init__(self, bench: Bench, listener: Listener, save: Save, *, verify: bool = False) -> None:
        self._bench, self._listen, self._save, self._verify = bench, listener, save, verify
        self._workers: dict[str, Worker] = {}
        self._seconds: dict[str, float] = {}  # per clip
        self._begin = monotonic()
        self._limit_s = 60 * bench.header.options.max_minutes

    def run(self) -> None:
        """Measure everything; an interruption keeps all complete turns."""
        with self._running():
            self._choose_clips()
            self._warm_up()
            self._save(self._bench)
            self._repeat()
        self._bench.complete = True
        self._save(self._bench)

    @property
    def _alive(self) -> list[ContenderResult]:
        return [one for one in self._bench.results if one.contender.name in self._workers]

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Start all workers, and end them afterward."""
        with ExitStack() as ends:
            for number, result in enumerate(self._bench.results, start=1):
                name = result.contender.name
                self._listen(Step(f"loading {number} of {len(self._bench.results)}: {name}"))
                worker = Worker(self._task(result))
                ends.callback(worker.close)
                self._workers[name] = worker
                try:
                    result.started, result.failure = worker.start(_START_LIMIT_S), ""
                except WorkerError as error:
                    self._drop(result, str(error))
            yield

    def _task(self, result: ContenderResult) -> WorkerTask:
        header = self._bench.header
        return WorkerTask(header.bundle, result.contender, header.clip_set, header.limit)

    def _drop(self, result: ContenderResult, reason: str) -> None:
        result.failure = reason
        self._workers.pop(result.contender.name).close()

    def _turn(self, result: ContenderResult, clips: Sequence[int], *, probabilities: bool = False) -> Turn | None:
        """Run a turn; None if the contender fails, in which case it is dropped."""
        expected = self._seconds.get(result.contender.name, 0.0) * len(clips)
        limit_s = max(_TURN_LIMIT_S, _SLOWDOWN * expected)
        request = TurnRequest(tuple(clips), probabilities)
        try:
            return self._workers[result.contender.name].run(request, limit_s)
        except WorkerError as error:
            self._drop(result, str(error))
            return None

    def _choose_clips(self) -> None:
        """Choose the numbers of clips and passes per turn so that the repetitions fit into the time limit."""
        header = self._bench.header
        available = header.clips.videos
        probed = range(min(_PROBED_CLIPS, available))
        for result in self._alive:
            self._listen(Step(f"timing {result.contender.name}"))
            turn = self._turn(result, probed)
            if turn is not None:
                self._seconds[result.contender.name] = turn.seconds / len(probed)
        keep = header.limit is not None or header.passes  # of a resumed benchmark
        number = available if keep else self._affordable_clips(available)
        passes = {one.contender.name: self._passes(one, number) for one in self._alive}
        clips = replace(header.clips, videos=number)
        self._bench.header = replace(header, passes={**passes, **header.passes}, clips=clips)

    def _affordable_clips(self, available: int) -> int:
        """Return the largest number of clips for which warm-up, checks and the minimum number of repetitions fit."""
        checks_s = _CHECKED_CLIPS * sum(self._seconds[one.contender.name] for one in self._alive)
        left_s = _SHARE_OF_TIME * (self._limit_s - (monotonic() - self._begin)) - checks_s
        most = min(available, _MOST_CLIPS)
        numbers = range(most, _FEWEST_CLIPS, -1)
        return next((number for number in numbers if self._needed_s(number) <= left_s), min(most, _FEWEST_CLIPS))

    def _needed_s(self, clips: int) -> float:
        repeats = self._bench.header.options.min_repeats
        return sum(
            self._seconds[one.contender.name] * clips * (1 + repeats * self._passes(one, clips)) for one in self._alive
        )

    def _passes(self, result: ContenderResult, clips: int) -> int:
        seconds = self._seconds[result.contender.name] * clips
        slots = result.contender.stream.slots
        full = math.ceil(_FILL * slots / clips) if slots > 1 else 1
        return min(_MOST_PASSES, max(1, full, math.ceil(_LEAST_TURN_S / max(seconds, 1e-9))))

    def _clips(self, result: ContenderResult) -> tuple[int, ...]:
        header = self._bench.header
        return repeated(range(header.clips.videos), header.passes[result.contender.name])

    def _warm_up(self) -> None:
        """Run one turn of every contender, for its answers but not its speed, and the compliance checks."""
        header = self._bench.header
        for result in self._alive:
            self._listen(Step(f"warm-up: {result.contender.name}", self._estimate_s(header.options.min_repeats + 1)))
            turn = self._turn(result, range(header.clips.videos), probabilities=header.clips.labeled)
            if turn is None:
                continue
            result.turns[WARM_UP] = turn
            name, seconds = result.contender.name, turn.seconds / max(header.clips.videos, 1)
            if seconds < self._seconds[name]:  # the first estimate was disturbed, and its turns would be too short
                self._seconds[name] = seconds
                header.passes[name] = max(header.passes[name], self._passes(result, header.clips.videos))
            self._check(result)

    def _check(self, result: ContenderResult) -> None:
        worker, count = self._workers[result.contender.name], self._bench.header.clips.videos
        expected = self._seconds[result.contender.name]

        def run(request: TurnRequest) -> Turn:
            return worker.run(request, max(_TURN_LIMIT_S, _SLOWDOWN * expected * len(request.clips)))

        self._listen(Step(f"checking {result.contender.name}"))
        try:
            result.checks = verify_contender(run, result, count, thorough=self._verify)
        except WorkerError as error:
            self._drop(result, str(error))

    def _repeat(self) -> None:
        options = self._bench.header.options
        done = min((max(one.turns) for one in self._alive), default=0)
        repetition, taken_s = done + 1, self._estimate_s(1)
        while self._alive:
            if monotonic() - self._begin + taken_s > self._limit_s and repetition > 1:
                break
            begin = monotonic()
            self._one_repetition(repetition)
            taken_s = monotonic() - begin
            self._save(self._bench)
            if enough(repetition, options.min_repeats, self._widest()):
                break
            repetition += 1

    def _one_repetition(self, repetition: int) -> None:
        """Run every contender once, in a random order or the reverse of the previous one.

        So no contender always follows the same neighbor, and a steady drift in the machine's speed favors none.
        """
        results = self._alive
        Random((repetition + 1) // 2).shuffle(results)
        if repetition % 2 == 0:
            results.reverse()
        least = self._bench.header.options.min_repeats
        for number, result in enumerate(results):
            left = max(least - repetition, 0) + 1 - number / len(results)
            self._listen(Step(f"repetition {repetition}: {result.contender.name}", self._estimate_s(left)))
            turn = self._turn(result, self._clips(result))
            if turn is not None:
                result.turns[repetition] = turn

    def _estimate_s(self, repetitions: float) -> float:
        passes, clips = self._bench.header.passes, self._bench.header.clips.videos
        once = sum(self._seconds.get(name, 0.0) * clips * passes.get(name, 1) for name in self._workers)
        return repetitions * once

    def _widest(self) -> float:
        """Return the half-width of the widest interval for a ratio to the original, or to the first contender."""
        alive = self._alive
        contenders = [one.contender for one in alive]
        widths = []
        for result in alive:
            base = original_of(result.contender, contenders) or contenders[0]
            other = next(one for one in alive if one.contender is base)
            if other is not result:
                widths.append(ratio_interval(*paired_seconds(other, result)).half_width)
        return max(widths, default=0.0)


def enough(repetitions: int, min_repeats: int, widest: float) -> bool:
    """Return whether to stop: all ratios are known well enough, or another repetition would take too long.

    Args:
        widest: half-width of the widest interval for a ratio, on a logarithmic scale.
    """
    return repetitions >= min_repeats and (widest <= NARROW or repetitions >= MOST_REPEATS * min_repeats)


def paired_seconds(base: ContenderResult, result: ContenderResult) -> tuple[list[float], list[float]]:
    """Return the seconds per video of both contenders in the repetitions that count for both, see `counted`."""
    both = sorted(base.counted.keys() & result.counted.keys())
    if len(both) < FEWEST_QUIET:
        both = sorted(base.measured.keys() & result.measured.keys())
    return [seconds_per_video(base.turns[number]) for number in both], [
        seconds_per_video(result.turns[number]) for number in both
    ]


def seconds_per_video(turn: Turn) -> float:
    """Return the wall-clock seconds per video of a turn."""
    return turn.seconds / max(len(turn.rows), 1)
