"""A FrameExit bundle on an engine: frame by frame, until its gates say that the answer is there."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from ...errors import UsageError
from ..bundle.bundle import Bundle
from ..bundle.manifest import FrameExitManifest
from ..engines.base import Engine
from ..inputs.frame_input import Clip, Named, each_named, named, open_reader
from ..policies.base import Policy
from ..scheduler.options import THROUGHPUT, StreamOptions
from .base import Network, OpenSource
from .frameexit_loop import run_clip, stream
from .prediction import Prediction, StreamResult, prediction, stream_result

_WARM_UP_CLIPS = 3
_THRESHOLDS = "choose its exit thresholds instead"


class FrameExitNetwork(Network):
    """A FrameExit with an exit policy."""

    def __init__(self, bundle: Bundle[FrameExitManifest], engine: Engine, policy: Policy) -> None:
        policy.check_steps(bundle.manifest.frames)
        self.bundle: Bundle[FrameExitManifest] = bundle
        self.engine = engine
        self.policy = policy

    def with_policy(self, policy: Policy) -> FrameExitNetwork:
        """Return the same network, engine included, under another policy."""
        return FrameExitNetwork(self.bundle, self.engine, policy)

    @property
    def steps(self) -> int:
        """See `Network.steps`: one for every frame."""
        return self.bundle.manifest.frames

    def policy_record(self) -> dict[str, Any]:
        """See `Network.policy_record`."""
        return self.policy.record()

    def accepted(self, options: StreamOptions) -> StreamOptions:
        """See `Network.accepted`: every schedule, any number of slots."""
        options.check()
        return options

    def predict(self, clip: Clip, *, frames: int | None = None, budget_ms: float | None = None) -> Prediction:
        """See `Network.predict`; how many frames it takes is found out as it goes."""
        if frames is not None or budget_ms is not None:
            raise UsageError(f"{self.bundle.manifest.network} decides itself how many frames it looks at", _THRESHOLDS)
        name = named(clip).name
        reader = Named(name, partial(open_reader, self.engine, self.bundle.manifest, clip))
        answer, cost = run_clip(self.engine, self.bundle.manifest, self.policy, reader)
        return prediction(self.bundle.manifest, answer, cost, answer.exit_step)

    def stream(
        self, clips: Iterable[Clip | OpenSource | Named[Clip | OpenSource]], options: StreamOptions | None = None
    ) -> Generator[StreamResult, None, None]:
        """See `Network.stream`; several clips at a time, by default eight in flight."""
        manifest = self.bundle.manifest
        readers = each_named(clips, partial(partial, open_reader, self.engine, manifest))
        with closing(stream(self.engine, manifest, self.policy, readers, options or THROUGHPUT)) as outcomes:
            for clip, answer, error, cost in outcomes:
                found = None if answer is None else prediction(manifest, answer, cost, answer.exit_step)
                yield stream_result(clip, answer, found, error, cost)

    def warm_up(self, options: StreamOptions) -> None:
        """See `Network.warm_up`; the clips are grey."""
        manifest = self.bundle.manifest
        size = manifest.preprocessing.input_size
        clip = np.full((manifest.frames, size, size, 3), 128, np.uint8)
        for _ in self.stream([clip] * max(_WARM_UP_CLIPS, options.slots), options):
            pass
