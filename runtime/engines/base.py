"""Engines make the parts of a bundle callable and own the memory between them.

A handle is a tensor where the engine keeps it; only the engine looks inside. Adding an engine is one file and one
line of ``ENGINES``; its module is imported when it is asked for, so that no engine needs another one's package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest

Array = NDArray[np.generic]
Handle = Any  # a tensor of the engine's own kind


def say_on_stderr(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose: precision, threads (0: all cores), and the checkpoint for the torch engine.

    ``parts`` names those to load, where not all of a bundle's will be run. ``device`` is ``cpu``, ``cuda`` or
    ``cuda:1``; None is the first GPU for trt, and the CPU for all others. On a GPU, ``provider`` is the one of ONNX
    Runtime, ``cuda`` or ``tensorrt``, and ``graphs`` says whether CUDA graphs are used; None: with trt, where they can
    be had. Where TensorRT builds, ``slots`` is the most clips of a batch (see `most_rows`), and ``say`` is told what a
    build, which takes minutes, is at.
    """

    device: str | None = field(default=None, kw_only=True)
    provider: str = field(default="cuda", kw_only=True)
    graphs: bool | None = field(default=None, kw_only=True)
    precision: str = "fp32"
    threads: int = 0
    checkpoint: Path | None = None
    parts: frozenset[str] | None = None
    slots: int | None = None
    say: Callable[[str], None] = say_on_stderr

    def wants(self, part: str) -> bool:
        """Say whether a part is to be loaded."""
        return self.parts is None or part in self.parts


class Engine(Protocol):
    """Runs parts. Shapes, dtypes and names are those of the manifest; the batch comes first.

    `run` may be called from several threads at once as long as no two of them give the same ``out``.
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


ENGINES = {"ort": "ort.cpu", "openvino": "openvino", "torch": "pytorch.engine", "trt": "trt.engine"}


def load_engine(name: str, bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Return the engine ``name`` with the parts of ``bundle`` loaded that ``options`` want.

    Raises:
        UsageError: there is no engine of that name.
        MissingError: its package is not installed.
        BundleError: a file of the bundle is missing or altered.
    """
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r}", f"choose one of {', '.join(ENGINES)}")
    module = import_module(f".{ENGINES[name]}", __package__)
    engine: Engine = module.load(bundle, options)
    return engine
