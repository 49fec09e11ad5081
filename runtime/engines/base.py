"""Engines make the parts of a bundle callable and own the memory between them.

A handle is a tensor where the engine keeps it; only the engine looks inside. Adding an engine is one file and one
line of ``ENGINES``; its module is imported when it is asked for, so that no engine needs another one's package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...option_fields import option, option_record
from ...registry import Registry
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..families import family_of

Array = NDArray[np.generic]
Handle = Any  # a tensor of the engine's own kind
PROVIDERS = ("cuda", "tensorrt")


def say_on_stderr(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose about an engine; every engine refuses what it does not have.

    To add an option, declare it here: every command that runs an engine then offers it, and every record holds it.

    The other fields are set by vbench itself: ``parts`` names those to load, where not all of a bundle's will run
    (None: all); ``slots`` is the most clips in a batch, for engines that are built for a number (None: the family's
    default); ``say`` receives the progress of a build, which takes minutes.
    """

    precision: str = option(
        "Which of the bundle's precisions to run; tf32: fp32 as NVIDIA GPUs round it.", default="fp32"
    )
    threads: int = option("Threads of the engine; 0 for all cores.", default=0, minimum=0)
    checkpoint: Path | None = option("For the engine torch: the checkpoint, if it has been moved.", default=None)
    engine: str = option("Engine to run.", default="ort", values=lambda: ENGINES, kw_only=True)
    device: str | None = option(
        "cpu, cuda, or cuda:1 for the second GPU.", default=None, show_default="cpu; cuda for trt", kw_only=True
    )
    provider: str = option(
        "For ort on a GPU: its execution provider.", default="cuda", values=lambda: PROVIDERS, kw_only=True
    )
    graphs: bool | None = option(
        "On a GPU: use CUDA graphs.",
        default=None,
        show_default="graphs for trt",
        flags=("--graphs/--no-graphs",),
        kw_only=True,
    )
    parts: frozenset[str] | None = field(default=None, kw_only=True)
    slots: int | None = field(default=None, kw_only=True)
    say: Callable[[str], None] = field(default=say_on_stderr, kw_only=True, compare=False)

    def wants(self, part: str) -> bool:
        """Say whether a part is to be loaded."""
        return self.parts is None or part in self.parts

    def record(self) -> dict[str, Any]:
        """Return the options as JSON; see `from_record`."""
        return option_record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EngineOptions:
        """Return the options of a record.

        Raises:
            TypeError: it holds other fields.
        """
        checkpoint = record["checkpoint"]
        return cls(**{**record, "checkpoint": None if checkpoint is None else Path(checkpoint)})


class Engine(Protocol):
    """Runs parts. Shapes, dtypes and names are those of the manifest; the batch comes first.

    Thread-safe: every method may be called from several threads at once, as long as no two of them write to the same
    memory (the ``out`` of `run`, the ``target`` of `copy`) and none reads what another one writes.
    """

    name: str

    def describe(self) -> dict[str, str]:
        """Return what really runs (versions, provider, threads), for the run record."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        """Make a float32 tensor of zeros where the parts run."""
        ...

    def put(self, array: Array) -> Handle:
        """Bring an array to where the parts run."""
        ...

    def get(self, handle: Handle) -> Array:
        """Bring a tensor back to the host."""
        ...

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Start bringing a tensor to the host; what is returned waits until it is there.

        The tensor is to be left as it is until then: an engine that computes at once has nothing to start.
        """
        ...

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        """Return rows ``start`` to ``stop`` of a tensor as a view of the same memory."""
        ...

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        """Return a tensor's memory under another shape of as many elements."""
        ...

    def copy(self, source: Handle, target: Handle) -> None:
        """Copy a tensor into another one of the same shape."""
        ...

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Run a part on inputs in the manifest's order.

        The output is written into ``out``, a float32 tensor of the right shape that overlaps no input, where one is
        given; else into a new tensor. Either way it stays where the parts run, and is returned.
        """
        ...


class LoadEngine(Protocol):
    """What a module of an engine has as ``load``."""

    def __call__(self, bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
        """Load the parts of a bundle that ``options`` want; see `load_engine`."""
        ...


ENGINES: Registry[LoadEngine] = Registry(
    "engine",
    {
        "ort": ".ort.load:load",
        "openvino": ".openvino:load",
        "torch": ".pytorch.engine:load",
        "trt": ".trt.load:load",
    },
    group="vbench.engines",
    package=__package__ or "",
)


def max_batch_rows(manifest: Manifest, options: EngineOptions) -> int:
    """Return the most rows of a batch, for engines that are built for a number: the rows of a clip for each slot."""
    family = family_of(manifest)
    slots = family.default_slots() if options.slots is None else options.slots
    return slots * family.rows_per_clip(manifest)


def load_engine(name: str, bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Return the engine ``name`` with the parts of ``bundle`` loaded that ``options`` want.

    Raises:
        UsageError: there is no engine of that name.
        MissingError: its package is not installed.
        BundleError: a file of the bundle is missing or altered.
    """
    return ENGINES.get(name)(bundle, options)
