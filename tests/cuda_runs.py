"""What tests of engines on a GPU share: the GPU that a computer is made to have, clips, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import test_engines as contract
from tests.cuda_ort import Gpu, install
from vbench.runtime.engines.ort import cuda
from vbench.runtime.networks.flexible import FlexibleNetwork
from vbench.runtime.networks.frameexit import FrameExitNetwork
from vbench.runtime.scheduler.options import StreamOptions

LATE = StreamOptions("inflight", 4, 1, 2, "late")
SCHEDULES = [
    StreamOptions(),
    *(StreamOptions(name, 4, 1, 2) for name in ("lockstep", "compact", "inflight")),
]


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "gpu_names", lambda: ("NVIDIA Abacus",))
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return install(monkeypatch)


def clips(count: int, frames: int = 14) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (frames, 40, 52, 3), np.uint8) for _ in range(count)]


def answers(network: FrameExitNetwork | FlexibleNetwork, options: StreamOptions, count: int = 7) -> list[Any]:
    found = {result.clip: result for result in network.stream(clips(count), options)}
    assert [found[clip].error for clip in range(count)] == [None] * count
    return [(found[clip].prediction.exit_step, found[clip].prediction.logits) for clip in range(count)]


def same(found: list[Any], wanted: list[Any]) -> None:
    assert [step for step, _ in found] == [step for step, _ in wanted]
    np.testing.assert_array_equal([logits for _, logits in found], [logits for _, logits in wanted])


def one_line(what: Callable[[], Any], kind: type[Exception]) -> str:
    return contract.one_line(what, kind)  # type: ignore[arg-type]
