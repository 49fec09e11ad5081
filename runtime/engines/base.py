"""The engine protocol: run the parts of a bundle and own the tensors passed between them.

A handle is an engine-specific tensor that only the engine itself can interpret. The options and the registry are in
``options.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...startup import phase
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..families import family_of
from .options import ENGINES as ENGINES
from .options import PROVIDERS as PROVIDERS
from .options import EngineOptions as EngineOptions
from .options import LoadEngine as LoadEngine
from .options import print_to_stderr as print_to_stderr

Array = NDArray[np.generic]
Handle = Any  # an engine-specific tensor


class Engine(Protocol):
    """Runs the parts of a bundle. Shapes, dtypes and names are those in the manifest; the first axis is the batch.

    Thread-safe: methods may be called concurrently as long as no two calls write to the same memory (the ``out`` of
    `run`, the ``target`` of `copy`) and no call reads memory that another call writes.
    """

    name: str

    def describe(self) -> dict[str, str]:
        """Return the configuration in effect (versions, provider, threads) for the run record."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        """Allocate a float32 tensor of zeros on the engine's device."""
        ...

    def put(self, array: Array) -> Handle:
        """Copy an array to the engine's device."""
        ...

    def get(self, handle: Handle) -> Array:
        """Copy a tensor to the host."""
        ...

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Start copying a tensor to the host; return a function that waits for the copy and returns the array.

        Do not modify the tensor until that function returns: a synchronous engine copies only when it is called.
        """
        ...

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        """Return rows ``start`` to ``stop`` of a tensor as a view of the same memory."""
        ...

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        """Return a view of a tensor with a different shape but the same number of elements."""
        ...

    def copy(self, source: Handle, target: Handle) -> None:
        """Copy a tensor into another of the same shape."""
        ...

    def write(self, array: Array, target: Handle) -> None:
        """Copy a float32 array into a tensor of the same shape; the array may be modified afterwards."""
        ...

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Run a part on its inputs, given in the manifest's order, and return its output on the engine's device.

        If ``out`` is given (a float32 tensor of the right shape that overlaps no input), the output is written to it.
        Otherwise, the output is a new tensor.
        """
        ...


@runtime_checkable
class TakesDeviceFrames(Protocol):
    """What an engine adds that runs the part ``preprocess`` on its own device."""

    def put_device_frame(self, frame: Any) -> Handle:
        """Return a frame on the engine's device as an input of preprocessing, uint8 RGB ``[1, H, W, 3]``.

        Args:
            frame: uint8 RGB ``[H, W, 3]``, an object with ``__dlpack__``; the engine passes its own stream to it, so
                that the frame is ready when the engine reads it.

        Raises:
            FrameError: the frame has another shape or data type, or is on another device.
        """
        ...


def max_batch_rows(manifest: Manifest, options: EngineOptions) -> int:
    """Return the maximum batch size in rows (rows per clip times slots), for engines built for a fixed size."""
    family = family_of(manifest)
    slots = family.default_slots() if options.slots is None else options.slots
    return slots * family.rows_per_clip(manifest)


def load_engine(name: str, bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load the parts of ``bundle`` that ``options`` selects into the engine ``name``.

    Raises:
        UsageError: there is no engine with that name.
        MissingError: the engine's package is not installed.
        BundleError: a bundle file is missing or has been altered.
    """
    with phase("engine"):
        return ENGINES.get(name)(bundle, options)
