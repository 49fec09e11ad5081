"""The scheduling loop: slots, schedules, step programs and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .decision import StepDecision as StepDecision
    from .options import StreamOptions as StreamOptions
    from .program import StepProgram as StepProgram
    from .results import ClipResult as ClipResult
    from .results import Prediction as Prediction
    from .scheduler import ClipScheduler as ClipScheduler
    from .schedules import SCHEDULES as SCHEDULES
    from .schedules import Schedule as Schedule
    from .stream import ClipStream as ClipStream

__getattr__ = lazy_exports(
    __name__,
    decision=("StepDecision",),
    options=("StreamOptions",),
    program=("StepProgram",),
    results=(
        "ClipResult",
        "Prediction",
    ),
    scheduler=("ClipScheduler",),
    schedules=(
        "SCHEDULES",
        "Schedule",
    ),
    stream=("ClipStream",),
)
