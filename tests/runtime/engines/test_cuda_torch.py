"""PyTorch on a GPU: graphs, float32 precision, and host-side data, on fakes that compute on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.conftest import FlexibleBundle
from tests.cuda_runs import SCHEDULES, answers, one_gpu, one_line, same
from tests.runtime.engines import test_engines as contract
from vbench.errors import MissingError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.pytorch import engine as torch_engine
from vbench.runtime.engines.pytorch import gpu as torch_gpu
from vbench.runtime.engines.pytorch.engine import TorchEngine
from vbench.runtime.engines.pytorch.gpu import CapturedParts, Float32MatmulPrecision
from vbench.runtime.load import load
from vbench.runtime.scheduler.options import StreamOptions

__all__ = ["one_gpu"]  # a fixture


class FakeRecorder:
    """Fake graph recorder that replays by recomputing, and counts calls."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, compute: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        compute()

        def replay() -> None:
            self.replayed += 1
            compute()

        return replay


@pytest.fixture
def torch_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRecorder]:
    """Map ``cuda`` to the CPU and record graphs with a fake."""
    recorder = FakeRecorder()
    monkeypatch.setattr(torch_engine, "select_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr(torch_engine, "record_on_gpu", lambda _, compute: recorder(compute))
    monkeypatch.setattr(torch_engine, "is_large_part", lambda part: part.macs > 100_000)
    return recorder  # type: ignore[return-value]


@pytest.mark.parametrize("options", SCHEDULES, ids=lambda options: options.schedule)
def test_torch_with_graphs(torch_cuda: FakeRecorder, tiny_bundle: Bundle, options: StreamOptions) -> None:
    chosen = {"engine": "torch", "first_threshold": 0.955, "gate_threshold": 0.95}
    plain = answers(load(tiny_bundle.path, device="cuda", **chosen), options)
    assert not torch_cuda.recorded
    same(answers(load(tiny_bundle.path, device="cuda", graphs=True, **chosen), options), plain)
    assert 0 < torch_cuda.recorded <= options.slots
    assert torch_cuda.replayed > torch_cuda.recorded


class FakeEvent:
    """Fake CUDA event that logs its calls."""

    calls: ClassVar[list[str]] = []

    def record(self) -> None:
        self.calls.append("recorded")

    def synchronize(self) -> None:
        self.calls.append("waited")


def test_fetch_waits_for_its_own_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asynchronous copy needs page-locked memory, followed by an event."""
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    empty, pinned = torch.empty, []
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory, **k: (pinned.append(pin_memory), empty(*a, **k))[1])
    FakeEvent.calls.clear()
    wait = torch_gpu.fetch_from_gpu(torch.arange(6.0).reshape(2, 3)[1:])
    assert (FakeEvent.calls, pinned) == (["recorded"], [True])
    np.testing.assert_array_equal(wait(), [[3, 4, 5]])
    assert FakeEvent.calls == ["recorded", "waited"]


def test_torch_with_graphs_and_clips(torch_cuda: FakeRecorder, flexible_bundle: FlexibleBundle) -> None:
    path = flexible_bundle("tsm").path
    plain, captured = (
        answers(load(path, "torch", device="cuda", frames=(2, 4), cascade=0.99, graphs=graphs), StreamOptions(), 3)
        for graphs in (False, True)
    )
    same(captured, plain)
    assert torch_cuda.recorded == 2


def test_captured_outputs_are_not_shared() -> None:
    recorder = FakeRecorder()
    captured = CapturedParts(recorder)
    run = partial(captured.run, "double", lambda x: 2 * x)
    first = run([torch.ones(2)], None)
    second = run([torch.full((2,), 3.0)], None)
    out = torch.zeros(2)
    assert run([torch.full((2,), 5.0)], out) is out
    assert (first.tolist(), second.tolist(), out.tolist()) == ([2, 2], [6, 6], [10, 10])
    assert recorder.recorded == 1
    run([torch.ones(3)], None)
    captured.run("other", torch.neg, [torch.ones(2)], None)
    assert recorder.recorded == 3


class RecordSettings(torch.nn.Module):
    """Record the precision settings during each call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[object]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(switches())
        return x


def switches() -> list[object]:
    return [getattr(holder, name) for holder, name, _ in torch_gpu._switches()]


@pytest.fixture
def tf32_on() -> Iterator[list[object]]:
    before = torch_gpu._set_switches(["tf32"] * 3)
    yield switches()
    torch_gpu._set_switches(before)


def test_tf32_is_off_while_a_gpu_runs(tf32_on: list[object]) -> None:
    module = RecordSettings()
    TorchEngine({"part": module}, 0, "meta").run("part", torch.zeros(2, device="meta"))
    assert (module.seen, switches()) == ([["ieee"] * 3], tf32_on)
    TorchEngine({"part": module}, 0).run("part", torch.zeros(2))
    assert module.seen[1] == tf32_on, "the CPU changes no settings"


def test_tf32_if_requested() -> None:
    """Only in the given parts."""
    before = torch_gpu._set_switches(["ieee"] * 3)
    large, small = RecordSettings(), RecordSettings()
    engine = TorchEngine({"large": large, "small": small}, 0, "meta", rounded=frozenset({"large"}))
    for part in ("large", "small"):
        engine.run(part, torch.zeros(2, device="meta"))
    assert (large.seen, small.seen) == ([["tf32"] * 3], [["ieee"] * 3])
    torch_gpu._set_switches(before)


def test_tf32_stays_off_until_the_last_thread_has_left(tf32_on: list[object]) -> None:
    products = Float32MatmulPrecision()
    with products("ieee"):
        with products("ieee"):
            assert switches() == ["ieee"] * 3
        assert switches() == ["ieee"] * 3
    assert switches() == tf32_on
    with pytest.raises(KeyError), products("ieee"):
        raise KeyError
    assert switches() == tf32_on


def test_threads_with_different_precisions_are_serialized(tf32_on: list[object]) -> None:
    products, entered = Float32MatmulPrecision(), threading.Event()

    def other() -> list[object]:
        entered.set()
        with products("tf32"):
            return switches()

    with ThreadPoolExecutor(1) as pool:
        with products("ieee"):
            found = pool.submit(other)
            assert entered.wait(10)
            assert not found.done()
            assert switches() == ["ieee"] * 3
        assert found.result(10) == ["tf32"] * 3
    assert switches() == tf32_on


def test_tf32_of_older_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        allow_tf32 = True

    matmul, cudnn = Old(), Old()
    monkeypatch.setattr(torch.backends, "cuda", type("cuda", (), {"matmul": matmul}))
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    with Float32MatmulPrecision()("ieee"):
        assert not matmul.allow_tf32
        assert not cudnn.allow_tf32
    assert matmul.allow_tf32
    assert cudnn.allow_tf32
    matmul.allow_tf32 = False
    with Float32MatmulPrecision()("tf32"):
        assert matmul.allow_tf32
    assert not matmul.allow_tf32


def test_torch_keeps_frames_and_preprocessing_on_the_host(tiny_bundle: Bundle) -> None:
    engine = load_engine("torch", tiny_bundle, EngineOptions())
    assert isinstance(engine, TorchEngine)
    moved = TorchEngine(engine._modules, 0, "meta")
    frames = moved.put(contract.example(tiny_bundle, "preprocess", 2)[0])
    assert frames.device.type == "cpu"
    pixels = moved.run("preprocess", frames)
    assert (pixels.device.type, moved.zeros((1, 3, 32, 32)).device.type) == ("meta", "meta")
    features = moved.run("backbone", pixels)
    assert moved.run("backbone", pixels, out=features) is features
    assert (features.device.type, tuple(features.shape)) == ("meta", (2, *tiny_bundle.manifest.state_shape))


def test_devices_of_torch(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_gpu.select_device(EngineOptions(device="cuda:1")) == torch.device("cuda", 1)
    assert torch_gpu.select_device(EngineOptions()) == torch.device("cpu")
    text = one_line(lambda: load_engine("torch", tiny_bundle, EngineOptions(device="cuda:2")), MissingError)
    assert "there is no cuda:2: torch.cuda.device_count() is 2" in text
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Abacus")
    found = TorchEngine({}, 1, "cuda:1", CapturedParts(FakeRecorder()), frozenset({"backbone"})).describe()
    assert (found["device"], found["tf32"], found["graphs"]) == ("cuda:1 (NVIDIA Abacus)", "off", "backbone")
    rounded = TorchEngine({}, 1, "cuda:1", rounded=frozenset({"backbone"})).describe()
    assert (rounded["precision"], rounded["tf32"]) == ("tf32", "on")
