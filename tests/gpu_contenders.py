"""Fake contenders for the GPU check; each is loaded in a separate process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from tools.gpu_check.contenders import Contender
from tools.gpu_check.settings import Settings, WorkerConfig
from vbench.runtime.bundle.manifest import frames_part
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.cascade import FrameCount
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.results import ClipResult

CLIPS = 3
TINY = Settings(clips=CLIPS, repetitions=2, latency_clips=2, slots=(1, 2), crowd=3, count_clips=2,
                count_slots=(1, 3), pass_s=0.0)  # fmt: skip


def made_up(kind: str, **changes: Any) -> Contender:
    """Return a contender loaded by the function ``kind`` of this module."""
    return replace(Contender(kind, "ort", loader=f"tests.gpu_contenders:{kind}"), **changes)


GOOD = made_up("good", name="reference")


def good(_: Contender, config: WorkerConfig) -> Network:
    """ONNX Runtime with thresholds at which the clips exit at different steps."""
    network = load(config.bundle, "ort", threads=1)
    assert network.family.cumulative
    return network


def wrong(contender: Contender, config: WorkerConfig) -> Network:
    """Exit every clip at the first step."""
    return good(contender, config).with_policy(FrameExitPolicy(0.0))


def refused(_contender: Contender, _config: WorkerConfig) -> Network:
    raise RuntimeError("no such kernel\nand a second line")


def crashing(_contender: Contender, _config: WorkerConfig) -> Network:
    print("CUDA error: misaligned address", file=sys.stderr, flush=True)
    os._exit(7)


def crashing_later(contender: Contender, config: WorkerConfig) -> Network:
    return _Acting(good(contender, config), os.abort)


def counted(_: Contender, config: WorkerConfig) -> Network:
    """ONNX Runtime at any frame count."""
    network = load(config.bundle, "ort", threads=1)
    assert not network.family.cumulative
    return network


def miscounted(contender: Contender, config: WorkerConfig) -> Network:
    """Negate every output."""
    network = counted(contender, config)
    engine: Any = network.engine
    engine.get = lambda handle, get=engine.get: -get(handle)
    return network


def counted_once(contender: Contender, config: WorkerConfig) -> Network:
    """Fail at the second frame count."""
    network = counted(contender, config)
    first = network.family.steps(network.bundle.manifest)[0].frames
    parts = frozenset({"preprocess", frames_part(first)})
    return Network(network.bundle, network.engine, FrameCount(first), parts=parts)


def hanging(contender: Contender, config: WorkerConfig) -> Network:
    return _Acting(good(contender, config), lambda: time.sleep(600))


class _Acting(Network):
    """A network that calls ``act`` instead of returning predictions."""

    def __init__(self, network: Network, act: Callable[[], None]) -> None:
        super().__init__(network.bundle, network.engine, network.policy)
        self._act = act

    def stream(self, *_: Any, **__: Any) -> Generator[ClipResult, None, None]:
        self._act()
        yield from ()
