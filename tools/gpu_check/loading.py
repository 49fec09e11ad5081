"""Load a contender, with those of its options that this checkout's ``vbench.load`` takes."""

from __future__ import annotations

import inspect
from typing import Any

from vbench.errors import UsageError
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.telemetry.gpu_monitor import runs_on_gpu

from .contenders import Contender
from .settings import WorkerConfig


def load_contender(contender: Contender, config: WorkerConfig) -> Network:
    """Load it, and refuse one that runs elsewhere than its name says."""
    network = load(config.bundle, contender.engine, precision=contender.precision, **_options(contender, config))
    description = network.engine.describe()
    if contender.gpu and not runs_on_gpu(description):
        raise RuntimeError(f"it does not run on the GPU: {description}")
    return network


def _options(contender: Contender, config: WorkerConfig) -> dict[str, Any]:
    taken = inspect.signature(load).parameters
    for name, _ in contender.options:
        if name not in taken:
            raise UsageError(f"vbench.load takes no {name}= in this checkout")
    # What makes plans has to know the largest batch; the others take any.
    slots = {"slots": config.slots} if "slots" in taken else {}
    return {**dict(contender.options), **slots}
