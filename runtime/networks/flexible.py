"""A frame-flexible network on an engine: clips at one frame count, or at several in turn."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..bundle.bundle import Bundle
from ..bundle.manifest import FlexibleManifest
from ..engines.base import Engine
from ..inputs.clip_input import count_of, open_clips
from ..inputs.frame_input import Clip, Named, each_named
from ..policies.cascade import Cascade, largest_within
from ..scheduler.options import LATE, THROUGHPUT, StreamOptions
from ..scheduler.results import Answer, Cost
from ..scheduler.schedules import Compact, InFlight, Lockstep, Sequential
from .base import Network, OpenSource
from .flexible_loop import stream_counts
from .latency_profile import Measurements
from .prediction import Prediction, StreamResult, prediction, stream_result

_WARM_UP_CLIPS = 2
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
        """See `Network.accepted`: one clip after the other, or several that share calls at every frame count."""
        options.check()
        network = self.bundle.manifest.network
        if options.sync == LATE:
            raise UsageError(f"--sync late is for FrameExit, {network} has no gates to wait for", "leave it out")
        if options.schedule == Lockstep.name:
            raise UsageError(
                f"the schedule {options.schedule} is for FrameExit, {network} runs no clip that has its answer",
                f"choose {Sequential.name}, {Compact.name} or {InFlight.name}",
            )
        return options

    def predict(self, clip: Clip, *, frames: int | None = None, budget_ms: float | None = None) -> Prediction:
        """See `Network.predict`.

        Normalised pixels may also have all the crops of the clip, ``[views, T, 3, h, w]``; where no count is named, the
        one that they have is taken.
        """
        chosen = self.with_policy(self._chosen(clip, frames, budget_ms))
        open_clip = partial(open_clips, self.engine, self.bundle.manifest, chosen.policy, clip)
        (outcome,) = stream_counts(self.engine, self.bundle.manifest, chosen.policy, [open_clip], StreamOptions())
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
        """See `Network.stream`; as many clips at a time as there are slots, by default eight."""
        options = self.accepted(options or THROUGHPUT)
        manifest = self.bundle.manifest
        readers = each_named(clips, partial(partial, open_clips, self.engine, manifest, self.policy))
        with closing(stream_counts(self.engine, manifest, self.policy, readers, options)) as outcomes:
            for clip, answer, error, cost in outcomes:
                found = None if answer is None else self._prediction(answer, cost)
                yield stream_result(clip, answer, found, error, cost)

    def warm_up(self, options: StreamOptions) -> None:
        """See `Network.warm_up`: every frame count, in a batch as large as will come, with grey clips."""
        for count in self.policy.counts:
            alone = self.with_policy(Cascade((count,)))
            for _ in alone.stream([self.grey(count)] * max(_WARM_UP_CLIPS, options.slots), options):
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
