"""The policies that a sweep replays, family by family.

Thresholds stand at quantiles of what the trace holds: a grid of equal distances would spend most of its points where no
video is, since gates and confidences crowd at 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...runtime.policies.base import FrameExitPolicy
from ...runtime.policies.cascade import Cascade
from ...runtime.policies.registry import policy_of
from ...runtime.policies.rules import Confidence, Entropy, Fixed, Patience, Planned, Random
from ..trace.replay import tally
from ..trace.trace import Trace
from .operating_points import Candidate
from .threshold_search import objective, search_thresholds

_DIGITS = 6  # of a threshold: enough to tell scores apart, few enough to be read
_FEW = 24  # points of a family whose every point takes its time
_GATED = 3  # the first step and the last have no gate
_MAX_CHAIN = 5  # of so many frame counts all cascades are tried


def candidates(trace: Trace, families: tuple[str, ...] | None, points: int) -> list[Candidate]:
    """Return the policies of the families (None: all that fit the network), about ``points`` of each with thresholds.

    Raises:
        UsageError: there is no such family for this network, or fewer than one point is wanted.
    """
    if points < 1:
        raise UsageError(f"{points} points are none", "give --points 1 or more")
    known = FRAMEEXIT if trace.header.family == "frameexit" else FLEXIBLE
    for family in families or ():
        if family not in known:
            raise UsageError(f"no policies {family!r} for {trace.header.bundle}", f"choose of {', '.join(known)}")
    default = Candidate("default", policy_of(trace.header.default_policy, "the trace"))
    return [default, *(found for family in families or known for found in known[family](trace, points))]


def whole(trace: Trace) -> Candidate:
    """Return the policy that looks at everything."""
    counts = trace.header.costs.frames
    policy = Fixed(trace.steps) if trace.header.family == "frameexit" else Cascade(counts[-1:])
    return Candidate("fixed", policy)


def _gates(trace: Trace, points: int) -> list[Candidate]:
    return [Candidate("gates", policy) for policy in _pairs(trace, points)]


def _pairs(trace: Trace, points: int) -> list[FrameExitPolicy]:
    """Every pair of a threshold for the first step's confidence and one for all gates."""
    side = max(int(points**0.5), 1)
    firsts = _quantiles(trace.confidences[0], side)
    gates = _quantiles(trace.gates[1:-1], -(-points // len(firsts)))
    return [FrameExitPolicy(first, (gate,)) for first, gate in product(firsts, gates)]


def _searched(trace: Trace, points: int) -> list[Candidate]:
    """One threshold for every step, found for ever higher prices of compute.

    The search begins at the best pair of thresholds there is, or where it ended before, so that it never ends below.
    """
    if trace.steps < _GATED:
        return []
    pairs = _pairs(trace, points)
    tallies = [tally(policy, trace) for policy in pairs]
    scores = np.vstack([trace.confidences[:1], trace.gates[1:-1]])
    value = trace.counted_hits.astype(np.float64)
    cost = trace.header.costs.macs_at_exit(pairs[0]) / 1e9
    right, costs = np.array([each.right for each in tallies]), np.array([each.exits for each in tallies]) @ cost
    start = np.ones(trace.steps - 1)
    found = []
    for price in map(float, np.geomspace(1e-3, 1, min(_FEW, points)) / cost[0]):
        worth = partial(objective, scores, value, cost, price)
        pair = pairs[int((right - price * costs).argmax())]
        begin = max(np.array([pair.threshold(step) for step in range(1, trace.steps)]), start, key=worth)
        exact = search_thresholds(scores, value, cost, price, begin)
        start = max(np.round(exact, _DIGITS), exact, key=worth)  # the shorter numbers, unless they part other scores
        first, *gates = start.tolist()
        found.append(Candidate("searched", FrameExitPolicy(first, tuple(gates)), searched=True))
    return list({candidate.policy: candidate for candidate in found}.values())


def _confidence(trace: Trace, points: int) -> list[Candidate]:
    return [Candidate("confidence", Confidence(value)) for value in _quantiles(trace.confidences[:-1], points)]


def _entropy(trace: Trace, points: int) -> list[Candidate]:
    return [Candidate("entropy", Entropy(value)) for value in _quantiles(trace.entropies[:-1], points)]


def _patience(trace: Trace, points: int) -> list[Candidate]:  # noqa: ARG001 - there are as many as steps
    return [Candidate("patience", Patience(times)) for times in range(1, trace.steps + 1)]


def _fixed(trace: Trace, points: int) -> list[Candidate]:  # noqa: ARG001
    return [Candidate("fixed", Fixed(steps)) for steps in range(1, trace.steps + 1)]


def _random(trace: Trace, points: int) -> list[Candidate]:
    """As many videos at every step as the authors' gates send there, but any: the same cost by chance."""
    found: list[Candidate] = []
    default = policy_of(trace.header.default_policy, "the trace")
    if not isinstance(default, FrameExitPolicy):
        return found
    for gate in _quantiles(trace.gates[1:-1], min(_FEW, points)):
        exits = tally(FrameExitPolicy(default.first_threshold, (gate,)), trace).exits
        found.append(Candidate("random", Random(tuple((exits / exits.sum()).tolist()))))
    return found


def _oracle(trace: Trace, points: int) -> list[Candidate]:  # noqa: ARG001 - there is one
    """Leave at the earliest step with the right answer, and where there is none at once: no rule has more right."""
    earliest = np.where(trace.hits.any(axis=0), trace.hits.argmax(axis=0), 0) + 1
    planned = Planned(dict(zip(trace.videos, earliest.tolist())))
    return [Candidate("oracle", planned, searched=True, runnable=False)]


def _counts(trace: Trace, points: int) -> list[Candidate]:  # noqa: ARG001 - there are as many as counts
    return [Candidate("fixed", Cascade((count,))) for count in trace.header.costs.frames]


def _cascades(trace: Trace, points: int) -> list[Candidate]:
    """Every chain of frame counts (of many counts, those of neighbours) at every threshold."""
    counts = trace.header.costs.frames
    chains = [chain for length in range(2, len(counts) + 1) for chain in combinations(counts, length)]
    if len(counts) > _MAX_CHAIN:
        chains = [counts[i:j] for i in range(len(counts)) for j in range(i + 2, len(counts) + 1)]
    values = _quantiles(trace.confidences[:-1], max(points // max(len(chains), 1), 1)) if chains else []
    return [Candidate("cascade", Cascade(chain, value)) for chain in chains for value in values]


Family = Callable[[Trace, int], list[Candidate]]
FRAMEEXIT: dict[str, Family] = {
    "gates": _gates,
    "searched": _searched,
    "confidence": _confidence,
    "entropy": _entropy,
    "patience": _patience,
    "fixed": _fixed,
    "random": _random,
    "oracle": _oracle,
}
FLEXIBLE: dict[str, Family] = {"fixed": _counts, "cascade": _cascades}


def _quantiles(values: NDArray[np.float64], points: int) -> list[float]:
    """Return up to ``points`` thresholds in [0, 1] (2 at least), ascending: 0, 1, and quantiles of ``values``."""
    known = values[np.isfinite(values)]
    inner = np.quantile(known, np.linspace(0, 1, max(points, 2))[1:-1]) if known.size else np.empty(0)
    found: list[float] = np.unique(np.round(np.clip([0.0, *inner, 1.0], 0, 1), _DIGITS)).tolist()
    return found
