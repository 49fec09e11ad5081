"""Shared helpers of the tests of the engine trt: a machine with the fakes, a writable bundle, clips, and answers."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import install
from vbench.errors import VbenchError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import Prediction

CLIPS = 16
RTX_GPU: dict[str, Any] = {"gpu": "NVIDIA GeForce RTX 4090", "sm": (8, 9), "memory": 24 << 30}
POLICY = FrameExitPolicy(0.99, (0.3, 0.5, 0.6, 0.7, 0.4, 0.5, 0.8, 0.5))


@pytest.fixture(params=["10", "11", "rtx"])
def flavor(request: pytest.FixtureRequest) -> str:
    """A major release of TensorRT, or TensorRT-RTX, which the engine trt uses if there is no TensorRT."""
    return str(request.param)


@pytest.fixture
def machine(flavor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "home"))
    machine = install(monkeypatch, flavor, **(RTX_GPU if flavor == "rtx" else {}))
    gc.freeze()  # collect only objects of this test, not those left by earlier tests
    yield machine
    gc.collect()
    gc.unfreeze()
    machine.assert_balanced()
    assert not machine.trt_objects, "all TensorRT objects are destroyed before the context"
    assert machine.allocations == 0


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    return copied(tiny_bundle, tmp_path / "tiny")


def copied(bundle: Bundle, folder: Path) -> Bundle:
    """Return a copy of a bundle, since plans are stored in it."""
    shutil.copytree(bundle.path, folder)
    return Bundle(folder, bundle.manifest)


def clips(count: int = CLIPS) -> list[np.ndarray]:
    """Return clips of frames and of pixels that exit at different steps."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 32 * (1 + index % 8), (10, 36, 44, 3), dtype=np.uint8) for index in range(count // 2)]
    pixels = [rng.standard_normal((10, 3, 32, 32)) * 0.3 * (1 + index % 6) for index in range(count // 2)]
    return frames + [each.astype(np.float32) for each in pixels]


def answers(network: Any, options: StreamOptions, videos: list[np.ndarray]) -> list[Prediction]:
    results = sorted(network.stream(iter(videos), options), key=lambda result: result.clip)
    assert [result.error for result in results] == [None] * len(videos)
    return [result.prediction for result in results]


def assert_equal(found: list[Prediction], wanted: list[Prediction]) -> None:
    assert [p.exit_step for p in found] == [p.exit_step for p in wanted]
    np.testing.assert_allclose([p.logits for p in found], [p.logits for p in wanted], rtol=1e-6, atol=1e-6)
    assert [p.label for p in found] == [p.label for p in wanted]


def one_line(action: Callable[[], object], kind: type[VbenchError], *words: str) -> str:
    with pytest.raises(kind) as raised:
        action()
    text = str(raised.value)
    assert "\n" not in text
    assert raised.value.hint
    for word in words:
        assert word in text, text
    return text


def said(bundle: Bundle, **options: Any) -> list[str]:
    """Load the engine and return its progress messages, except that TensorRT-RTX is used instead of TensorRT."""
    lines: list[str] = []
    load_engine("trt", bundle, EngineOptions(say=lines.append, **options)).close()  # type: ignore[attr-defined]
    return [line for line in lines if not line.startswith("TensorRT is not installed: using TensorRT-RTX")]


def plan_files(bundle: Bundle) -> list[Path]:
    return sorted((bundle.path / "plans").glob("*/*.plan"))
