"""Shared helpers of the GPU engine tests: a fake GPU, clips, and their answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda_ort import FakeOrtGpu, install
from tests.runtime.engines import test_engines as contract
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions
from vbench.runtime.engines.ort import cuda
from vbench.runtime.networks.base import Network
from vbench.runtime.scheduler.options import SPECULATIVE, StreamOptions

TENSORRT_OPTIONS = EngineOptions(device="cuda", provider="tensorrt")
EARLY = StreamOptions("inflight", 4, 1, 2, SPECULATIVE)
SCHEDULES = [
    StreamOptions(),
    *(StreamOptions(name, 4, 1, 2) for name in ("lockstep", "compact", "inflight")),
]


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cuda, "gpu_names", lambda: ("NVIDIA Abacus",))
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeOrtGpu:
    return install(monkeypatch)


@pytest.fixture
def own_bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle in a folder that this test may write to."""
    path = tmp_path / "bundles" / "own"
    shutil.copytree(tiny_bundle.path, path)
    source = tiny_bundle.manifest.source.path
    shutil.copy(tiny_bundle.path / source, path / source)
    return replace(tiny_bundle, path=path)


def folders(bundle: Bundle) -> list[Path]:
    """Return the folders of TensorRT's engines, one per part."""
    return sorted((bundle.path / "plans").iterdir())


def clips(count: int, frames: int = 14) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (frames, 40, 52, 3), np.uint8) for _ in range(count)]


def answers(network: Network, options: StreamOptions, count: int = 7) -> list[Any]:
    found = {result.clip: result for result in network.stream(clips(count), options)}
    assert [found[clip].error for clip in range(count)] == [None] * count
    return [(found[clip].prediction.exit_step, found[clip].prediction.logits) for clip in range(count)]


def same(found: list[Any], wanted: list[Any]) -> None:
    assert [step for step, _ in found] == [step for step, _ in wanted]
    np.testing.assert_array_equal([logits for _, logits in found], [logits for _, logits in wanted])


def one_line(what: Callable[[], Any], kind: type[Exception]) -> str:
    return contract.one_line(what, kind)  # type: ignore[arg-type]
