"""Contenders: everything that a benchmark measures, baselines included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...runtime.engines.options import EngineOptions
from ...runtime.scheduler.options import StreamOptions

Procedure = Literal["network", "original", "compiled"]
"""How a contender runs: the network as vbench runs it, PyTorch as the authors run it, or PyTorch with torch.compile."""

EXACT = "fp32"


@dataclass(frozen=True)
class Contender:
    """One way to run a bundle, measured in its own process.

    Attributes:
        name: unique within a benchmark.
        frames: frame count of a frame-flexible network; None for other networks.
        every_step: whether clips run through all steps instead of exiting early: the baseline for early exits.
    """

    name: str
    engine: EngineOptions
    stream: StreamOptions
    procedure: Procedure = "network"
    frames: int | None = None
    every_step: bool = False

    @property
    def exact(self) -> bool:
        """Whether it must reproduce the classes and exit steps of its reference."""
        return self.engine.precision == EXACT

    def record(self) -> dict[str, Any]:
        """Return the contender as JSON; see `from_record`."""
        return {
            "name": self.name,
            "engine": self.engine.record(),
            "stream": self.stream.record(),
            "procedure": self.procedure,
            "frames": self.frames,
            "every_step": self.every_step,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Contender:
        """Return the contender from its record.

        Raises:
            KeyError, TypeError: a field is missing or unknown.
        """
        engine, stream = EngineOptions.from_record(record["engine"]), StreamOptions.from_record(record["stream"])
        return cls(**{**record, "engine": engine, "stream": stream})


def reference_of(contender: Contender, contenders: Sequence[Contender]) -> Contender | None:
    """Return the contender whose answers ``contender`` must reproduce; None for the reference itself.

    It is the first exact contender that runs the same steps or frame count: the original procedure, if present.
    """
    same = [one for one in contenders if _steps(one) == _steps(contender)]
    reference = next((one for one in same if one.exact), None)
    return None if reference is contender else reference


def original_of(contender: Contender, contenders: Sequence[Contender]) -> Contender | None:
    """Return the original procedure at the same frame count, which is the speed baseline; None if there is none."""
    return next(
        (one for one in contenders if one.procedure == "original" and one.frames == contender.frames),
        None,
    )


def all_frames_of(contender: Contender, contenders: Sequence[Contender]) -> Contender | None:
    """Return the one with the same engine, precision and schedule but no early exits, or the largest frame count.

    None if the contender has no such baseline, or is one itself.
    """
    largest = max((one.frames for one in contenders if one.frames is not None), default=None)
    alike = [
        one
        for one in contenders
        if (one.engine, one.stream, one.procedure) == (contender.engine, contender.stream, contender.procedure)
    ]
    for one in alike:
        if one is not contender and (one.every_step or (largest is not None and one.frames == largest)):
            return one
    return None


def _steps(contender: Contender) -> tuple[int | None, bool]:
    return contender.frames, contender.every_step
