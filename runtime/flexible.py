"""A frame-flexible network on an engine: one clip at a time, at one frame count or at several in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, VbenchError
from .bundle import Bundle
from .cascade import Cascade, largest_within
from .clips import count_of, open_clips
from .engine import Engine, Handle
from .feed import Feed
from .line import Line, OpenClip
from .manifest import FlexibleManifest, frames_part
from .measurements import Measurements
from .network import Network, OpenSource
from .options import LATE, THROUGHPUT, StreamOptions
from .outcome import Answer, Cost, Outcome, Step
from .policy import Evidence
from .prediction import Prediction, StreamResult, certainty, prediction, stream_result
from .reader import Clip, Named, each_named
from .schedule import InFlight, Sequential

_LOAD_ALL = "load the bundle without frames="


class FlexibleNetwork(Network):
    """A TSM, TEA, SlowFast or Uniformer with the frame counts to run it at."""

    def __init__(
        self,
        bundle: Bundle[FlexibleManifest],
        engine: Engine,
        policy: Cascade,
        loaded: tuple[int, ...] | None = None,
    ) -> None:
        """Take for ``loaded`` the frame counts that the engine has parts of; None: all."""
        policy.check_counts(bundle.manifest.frame_counts)
        self.bundle: Bundle[FlexibleManifest] = bundle
        self.engine = engine
        self.policy = policy
        self.loaded = loaded or bundle.manifest.frame_counts
        for count in policy.counts:
            if count not in self.loaded:
                raise UsageError(f"only {', '.join(map(str, self.loaded))} frames were loaded, not {count}", _LOAD_ALL)

    def with_policy(self, policy: Cascade) -> FlexibleNetwork:
        """Return the same network, engine included, at other frame counts."""
        return FlexibleNetwork(self.bundle, self.engine, policy, self.loaded)

    @property
    def steps(self) -> int:
        """See `Network.steps`: one for every frame count."""
        return len(self.policy.counts)

    def policy_record(self) -> dict[str, Any]:
        """See `Network.policy_record`."""
        return self.policy.record()

    def accepted(self, options: StreamOptions) -> StreamOptions:
        """See `Network.accepted`; in flight means that clips are read ahead, as many as there are workers."""
        options.check()
        if options.sync == LATE:
            raise UsageError(
                f"--sync late is for FrameExit, {self.bundle.manifest.network} runs clip by clip", "leave it out"
            )
        if options.schedule not in (Sequential.name, InFlight.name):
            raise UsageError(
                f"the schedule {options.schedule} is for FrameExit, {self.bundle.manifest.network} runs clip by clip",
                f"choose {Sequential.name}, or {InFlight.name} to read the next clips meanwhile",
            )
        return replace(options, slots=1 if options.schedule == Sequential.name else options.workers)

    def predict(self, clip: Clip, *, frames: int | None = None, budget_ms: float | None = None) -> Prediction:
        """See `Network.predict`.

        Normalised pixels may also have all the crops of the clip, ``[views, T, 3, h, w]``; where no count is named, the
        one that they have is taken.
        """
        chosen = self.with_policy(self._chosen(clip, frames, budget_ms))
        open_clip = partial(open_clips, self.engine, self.bundle.manifest, chosen.policy, clip)
        (outcome,) = chosen._outcomes([open_clip], StreamOptions())
        if outcome.error is not None:
            raise outcome.error
        assert outcome.answer is not None
        return chosen._prediction(outcome.answer, outcome.cost)

    def within(self, budget_ms: float) -> int:
        """Return the largest frame count that answers in so many milliseconds here, measuring first if need be.

        Raises:
            UsageError: none does.
        """
        return largest_within(Measurements(self).times_ms(), budget_ms)

    def stream(
        self, clips: Iterable[Clip | OpenSource | Named[Clip | OpenSource]], options: StreamOptions | None = None
    ) -> Generator[StreamResult, None, None]:
        """See `Network.stream`; one clip is computed at a time, in order."""
        options = self.accepted(options or THROUGHPUT)
        readers = each_named(clips, partial(partial, open_clips, self.engine, self.bundle.manifest, self.policy))
        with closing(self._outcomes(readers, options)) as outcomes:
            for clip, answer, error, cost in outcomes:
                found = None if answer is None else self._prediction(answer, cost)
                yield stream_result(clip, answer, found, error, cost)

    def warm_up(self, options: StreamOptions) -> None:
        """See `Network.warm_up`: every frame count twice, with grey clips."""
        for count in self.policy.counts:
            alone = self.with_policy(Cascade((count,)))
            for _ in alone.stream([self.grey(count)] * 2, options):
                pass

    def grey(self, count: int) -> NDArray[np.uint8]:
        """Return a clip of ``count`` frames, uint8 ``[count, H, W, 3]``, on which the network works as on any other."""
        side = self.bundle.manifest.preprocessing.resize_side
        return np.full((count, side, side * 4 // 3, 3), 128, np.uint8)

    def _chosen(self, clip: Clip, frames: int | None, budget_ms: float | None) -> Cascade:
        if frames is not None and budget_ms is not None:
            raise UsageError(f"both {frames} frames and {budget_ms:g} ms", "choose one of frames and budget_ms")
        if budget_ms is not None:
            return Cascade((self.within(budget_ms),))
        count = count_of(clip) if frames is None else frames
        return self.policy if count is None else Cascade((count,))

    def _prediction(self, answer: Answer, cost: Cost) -> Prediction:
        return prediction(self.bundle.manifest, answer, cost, sum(self.policy.counts[: answer.exit_step]))

    def _outcomes(
        self, clips: Iterable[OpenClip | Named[OpenClip]], options: StreamOptions
    ) -> Generator[Outcome, None, None]:
        # Most clips of a cascade end before its last count, so that a count's frames are not read ahead of its turn.
        line = Line(clips, self.steps, options, ahead_in_clip=0)
        runner = _Runner(self.engine, self.bundle.manifest, self.policy)
        with closing(line):
            while (following := line.next()) is not None:
                yield runner.run(*following)


class _Runner:
    """Runs clips one after the other and accounts for the time without a gap."""

    def __init__(
        self,
        engine: Engine,
        manifest: FlexibleManifest,
        policy: Cascade,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine, self._manifest, self._policy, self._clock = engine, manifest, policy, clock
        self._last_s = clock()

    def run(self, clip: int, feed: Feed) -> Outcome:
        begin, cost = self._clock(), Cost()
        answer: Answer | None = None
        error: VbenchError | None = None
        try:
            answer = self._answer(feed, cost, begin)
        except VbenchError as found:
            error = found
        finally:
            feed.close()
        now = self._clock()
        cost.read = replace(feed.cost)
        cost.latency_s, cost.elapsed_s = now - begin, now - self._last_s
        cost.scheduling_s = cost.elapsed_s - cost.wait_s - cost.backbone_s
        self._last_s = now
        return Outcome(clip, answer, error, cost)

    def _answer(self, feed: Feed, cost: Cost, start_s: float) -> Answer:
        scores: list[float] = []
        steps: list[Step] = []
        last_s = self._last_s
        for step, count in enumerate(self._policy.counts, start=1):
            begin = self._clock()
            pixels = feed.take(step)
            ready = self._clock()
            logits = self._logits(count, pixels, cost)
            cost.wait_s += ready - begin
            now = self._clock()
            cost.backbone_s += now - ready
            steps.append(Step(None, logits, now - last_s, now - start_s))
            last_s = now
            if step == len(self._policy.counts):
                break
            scores.append(certainty(logits)[0])
            if self._policy.exits(Evidence(step, confidence=scores[-1])):
                break
        return Answer(logits, step, tuple(scores), tuple(steps))

    def _logits(self, count: int, pixels: Handle, cost: Cost) -> NDArray[np.float32]:
        """Return the mean over the views: it ranks classes as their sum does, which the originals take."""
        part = frames_part(count)
        views = cast(NDArray[np.float32], self._engine.get(self._engine.run(part, pixels)))
        cost.macs += len(views) * self._manifest.parts[part].macs
        mean: NDArray[np.float32] = views.mean(axis=0)
        return mean
