"""The trace of a run: the result of every step of every video, regardless of any policy.

Every exit policy can be evaluated on it: `Trace.exits_by_step` calls the same policy object as the runtime, with arrays
instead of scalars. ``trace_file.py`` stores it. Failed videos are excluded; only their number is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...runtime.bundle.manifest import Output
from ...runtime.policies.base import Evidence, Policy, Tally
from ...runtime.policies.confidence import probabilities_of
from ...runtime.policies.registry import policy_of
from ..datasets import Metric
from ..records.stored_scores import StoredScores
from ..stats.tag_precision import TagLabels, TagProtocol
from .step_costs import StepCosts

SCHEMA_VERSION = 2
OLDEST_MIGRATED = 1  # the oldest version that vbench migrate converts
_ARRAYS = ("gates", "confidences", "entropies", "predictions", "logits", "elapsed_ms", "latency_ms")


class _EvidenceRequest(NamedTuple):
    # For each step: its number, and whether a policy needs its gate and its logits; then the gate set to use.
    steps: tuple[tuple[int, bool, bool], ...]
    gate_set: str | None


@dataclass(frozen=True)
class TraceHeader:
    """Description of the recorded run.

    ``family`` is the name of the network's family. ``default_policy`` is the record of the default policy, and
    ``default_policy_sources`` gives the origin of its values, by option. ``errors`` counts the failed videos.
    ``gate_sets`` has the record of the default policy of each gate set, by name; {} if there are no named sets.
    ``output`` turns the logits into probabilities, and ``categories`` has the category of every class, if classes have
    one; all three, and the number of clips per step, are left out of the file if they have their default values.
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
    default_policy_sources: dict[str, str]
    errors: int = 0
    schema_version: int = SCHEMA_VERSION
    gate_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    output: Output = "softmax"
    categories: tuple[str, ...] | None = None

    def record(self) -> dict[str, Any]:
        """Return the header as JSON."""
        defaults: dict[str, Any] = {"output": "softmax", "categories": None, "gate_sets": {}}
        content = {name: value for name, value in asdict(self).items() if defaults.get(name, ...) != value}
        if self.costs.clips == 1:
            del content["costs"]["clips"]
        return content


@dataclass(frozen=True)
class Trace:
    """Results of S steps for n videos.

    Attributes:
        videos: their keys; ``labels`` are their class indices, None if the label file does not list a video.
        gates: float64 ``[S, n]``, NaN for a step without a gate; those of the default set if there are several sets.
        confidences, entropies: float64 ``[S, n]``, see `Evidence`.
        predictions: int64 ``[S, n]``, the most probable class.
        logits: float32 ``[S, n, classes]``; ``[S, n, 0]`` if they do not fit in memory.
        stored: in that case, a file with the probabilities of all steps of all videos, step by step for each video.
        protocol: the metric of a trace with categories.
        elapsed_ms: float64 ``[S, n]``, each step's share of the total time.
        latency_ms: float64 ``[S, n]``, from the start of the video to the end of the step.
        other_gates: the gates of the other sets, by name.
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
    other_gates: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    stored: StoredScores | None = None
    protocol: TagProtocol = "flat"

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.gates)

    @property
    def frames(self) -> tuple[int, ...]:
        """Number of frames that each step reads."""
        return self.header.costs.frames

    @cached_property
    def default_policy(self) -> Policy:
        """The network's default policy."""
        return policy_of(self.header.default_policy, "the trace")

    @cached_property
    def set_policies(self) -> dict[str | None, Policy]:
        """Default policy of each gate set, by name; the only name is None if the network has no named sets."""
        named: dict[str | None, Policy] = {
            name: policy_of(record, f"the trace: {name}") for name, record in self.header.gate_sets.items()
        }
        return named or {None: self.default_policy}

    def gate_values(self, gate_set: str | None) -> NDArray[np.float64]:
        """Return the gate values ``[S, n]`` of a set; None for the default one.

        Raises:
            UsageError: the trace does not have the set.
        """
        if gate_set in (None, self.default_policy.gate_set):
            return self.gates
        if gate_set not in self.other_gates:
            known = ", ".join(self.header.gate_sets) or "none"
            raise UsageError(
                f"the trace has no gate set {gate_set!r}", f"record a bundle that has it; the sets are: {known}"
            )
        return self.other_gates[gate_set]

    def macs_at_exit(self, policy: Policy) -> NDArray[np.float64]:
        """Return the MACs of a video by exit step; see `StepCosts.macs_at_exit`."""
        return self.header.costs.macs_at_exit(policy)

    def tally(self, policy: Policy) -> Tally:
        """Count the exits at each step under a policy, and the correct predictions."""
        exits, right = np.zeros(self.steps, np.int64), 0
        for step, leaving in self.exits_by_step(policy):
            exits[step - 1] = np.count_nonzero(leaving)
            right += int(np.count_nonzero(leaving & self.counted_hits[step - 1]))
        return Tally(exits, right)

    def exits_by_step(self, policy: Policy) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield each step of a policy's route with a mask of the videos that exit there, bool ``[n]``.

        Raises:
            UsageError: the policy does not apply to the network.
        """
        route = policy.route(self.frames)
        active = np.ones(len(self.videos), np.bool_)
        for step, evidence in zip(route, self.evidence(policy)):
            leaving = active & policy.exits(evidence)
            yield step, leaving
            active &= ~leaving
        yield route[-1], active

    def evidence(self, policy: Policy) -> tuple[Evidence, ...]:
        """Return the evidence for each step of a policy's route except the last, for all videos at once."""
        route = policy.route(self.frames)[:-1]
        steps = tuple(
            (step, policy.needs_gate(position), policy.needs_logits(position))
            for position, step in enumerate(route, start=1)
        )
        gate_set = policy.gate_set if any(gate for _, gate, _ in steps) else None
        request = _EvidenceRequest(steps, gate_set)
        if request not in self._evidence:
            self._evidence[request] = self._collect_evidence(request)
        return self._evidence[request]

    @cached_property
    def _evidence(self) -> dict[_EvidenceRequest, tuple[Evidence, ...]]:
        return {}

    def _collect_evidence(self, request: _EvidenceRequest) -> tuple[Evidence, ...]:
        """Return the evidence of steps, omitting gates and logits that were not requested."""
        found, labels, gates = [], [], self.gate_values(request.gate_set)
        for position, (step, gate, logits) in enumerate(request.steps, start=1):
            labels += [self.predictions[step - 1]] if logits else []
            seen = Evidence(position, gates[step - 1] if gate else None, video=self.videos)
            if logits:
                confidence, entropy = self.confidences[step - 1], self.entropies[step - 1]
                seen = replace(seen, confidence=confidence, entropy=entropy, labels=tuple(labels))
            found.append(seen)
        return tuple(found)

    @cached_property
    def labeled(self) -> NDArray[np.bool_]:
        """Whether each video has a label, bool ``[n]``; unlabeled videos do not count toward top-1."""
        return np.array([bool(label) for label in self.labels], np.bool_)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the top class is one of the video's labels, bool ``[S, n]``; counted as in ``hit_at_1``."""
        found = np.empty((self.steps, len(self.videos)), np.bool_)
        if self.stored is not None or self.header.output == "sigmoid":  # a sigmoid may be 1 for several classes
            labels = [frozenset(label or ()) for label in self.labels]
            for step, predictions in enumerate(self.predictions):
                found[step] = [prediction in label for prediction, label in zip(predictions.tolist(), labels)]
            return found
        positive = self.multi_hot
        for step, logits in enumerate(self.logits):
            probabilities = probabilities_of(logits, self.header.output)
            right = positive[np.arange(len(positive)), probabilities.argmax(axis=1)]
            found[step] = right & ~np.isnan(probabilities).any(axis=1)
        return found

    @cached_property
    def counted_hits(self) -> NDArray[np.bool_]:
        """``hits`` restricted to labeled videos, bool ``[S, n]``."""
        return self.hits & self.labeled

    @cached_property
    def multi_hot(self) -> NDArray[np.bool_]:
        """Multi-hot labels, bool ``[n, classes]``."""
        found = np.zeros((len(self.videos), self.header.classes), np.bool_)
        for row, label in zip(found, self.labels):
            row[list(label or ())] = True
        return found

    @cached_property
    def tag_labels(self) -> TagLabels | None:
        """The labels of a trace with categories; None for other traces."""
        return None if self.header.categories is None else TagLabels(self.labels, self.header.categories)

    def stored_rows(self, videos: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of all steps of these videos in ``stored``."""
        return (videos[:, None] * self.steps + np.arange(self.steps)).ravel()

    def subset(self, chosen: NDArray[np.int64]) -> Trace:
        """Return the trace of the videos at the given indices."""
        return replace(
            self,
            videos=tuple(self.videos[place] for place in chosen),
            labels=tuple(self.labels[place] for place in chosen),
            other_gates={name: values[:, chosen] for name, values in self.other_gates.items()},
            stored=None if self.stored is None else self.stored.select(self.stored_rows(chosen)),
            **{name: getattr(self, name)[:, chosen] for name in _ARRAYS},
        )
