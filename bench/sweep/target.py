"""Target of ``vbench tune``: a limit on compute, latency or accuracy loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...runtime.policies.base import Policy
from .operating_points import ReplaySource

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """Target of the policy; exactly one of the first three attributes is set.

    Attributes:
        gflops: maximum GFLOPs per video, as counted in the paper (GMACs if the paper publishes no constant).
        max_drop: maximum accuracy loss in points, relative to running all steps.
        ms: maximum expected latency in milliseconds.
        delta: for ``max_drop``, the allowed probability of a larger drop; None for no guarantee.
    """

    gflops: float | None = None
    max_drop: float | None = None
    ms: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        given = {"--target-gflops": self.gflops, "--max-drop": self.max_drop, "--target-ms": self.ms}
        if sum(value is not None for value in given.values()) != 1:
            raise UsageError("expected exactly one target", f"pass one of {', '.join(given)}")
        for name, value in given.items():
            if value is not None and not 0 <= value < np.inf:
                raise UsageError(f"{name} {value:g} is out of range", "choose a number >= 0")
        if self.delta is None:
            return
        if self.max_drop is None:
            raise UsageError("--delta requires --max-drop", "add --max-drop or drop --delta")
        if not (0 < self.delta < 1 and 0 < self.max_drop < 100):
            raise UsageError(
                f"cannot guarantee a drop of at most {self.max_drop:g} points with --delta {self.delta:g}",
                "choose a drop between 0 and 100 and a delta between 0 and 1",
            )

    @property
    def limit(self) -> float:
        """Value of the attribute that is set."""
        (limit,) = (value for value in (self.gflops, self.max_drop, self.ms) if value is not None)
        return limit

    @property
    def unit(self) -> str:
        """Unit of ``limit``."""
        if self.max_drop is not None:
            return "points"
        return "GFLOPs" if self.ms is None else "ms"

    def cost_at_exit(self, source: ReplaySource, policy: Policy) -> Array:
        """Return the cost subject to the limit for a video, by exit step, ``[S]``; for cost targets only."""
        header = source.trace.header
        if self.ms is not None:
            return np.asarray(header.costs.summed(source.times.latency_ms, policy), np.float64)
        if header.paper_gmacs_per_frame is not None:
            return header.paper_gmacs_per_frame * np.asarray(header.costs.frames_at_exit(policy), np.float64)
        return np.asarray(header.costs.macs_at_exit(policy), np.float64) / 1e9
