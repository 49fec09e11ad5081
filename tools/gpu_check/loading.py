"""Load a contender with its options, if this checkout's ``vbench.load`` supports them."""

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
    """Load a contender; RuntimeError if it should run on the GPU and does not."""
    network = load(config.bundle, contender.engine, precision=contender.precision, **_options(contender, config))
    description = network.engine.describe()
    if contender.gpu and not runs_on_gpu(description):
        raise RuntimeError(f"the engine does not run on the GPU: {description}")
    return network


def _options(contender: Contender, config: WorkerConfig) -> dict[str, Any]:
    taken = inspect.signature(load).parameters
    for name, _ in contender.options:
        if name not in taken:
            raise UsageError(f"vbench.load has no parameter {name} in this checkout")
    # Engines that build plans need the largest batch size; the others accept any.
    slots = {"slots": config.slots} if "slots" in taken else {}
    return {**dict(contender.options), **slots}
