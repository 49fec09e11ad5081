"""ONNX Runtime on a GPU: memory handling and rejected configurations, on a fake GPU that computes on the CPU."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from tests.conftest import FlexibleBundle
from tests.cuda_ort import CPU, CUDA, TENSORRT, FakeOrtGpu, FakeSession, WrongUseError, install
from tests.cuda_runs import (
    EARLY,
    SCHEDULES,
    TENSORRT_OPTIONS,
    answers,
    folders,
    gpu,
    one_gpu,
    one_line,
    own_bundle,
    same,
)
from tests.runtime.engines import test_engines as contract
from vbench.errors import BundleError, MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines import device
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.ort import cuda as ort_cuda
from vbench.runtime.engines.ort import cuda_graphs
from vbench.runtime.engines.ort.copy_model import SOURCE, TARGET, identity_graph
from vbench.runtime.engines.ort.gpu_memory import OrtTensor
from vbench.runtime.load import load
from vbench.runtime.scheduler.options import StreamOptions

__all__ = ["gpu", "one_gpu", "own_bundle"]  # fixtures

CHECKS = [
    *(contract.test_zeros_are_float32_and_can_be_written, contract.test_put_and_get, contract.test_rows_are_a_view),
    contract.test_fetch_returns_the_value_at_its_call,
    *(contract.test_copies_are_independent, contract.test_with_and_without_out, contract.test_describes_what_runs),
    *(contract.test_next_call_does_not_overwrite_results, contract.test_reads_rows_without_modifying_them),
    *(contract.test_reads_read_only_arrays, contract.test_batch_equals_its_rows),
    *(contract.test_all_frame_shapes, contract.test_chained_in_slots, contract.test_reused_addresses),
    *(
        contract.test_preprocessing_on_other_threads,
        contract.test_parts_on_several_threads,
        contract.test_same_address_in_another_shape,
    ),
]
ROWS = [(0, 1), (1, 2), (2, 5)]


# ---- ONNX Runtime --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("provider", device.PROVIDERS)
@pytest.mark.usefixtures("gpu")
def test_engine_contract(own_bundle: Bundle, check: Callable[..., None], provider: str) -> None:
    engine = load_engine("ort", own_bundle, EngineOptions(device="cuda", provider=provider))
    given = {"engine": engine, "tiny_bundle": own_bundle}
    check(**{name: given[name] for name in inspect.signature(check).parameters})


@pytest.mark.parametrize(("start", "stop"), ROWS)
@pytest.mark.usefixtures("gpu")
def test_run_into_rows(tiny_bundle: Bundle, start: int, stop: int) -> None:
    engine = load_engine("ort", tiny_bundle, EngineOptions(device="cuda"))
    contract.test_run_into_rows_changes_no_other_row(engine, tiny_bundle, start, stop)


@pytest.fixture(scope="module")
def wanted(tiny_bundle: Bundle) -> list[Any]:
    found = answers(
        load(tiny_bundle.path, "ort", first_threshold=0.955, gate_threshold=0.95, threads=1), StreamOptions()
    )
    assert len({step for step, _ in found}) > 1, "some clips must exit before others"
    return found


@pytest.mark.parametrize("options", [*SCHEDULES, EARLY], ids=lambda options: f"{options.schedule}-{options.sync}")
@pytest.mark.parametrize("chosen", [{}, {"graphs": True}, {"provider": "tensorrt"}], ids=str)
def test_equal_to_the_cpu(
    gpu: FakeOrtGpu,
    own_bundle: Bundle,
    wanted: list[Any],
    options: StreamOptions,
    chosen: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ort_cuda, "is_large_part", lambda part: part.macs >= own_bundle.manifest.parts["backbone"].macs)
    network = load(own_bundle.path, device="cuda", first_threshold=0.955, gate_threshold=0.95, **chosen)
    same(answers(network, options), wanted)
    (backbone,) = (session for session in gpu.sessions if session.path and session.path.stem == "backbone")
    assert bool(backbone.replayed) == bool(backbone.captured) == bool(chosen.get("graphs"))
    assert len(gpu.sessions) == len(own_bundle.manifest.parts), "preprocessing runs on the CPU, and one session copies"


def test_only_pixels_are_uploaded_and_only_outputs_downloaded(
    gpu: FakeOrtGpu, tiny_bundle: Bundle, wanted: list[Any]
) -> None:
    network = load(tiny_bundle.path, device="cuda", first_threshold=0.955, gate_threshold=0.95)
    buffers = 9  # of one slot
    same(answers(network, StreamOptions()), wanted)
    steps = [step for step, _ in wanted]
    pixels = gpu.uploads[buffers:].count((1, 3, 32, 32))
    assert sum(steps) <= pixels <= sum(steps) + len(steps), "one frame is read ahead"
    gates = sum(min(step, 9) - 1 for step in steps)
    classifiers = sum(1 if step == 1 else 2 for step in steps)
    assert gpu.uploads[buffers:].count((1, 1)) == gates + classifiers, "the number of the step"
    assert len(gpu.uploads) == buffers + pixels + gates + classifiers
    assert gpu.downloads <= gates + 2 * len(steps)


@pytest.mark.parametrize("family", ["tsm", "slowfast"])  # Uniformer has another form on CPUs
@pytest.mark.parametrize("graphs", [False, True])
def test_frame_flexible_networks(
    gpu: FakeOrtGpu, flexible_bundle: FlexibleBundle, family: str, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, counts = flexible_bundle(family).path, flexible_bundle(family).manifest.frame_counts[:2]
    monkeypatch.setattr(ort_cuda, "is_large_part", lambda part: part.macs > 0)
    same(
        answers(load(path, device="cuda", frames=counts, cascade=0.99, graphs=graphs), StreamOptions(), 3),
        answers(load(path, "ort", frames=counts, cascade=0.99, threads=1), StreamOptions(), 3),
    )
    assert any(session.captured for session in gpu.sessions) == graphs


def test_graphs_are_bounded_and_tied_to_addresses(
    gpu: FakeOrtGpu, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort_cuda, "is_large_part", lambda part: part.macs > 0)
    monkeypatch.setattr(cuda_graphs, "GRAPHS_KEPT", 3)
    engine = load_engine("ort", tiny_bundle, EngineOptions(device="cuda", graphs=True))
    cpu = load_engine("ort", tiny_bundle, EngineOptions())
    kept = []
    for seed in (*range(6), *range(6)):
        (array,) = contract.example(tiny_bundle, "backbone", 2, seed % 3)
        kept.append(engine.put(array))  # each at its own address
        out = engine.zeros((2, *tiny_bundle.manifest.state_shape))
        engine.run("backbone", kept[-1], out=out)
        np.testing.assert_array_equal(engine.get(out), contract.run(cpu, "backbone", [array]))
    (backbone,) = (session for session in gpu.sessions if session.path and session.path.stem == "backbone")
    assert (backbone.captured, backbone.plain) == (3, 9)


@pytest.mark.usefixtures("gpu")
def test_no_allocation_during_a_capture(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort_cuda, "is_large_part", lambda part: part.macs > 0)
    engine = load_engine("ort", tiny_bundle, EngineOptions(device="cuda", graphs=True))
    pixels = [engine.put(contract.example(tiny_bundle, "backbone", rows)[0]) for rows in range(1, 9)]
    outs = [engine.zeros((rows, *tiny_bundle.manifest.state_shape)) for rows in range(1, 9)]
    done = threading.Event()

    def allocate() -> int:
        count = 0
        while not done.is_set():
            engine.copy(engine.zeros((2, 3)), engine.zeros((2, 3)))
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(allocate)
        try:
            for given, out in zip(pixels, outs):
                engine.run("backbone", given, out=out)
        finally:
            done.set()
        assert job.result() > 0


def test_describes_the_gpu(gpu: FakeOrtGpu, own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_engine("ort", own_bundle, EngineOptions(device="cuda")).describe()
    assert found["device"] == "cuda:0 (NVIDIA Abacus)"
    assert (found["providers"], found["tf32"], found["graphs"]) == (CUDA, "off", "none")
    assert found["nodes"] == f"{CUDA}: {3 * (len(own_bundle.manifest.parts) - 1)}"
    assert load_engine("ort", own_bundle, TENSORRT_OPTIONS).describe()["tf32"].startswith("chosen by TensorRT")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert load_engine("ort", own_bundle, TENSORRT_OPTIONS).describe()["tf32"] == "off"
    assert all(session.options[CUDA]["use_tf32"] == "0" for session in gpu.sessions)


def test_tf32_if_requested(gpu: FakeOrtGpu, own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """In large parts; gates and classifiers stay in fp32."""
    backbone = own_bundle.manifest.parts["backbone"]
    monkeypatch.setattr(device, "is_large_part", lambda part: part == backbone)
    found = load_engine("ort", own_bundle, EngineOptions("tf32", device="cuda")).describe()
    assert (found["precision"], found["tf32"]) == ("tf32", "on")
    used = {Path(session.path).stem: session.options[CUDA]["use_tf32"] for session in gpu.sessions if session.path}
    assert used.pop("backbone") == "1"
    assert set(used.values()) == {"0"}


@pytest.mark.usefixtures("gpu")
def test_tensorrt_engines_depend_on_the_slots(own_bundle: Bundle) -> None:
    """The provider's engines support the requested rows; another number of slots gets its own engines."""
    engine = load_engine("ort", own_bundle, replace(TENSORRT_OPTIONS, slots=40))
    pixels = engine.zeros((40, 3, 32, 32))
    assert engine.run("backbone", pixels).shape[0] == 40
    before = len(folders(own_bundle))
    few = load_engine("ort", own_bundle, replace(TENSORRT_OPTIONS, slots=2))
    assert len(folders(own_bundle)) == 2 * before
    text = one_line(lambda: few.run("backbone", few.zeros((3, 3, 32, 32))), UsageError)
    assert "a batch of 3 rows exceeds the TensorRT engine's limit of 2" in text


def test_another_gpu(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, wanted: list[Any]) -> None:
    install(monkeypatch, number=2)
    network = load(tiny_bundle.path, device="cuda:2", first_threshold=0.955, gate_threshold=0.95)
    same(answers(network, SCHEDULES[-1]), wanted)
    assert "on cuda:1" in one_line(lambda: load(tiny_bundle.path, device="cuda:1"), MissingError)


@pytest.mark.usefixtures("gpu")
def test_nothing_is_printed(tiny_bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    load_engine("ort", tiny_bundle, EngineOptions(device="cuda"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("knobs", "options", "parts"),
    [
        ({"built": (CPU,)}, {}, ("built without CUDAExecutionProvider", "onnxruntime-gpu")),
        ({"built": (CUDA, CPU)}, {"provider": "tensorrt"}, ("built without TensorrtExecutionProvider",)),
        ({"works": frozenset()}, {}, ("cannot use CUDAExecutionProvider on cuda:0", "assigned to the default CPU EP")),
        ({"works": frozenset(), "honors_no_fallback": False}, {}, ("cannot use CUDAExecutionProvider", f"got {CPU}")),
        ({"works": frozenset({CUDA})}, {"provider": "tensorrt"}, ("not on TensorrtExecutionProvider", CUDA)),
        (
            {"works": frozenset({CUDA}), "reports_nodes": False},
            {"provider": "tensorrt"},
            ("not on TensorrtExecutionProvider",),
        ),
        ({"elsewhere": {"gates_gpu": CPU}}, {}, ("gates", "1 of 4 nodes on CPUExecutionProvider")),
        ({"elsewhere": {"gates_gpu": CUDA}}, {"provider": "tensorrt"}, ("gates", "1 of 4 nodes", CUDA)),
    ],
)
def test_fallback_is_an_error(
    own_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    knobs: dict[str, Any],
    options: dict[str, Any],
    parts: tuple[str, ...],
) -> None:
    install(monkeypatch, **knobs)
    text = one_line(lambda: load_engine("ort", own_bundle, EngineOptions(device="cuda", **options)), MissingError)
    assert all(part in text for part in parts), text


@pytest.mark.usefixtures("gpu")
def test_fallback_of_one_part(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part has a node without a CUDA kernel: the probe still succeeds."""
    check = FakeSession._check_options

    def fail(session: FakeSession) -> None:
        check(session)
        if session.path is not None and session.path.stem == "gates_gpu":
            session.gpu.works = frozenset()

    monkeypatch.setattr(FakeSession, "_check_options", fail)
    text = one_line(lambda: load_engine("ort", tiny_bundle, EngineOptions(device="cuda")), MissingError)
    assert text.startswith("gates: ONNX Runtime runs some nodes on the CPU, not on CUDAExecutionProvider")


@pytest.mark.usefixtures("gpu")
def test_broken_graph_is_a_bundle_error(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = contract.altered(tiny_bundle, tmp_path / "bundle", "accumulator", b"no graph")
    text = one_line(lambda: load_engine("ort", bundle, EngineOptions(device="cuda")), BundleError)
    assert "ONNX Runtime cannot load" in text
    assert "accumulator.onnx: " in text
    content = (tiny_bundle.path / tiny_bundle.manifest.parts["accumulator"].files["fp32"].path).read_bytes()
    bundle = contract.altered(tiny_bundle, tmp_path / "other", "backbone", content)
    assert "backbone: found" in one_line(lambda: load_engine("ort", bundle, EngineOptions(device="cuda")), BundleError)


def test_contradictions_count_as_unavailable(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)

    def contradict(*_: Any, **__: Any) -> Any:
        raise InvalidArgument("CPU EP is both asked for and forbidden\nat line 1")

    monkeypatch.setattr(onnxruntime, "InferenceSession", contradict)
    text = one_line(lambda: load_engine("ort", tiny_bundle, EngineOptions(device="cuda")), MissingError)
    assert "CPU EP is both asked for and forbidden" in text


def test_identity_graph() -> None:
    model = onnx.load_from_string(identity_graph())
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(identity_graph(), providers=[CPU])
    values = np.arange(300, dtype=np.float32)
    np.testing.assert_array_equal(session.run([TARGET], {SOURCE: values})[0], values)


# ---- TensorRT's provider -------------------------------------------------------------------------------------------


def test_tensorrt_may_lower_only_to_the_requested_precision(
    gpu: FakeOrtGpu, tiny_quantized_bundle: Bundle, tmp_path: Path
) -> None:
    contract.shutil.copytree(tiny_quantized_bundle.path, tmp_path / "bundle")
    bundle = replace(tiny_quantized_bundle, path=tmp_path / "bundle")
    lowered = {}
    for precision in ("fp32", "fp16", "int8-trt"):
        del gpu.sessions[:]
        load_engine("ort", bundle, replace(TENSORRT_OPTIONS, precision=precision))
        options = next(session.options[TENSORRT] for session in gpu.sessions if session.path)
        names = [f"trt_{name}_enable" for name in ("fp16", "bf16", "int8")]
        lowered[precision] = {name: options[name] for name in names if name in options}
    assert lowered == {"fp32": {}, "fp16": {"trt_fp16_enable": "1"}, "int8-trt": {"trt_int8_enable": "1"}}


@pytest.mark.usefixtures("gpu")
def test_more_rows_than_the_engine_supports(own_bundle: Bundle) -> None:
    engine = load_engine("ort", own_bundle, TENSORRT_OPTIONS)
    inputs = contract.example(own_bundle, "gates", 33)
    assert contract.run(engine, "gates", [each[:32] for each in inputs]).shape == (32, 1)
    assert "33 rows" in one_line(lambda: contract.run(engine, "gates", inputs), UsageError)


@pytest.mark.usefixtures("gpu")
def test_views_keep_their_memory(tiny_bundle: Bundle) -> None:
    engine = load_engine("ort", tiny_bundle, EngineOptions(device="cuda"))
    numbers = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows, view = engine.rows(engine.put(numbers), 1, 3), engine.view(engine.put(-numbers), (2, 6))
    np.testing.assert_array_equal(engine.get(rows), numbers[1:3])
    np.testing.assert_array_equal(engine.get(view), -numbers.reshape(2, 6))
    for wrong in (lambda: engine.view(rows, (7,)), lambda: engine.copy(rows, view)):
        with pytest.raises(ValueError, match=r"cannot (view|copy) shape"):
            wrong()


# ---- the fake is strict --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gpu")
def test_fake_rejects_misuse(tiny_bundle: Bundle) -> None:
    engine = load_engine("ort", tiny_bundle, EngineOptions(device="cuda"))
    state, previous, step = contract.put(engine, contract.example(tiny_bundle, "gates", 2))
    gone = engine.zeros((2, *tiny_bundle.manifest.state_shape))
    dead = OrtTensor(None, gone.address, gone.shape)
    del gone
    host = np.zeros(state.shape, np.float32)
    for wrong in (
        dead,
        replace(state, address=host.ctypes.data // 256 * 256),
        replace(state, shape=(2, 25)),
        replace(state, shape=(48,)),
        replace(state, address=state.address + 256),
    ):
        with pytest.raises(WrongUseError):
            engine.run("gates", wrong, previous, step)
    with pytest.raises(WrongUseError):
        engine._memory.upload(np.zeros((2, 3), np.uint8))  # type: ignore[attr-defined]
    with pytest.raises((TypeError, ValueError)):
        np.asarray(engine.zeros((2, 3)).owner, np.float32)
    assert engine.get(engine.run("gates", state, previous, step)).shape == (2, 1)
