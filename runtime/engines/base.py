"""Engines make the parts of a bundle callable and own the memory between them.

A handle is a tensor where the engine keeps it; only the engine looks inside. Options and registry: ``options.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..families import family_of
from .options import ENGINES as ENGINES
from .options import PROVIDERS as PROVIDERS
from .options import EngineOptions as EngineOptions
from .options import LoadEngine as LoadEngine
from .options import print_to_stderr as print_to_stderr

Array = NDArray[np.generic]
Handle = Any  # a tensor of the engine's own kind


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
