"""Engine options and the registry of engines.

This module is separate from the engines so that the command line can offer the options without importing NumPy or an
engine. Adding an engine takes one module and one line in ``ENGINES``; the module is imported on first use, so that an
engine does not require another engine's package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import UsageError
from ...option_fields import option, option_record
from ...registry import Registry
from ..telemetry.cpus import usable_cpus

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from ..bundle.manifest import Manifest
    from .base import Engine

AUTO_REPLICAS = 0  # a number of replicas to be chosen
AUTO = "auto"  # an engine or a precision to be chosen; see ``runtime/engine_choice``
PROVIDERS = ("cuda", "tensorrt")
PLAN_ENGINES = ("trt", "trt-rtx")  # they run plans on a GPU, each built for a maximum batch size


def parse_replicas(text: str) -> int:
    """Return the number of replicas in an option; `AUTO_REPLICAS` for ``auto``.

    Raises:
        UsageError: the text is neither.
    """
    if text == AUTO:
        return AUTO_REPLICAS
    return checked_replicas(int(text) if text.isascii() and text.isdecimal() else text)


def checked_replicas(count: object) -> int:
    """Return a number of replicas.

    Raises:
        UsageError: it is not a positive integer.
    """
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise UsageError(f"--replicas must be auto or a number >= 1, got {count}", "pass for example 2, or auto")
    return int(count)


def print_to_stderr(text: str) -> None:
    """Print a progress message."""
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class EngineOptions:
    """User options for engines; each engine rejects the options that it does not support.

    To add an option, declare it here: every command that runs an engine will then offer it, and every record will
    contain it.

    The other fields are set by vbench itself: ``parts`` lists the parts to load (None: all parts of the bundle);
    ``slots`` is the maximum number of clips in a batch, for engines that are built for a fixed number (None: the
    family's default); ``say`` receives the progress messages of builds, which take minutes.
    """

    precision: str = option(
        "Which of the bundle's precisions to run; tf32: fp32 rounded to TF32 on NVIDIA GPUs.", default="fp32"
    )
    threads: int = option("Number of engine threads; 0 for all CPUs that the process may use.", default=0, minimum=0)
    checkpoint: Path | None = option("For the torch engine: the checkpoint, if it has been moved.", default=None)
    engine: str = option("Engine to run.", default="ort", values=lambda: ENGINES, kw_only=True)
    replicas: int = option(
        "Replicas of the engine, each with a share of the threads; auto: as many as are fastest here, measured once.",
        default=1,
        parse=parse_replicas,
        metavar="[N|auto]",
        kw_only=True,
    )
    device: str | None = option(
        "cpu, cuda, or cuda:1 for the second GPU.",
        default=None,
        show_default="cpu; cuda for trt and trt-rtx",
        kw_only=True,
    )
    provider: str = option(
        "For ort on a GPU: its execution provider.", default="cuda", values=lambda: PROVIDERS, kw_only=True
    )
    graphs: bool | None = option(
        "On a GPU: use CUDA graphs.",
        default=None,
        show_default="graphs for trt and trt-rtx",
        flags=("--graphs/--no-graphs",),
        kw_only=True,
    )
    max_flips: float | None = option(
        "With --precision auto: percentage of audited videos that may change (vbench audit).",
        default=None,
        show_default="1",
        minimum=0,
        kw_only=True,
    )
    parts: frozenset[str] | None = field(default=None, kw_only=True)
    slots: int | None = field(default=None, kw_only=True)
    say: Callable[[str], None] = field(default=print_to_stderr, kw_only=True, compare=False)

    def wants(self, part: str) -> bool:
        """Return whether a part should be loaded."""
        return self.parts is None or part in self.parts

    def thread_count(self) -> int:
        """Return the number of threads for a CPU engine: as requested, or one per CPU that this process may use."""
        usable = usable_cpus()
        if self.threads > usable:
            self.say(f"--threads {self.threads}: this process may use only {usable} CPU{'s' * (usable > 1)}")
        return self.threads or usable

    def record(self) -> dict[str, Any]:
        """Return the options as JSON; see `from_record`."""
        return option_record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EngineOptions:
        """Return the options stored in a record.

        Raises:
            TypeError: the record has unknown fields.
        """
        checkpoint = record["checkpoint"]
        return cls(**{**record, "checkpoint": None if checkpoint is None else Path(checkpoint)})


class LoadEngine(Protocol):
    """Function that loads the parts of a bundle that ``options`` selects; see `load_engine`."""

    def __call__(self, bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
        """Load the engine."""
        ...


ENGINES: Registry[LoadEngine] = Registry(
    "engine",
    {
        "ort": ".ort.load:load",
        "openvino": ".openvino:load",
        "torch": ".pytorch.engine:load",
        "trt": ".trt.load:load",
        "trt-rtx": ".trt.load:load_rtx",
    },
    group="vbench.engines",
    package=__package__ or "",
)
