"""The trace of a run: what every step of every video came to, whether or not a policy would have gone that far.

All that an exit rule could have done follows from it, see ``replay.py``; ``trace_file.py`` is its place on disk. Videos
without an answer are not in it, their number is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.networks.prediction import softmax
from ...runtime.policies.base import Evidence
from ..datasets import Metric
from .step_costs import StepCosts

SCHEMA_VERSION = 1
_ARRAYS = ("gates", "confidences", "entropies", "predictions", "logits", "elapsed_ms", "latency_ms")


@dataclass(frozen=True)
class TraceHeader:
    """What a trace was recorded on.

    ``default_policy`` is the record of the one that the run would have obeyed; ``errors`` counts the videos that gave
    no answer.
    """

    bundle: str
    bundle_sha256: str
    family: str
    engine: str
    precision: str
    dataset: str
    metric: Metric
    classes: int
    costs: StepCosts
    paper_gmacs_per_frame: float | None
    default_policy: dict[str, Any]
    errors: int = 0
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Trace:
    """What S steps of n videos came to.

    Attributes:
        videos: their keys; ``labels`` their classes, None where the label file does not know them.
        gates: float64 ``[S, n]``, NaN where a step has no gate.
        confidences, entropies: float64 ``[S, n]``, see `Evidence`.
        predictions: int64 ``[S, n]``, the most probable class.
        logits: float32 ``[S, n, classes]``.
        elapsed_ms: float64 ``[S, n]``, each step's share of the whole time.
        latency_ms: float64 ``[S, n]``, from the start of the video to the end of the step.
    """

    header: TraceHeader
    videos: tuple[str, ...]
    labels: tuple[tuple[int, ...] | None, ...]
    gates: NDArray[np.float64]
    confidences: NDArray[np.float64]
    entropies: NDArray[np.float64]
    predictions: NDArray[np.int64]
    logits: NDArray[np.float32]
    elapsed_ms: NDArray[np.float64]
    latency_ms: NDArray[np.float64]

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.gates)

    @cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """What a policy sees after each step but the last, of all videos at once."""
        return tuple(
            Evidence(
                step=place + 1,
                gate=self.gates[place],
                confidence=self.confidences[place],
                entropy=self.entropies[place],
                labels=tuple(self.predictions[: place + 1]),
                video=self.videos,
            )
            for place in range(self.steps - 1)
        )

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether a video has a class, bool ``[n]``: the others do not count for top-1."""
        return np.array([bool(label) for label in self.labels], np.bool_)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the most probable class is one of the video's, bool ``[S, n]``; as ``metrics.hit_at_1`` counts."""
        positive = self.multi_hot
        found = np.empty((self.steps, len(self.videos)), np.bool_)
        for step, logits in enumerate(self.logits):
            probabilities = softmax(logits)
            right = positive[np.arange(len(positive)), probabilities.argmax(axis=1)]
            found[step] = right & ~np.isnan(probabilities).any(axis=1)
        return found

    @cached_property
    def counted_hits(self) -> NDArray[np.bool_]:
        """``hits`` of the videos that count, bool ``[S, n]``."""
        return self.hits & self.labelled

    @cached_property
    def multi_hot(self) -> NDArray[np.bool_]:
        """The classes of every video, bool ``[n, classes]``."""
        found = np.zeros((len(self.videos), self.header.classes), np.bool_)
        for row, label in zip(found, self.labels):
            row[list(label or ())] = True
        return found

    def part(self, chosen: NDArray[np.int64]) -> Trace:
        """Return the trace of some of the videos, by their places."""
        return replace(
            self,
            videos=tuple(self.videos[place] for place in chosen),
            labels=tuple(self.labels[place] for place in chosen),
            **{name: getattr(self, name)[:, chosen] for name in _ARRAYS},
        )
