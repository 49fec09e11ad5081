"""Engine options of the commands that run a bundle, and a check for those that need a named precision."""

from __future__ import annotations

from ...errors import UsageError
from ...runtime.engines.options import AUTO, ENGINES, EngineOptions
from .options import Changed, Options

CHOSEN_ENGINE = Options(  # by default, the fastest engine that computes in fp32
    EngineOptions,
    changed={
        "engine": Changed(
            AUTO, "Engine to run; auto: the fastest here, measured once.", values=lambda: (AUTO, *ENGINES)
        ),
        "precision": Changed(
            help="Which of the bundle's precisions to run; tf32: fp32 rounded to TF32 on NVIDIA GPUs; auto: the "
            "fastest, including lower ones whose audits are within --max-flips."
        ),
    },
)


def require_precision(options: EngineOptions, verb: str) -> None:
    """Raise UsageError unless the options name a precision; ``verb`` says what the command does to it."""
    if options.precision == AUTO:
        raise UsageError(f"--precision auto names no precision to {verb}", "choose one, such as fp32 or int8")
