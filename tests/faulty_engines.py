"""Engines for tests that fail in a worker: they refuse, crash, hang, run out of memory, or give wrong answers.

Each is ONNX Runtime until its contender is warmed up. A worker finds them like those of an installed package, through
the entry points that `install` writes.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.engines.base import Engine, EngineOptions
from vbench.runtime.engines.ort.load import load

NAMES = ("refusing", "crashing", "aborting", "killed", "exhausting", "hanging", "lying", "chatty")
_METADATA = "Metadata-Version: 2.1\nName: faulty-engines\nVersion: 1\n"


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the engines available to this process and to the workers that it starts."""
    info = folder / "faulty_engines-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_METADATA)
    entries = [f"{name} = {__name__}:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[vbench.engines]", *entries, ""]))
    patch.syspath_prepend(folder)


def refusing(_bundle: Bundle[Manifest], _options: EngineOptions) -> Engine:
    raise RuntimeError("no such kernel\nand a second line")


def crashing(_bundle: Bundle[Manifest], _options: EngineOptions) -> Engine:
    print("CUDA error: misaligned address", file=sys.stderr, flush=True)
    os._exit(7)


def aborting(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    return _acting(bundle, options, os.abort)


def killed(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """End like a process that the system chooses when memory runs out."""
    return _acting(bundle, options, lambda: os.kill(os.getpid(), signal.SIGKILL))


def exhausting(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Need more memory than the process may have."""

    def allocate() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36))
        np.ones(1 << 40, np.uint8)

    return _acting(bundle, options, allocate)


def hanging(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    return _acting(bundle, options, lambda: time.sleep(600))


def chatty(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Print to stdout, where the replies of a worker would be."""
    return _acting(bundle, options, lambda: os.write(1, b"a library says something\n"))


def lying(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Negate every output that is read, so that other classes win at other steps."""
    engine: Any = load(bundle, options)
    engine.get = lambda handle: -handle
    return engine  # type: ignore[no-any-return]


def _acting(bundle: Bundle[Manifest], options: EngineOptions, act: Callable[[], object]) -> Engine:
    """Return an engine that acts whenever a part runs after the worker has described the warm engine."""
    engine: Any = load(bundle, options)
    run, describe, described = engine.run, engine.describe, []

    def acting_run(*args: Any, **named: Any) -> Any:
        if described:
            act()
        return run(*args, **named)

    def acting_describe() -> dict[str, str]:
        described.append(True)
        return describe()  # type: ignore[no-any-return]

    engine.run, engine.describe = acting_run, acting_describe
    return engine  # type: ignore[no-any-return]
