"""The contract of every engine: one set of tests for all of ENGINES, on the tiny bundle."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from tests.conftest import FlexibleBundle
from vbench.errors import BundleError, MissingError, UsageError, VbenchError
from vbench.files import sha256
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.engines.base import (
    ENGINES,
    Array,
    Engine,
    EngineOptions,
    Handle,
    load_engine,
    max_batch_rows,
)
from vbench.runtime.engines.install_hint import install
from vbench.runtime.engines.numpy_memory import NumpyMemory
from vbench.runtime.engines.ort.session import _BINDINGS_KEPT, host_session

PACKAGES = {"ort": "onnxruntime", "openvino": "openvino", "torch": "torch", "trt": "tensorrt", "trt-rtx": "tensorrt"}
EXTRAS = {"ort": "cpu", "openvino": "openvino", "torch": "export", "trt": "trt", "trt-rtx": "trt-rtx"}
ROWS = 5
LOAD = """
import sys
from pathlib import Path
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
load_engine(sys.argv[1], open_bundle(Path(sys.argv[2])), EngineOptions())
print(*(name for name, module in sys.modules.items() if module and name.startswith("openvino_telemetry")))
"""


def loaded(name: str, bundle: Bundle) -> Engine:
    """Load an engine, or skip the test if its package is not installed.

    The engine uses all cores: torch's thread count is process-wide, and other tests need all cores.
    """
    try:
        return load_engine(name, bundle, EngineOptions())
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> Engine:
    return loaded(request.param, tiny_bundle)


@pytest.fixture(scope="module", params=sorted(ENGINES))
def name(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> str:
    loaded(request.param, tiny_bundle)
    return str(request.param)


def example(bundle: Bundle, part: str, rows: int, seed: int = 0) -> list[Array]:
    """Return realistic inputs of a part: bytes, steps that differ between rows, or normally distributed values."""
    sizes = {"n": rows, "height": 40, "width": 52}
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for tensor in bundle.manifest.parts[part].inputs:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.shape]
        if tensor.dtype == "uint8":
            arrays.append(rng.integers(0, 256, shape, dtype=np.uint8))
        elif tensor.name == "step":
            arrays.append(1 + np.arange(rows, dtype=np.float32)[:, None] % bundle.manifest.frames)
        else:
            arrays.append(rng.standard_normal(shape).astype(tensor.dtype))
    return arrays


def put(engine: Engine, arrays: list[Array]) -> list[Handle]:
    return [engine.put(array) for array in arrays]


def run(engine: Engine, part: str, arrays: list[Array]) -> Array:
    """Run a part on arrays and return an array that nothing else writes to."""
    return engine.get(engine.run(part, *put(engine, arrays))).copy()


def out_shape(bundle: Bundle, part: str, rows: int) -> tuple[int, ...]:
    return (rows, *(int(axis) for axis in bundle.manifest.parts[part].output.shape[1:]))


def parts(bundle: Bundle) -> list[str]:
    return list(bundle.manifest.parts)


def test_all_engines_are_tested(engine: Engine) -> None:
    assert set(PACKAGES) == set(EXTRAS) == set(ENGINES)
    assert engine.name in ENGINES


def test_describes_what_runs(engine: Engine) -> None:
    description = engine.describe()
    assert all(isinstance(item, str) and item for pair in description.items() for item in pair)
    assert description[PACKAGES[engine.name]][0].isdecimal(), "a version"
    assert description["precision"] == "fp32"
    assert description["threads"]


def test_zeros_are_float32_and_can_be_written(engine: Engine) -> None:
    zeros = engine.zeros((2, 3))
    array = engine.get(zeros)
    assert (array.dtype, array.shape) == (np.float32, (2, 3))
    assert not array.any()
    engine.copy(engine.put(np.ones((2, 3), np.float32)), zeros)
    assert engine.get(zeros).all()
    assert not engine.get(engine.zeros((2, 3))).any(), "memory in use is not allocated again"


def test_put_and_get(engine: Engine) -> None:
    for dtype in (np.float32, np.uint8):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        back = engine.get(engine.put(array))
        assert back.dtype == dtype
        np.testing.assert_array_equal(back, array)


def test_fetch_returns_the_value_at_its_call(engine: Engine) -> None:
    """Several fetches may be pending, in any order, while other tensors are modified."""
    tensors = [engine.put(np.full((2, 3), number, np.float32)) for number in range(4)]
    waits = [engine.fetch(engine.rows(tensor, 0, 1 + number % 2)) for number, tensor in enumerate(tensors)]
    other = engine.zeros((2, 3))
    engine.copy(tensors[1], other)
    for number in (2, 0, 3, 1):
        found = waits[number]()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.full((1 + number % 2, 3), number))
    engine.fetch(other)  # waiting is optional


def test_rows_are_a_view(engine: Engine) -> None:
    whole = engine.zeros((4, 3))
    engine.copy(engine.put(np.ones((2, 3), np.float32)), engine.rows(whole, 1, 3))
    np.testing.assert_array_equal(engine.get(whole), np.array([[0] * 3, [1] * 3, [1] * 3, [0] * 3]))
    np.testing.assert_array_equal(engine.get(engine.rows(whole, 2, 4)), np.array([[1] * 3, [0] * 3]))


def test_copies_are_independent(engine: Engine) -> None:
    source, target = engine.zeros((2, 3)), engine.zeros((2, 3))
    engine.copy(engine.put(np.ones((2, 3), np.float32)), source)
    engine.copy(source, target)
    engine.copy(engine.zeros((2, 3)), source)
    assert engine.get(target).all()
    assert not engine.get(source).any()


def test_with_and_without_out(engine: Engine, tiny_bundle: Bundle) -> None:
    for part in parts(tiny_bundle):
        inputs = example(tiny_bundle, part, ROWS)
        wanted = run(engine, part, inputs)
        assert (wanted.dtype, wanted.shape) == (np.float32, out_shape(tiny_bundle, part, ROWS)), part
        assert wanted.any(), part
        out = engine.zeros(wanted.shape)
        returned = engine.run(part, *put(engine, inputs), out=out)
        np.testing.assert_array_equal(engine.get(out), wanted, err_msg=part)
        np.testing.assert_array_equal(engine.get(returned), wanted, err_msg=part)


def test_next_call_does_not_overwrite_results(engine: Engine, tiny_bundle: Bundle) -> None:
    first = engine.run("backbone", *put(engine, example(tiny_bundle, "backbone", 2)))
    before = engine.get(first).copy()
    engine.run("backbone", *put(engine, example(tiny_bundle, "backbone", 2, seed=1)))
    np.testing.assert_array_equal(engine.get(first), before)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1, 2), (2, 5), (0, 5)])
def test_run_into_rows_changes_no_other_row(engine: Engine, tiny_bundle: Bundle, start: int, stop: int) -> None:
    for part in parts(tiny_bundle):
        inputs = example(tiny_bundle, part, stop - start)
        kept = np.full(out_shape(tiny_bundle, part, ROWS), 7, np.float32)
        whole = engine.zeros(kept.shape)
        engine.copy(engine.put(kept), whole)
        engine.run(part, *put(engine, inputs), out=engine.rows(whole, start, stop))
        kept[start:stop] = run(engine, part, inputs)
        np.testing.assert_array_equal(engine.get(whole), kept, err_msg=part)


def test_reads_rows_without_modifying_them(engine: Engine, tiny_bundle: Bundle) -> None:
    for part in parts(tiny_bundle):
        inputs = example(tiny_bundle, part, ROWS)
        handles = put(engine, inputs)
        got = engine.get(engine.run(part, *(engine.rows(handle, 2, 4) for handle in handles))).copy()
        np.testing.assert_array_equal(got, run(engine, part, [array[2:4].copy() for array in inputs]), err_msg=part)
        for handle, array in zip(handles, example(tiny_bundle, part, ROWS)):
            np.testing.assert_array_equal(engine.get(handle), array, err_msg=part)


def test_reads_read_only_arrays(engine: Engine, tiny_bundle: Bundle) -> None:
    (frames,) = example(tiny_bundle, "preprocess", 1)
    wanted = run(engine, "preprocess", [frames])
    frames.flags.writeable = False
    np.testing.assert_array_equal(run(engine, "preprocess", [frames]), wanted)


def test_batch_equals_its_rows(engine: Engine, tiny_bundle: Bundle) -> None:
    for part in parts(tiny_bundle):
        inputs = example(tiny_bundle, part, ROWS)
        batch = run(engine, part, inputs)
        single = np.concatenate([run(engine, part, [array[[row]] for array in inputs]) for row in range(ROWS)])
        if engine.name == "ort":
            np.testing.assert_array_equal(batch, single, err_msg=part)
        else:
            np.testing.assert_allclose(batch, single, rtol=1e-5, atol=1e-6, err_msg=part)


def test_all_frame_shapes(engine: Engine, tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    torch_engine = loaded("torch", tiny_bundle)
    for height, width in ((32, 32), (40, 52), (52, 40), (31, 200), (40, 52)):
        frames = [rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)]
        got, wanted = (run(each, "preprocess", frames) for each in (engine, torch_engine))
        np.testing.assert_allclose(got, wanted, atol=2e-5)


def chained(engine: Engine, frames: Array) -> tuple[Array, Array, Array]:
    """Return state, gate values and logits after a second frame, for rows at different steps; nothing is shared.

    The second frames are the first ones in reverse order.
    """
    step = 2 + np.arange(ROWS, dtype=np.float32)[:, None]
    before = run(engine, "backbone", [run(engine, "preprocess", [frames])])
    state = run(engine, "accumulator", [before[::-1].copy(), before])
    return state, run(engine, "gates", [state, before, step]), run(engine, "classifiers", [state, step])


def test_chained_in_slots(engine: Engine, tiny_bundle: Bundle) -> None:
    (frames,) = example(tiny_bundle, "preprocess", ROWS)
    slots = ROWS + 2
    buffers = {part: engine.zeros(out_shape(tiny_bundle, part, slots)) for part in parts(tiny_bundle)}
    features, previous = (engine.zeros((slots, *tiny_bundle.manifest.state_shape)) for _ in range(2))
    steps = engine.zeros((slots, 1))

    def used(buffer: Handle) -> Handle:
        return engine.rows(buffer, 1, ROWS + 1)

    for slot in range(ROWS):
        pixels = engine.rows(buffers["preprocess"], slot + 1, slot + 2)
        engine.run("preprocess", engine.put(frames[slot : slot + 1]), out=pixels)
    engine.run("backbone", used(buffers["preprocess"]), out=used(buffers["backbone"]))
    engine.copy(used(buffers["backbone"]), used(previous))
    for slot in range(ROWS):
        engine.copy(*(engine.rows(each, row, row + 1) for each, row in ((previous, ROWS - slot), (features, slot + 1))))
    state = used(buffers["accumulator"])
    engine.run("accumulator", used(features), used(previous), out=state)
    numbers = 2 + np.arange(ROWS, dtype=np.float32)[:, None]
    engine.write(numbers, used(steps))
    numbers[:] = 0  # the engine has its own copy
    engine.run("gates", state, used(previous), used(steps), out=used(buffers["gates"]))
    engine.run("classifiers", state, used(steps), out=used(buffers["classifiers"]))
    for part, wanted in zip(("accumulator", "gates", "classifiers"), chained(engine, frames)):
        np.testing.assert_allclose(engine.get(used(buffers[part])), wanted, rtol=1e-5, atol=1e-6, err_msg=part)
        outside = [engine.get(engine.rows(buffers[part], row, row + 1)) for row in (0, slots - 1)]
        assert not np.any(outside), part


def test_preprocessing_on_other_threads(engine: Engine, tiny_bundle: Bundle) -> None:
    frames = [example(tiny_bundle, "preprocess", 1 + seed % 3, seed)[0] for seed in range(12)]
    wanted = [run(engine, "preprocess", [frame]) for frame in frames]
    pixels = engine.put(example(tiny_bundle, "backbone", 3)[0])
    features = engine.get(engine.run("backbone", pixels)).copy()
    out = engine.zeros(features.shape)

    def preprocess(index: int, into: bool) -> Array:
        target = engine.zeros(wanted[index].shape) if into else None
        return engine.get(engine.run("preprocess", engine.put(frames[index]), out=target))

    with ThreadPoolExecutor(4) as pool:
        jobs = [
            (index, pool.submit(preprocess, index, into)) for index in 8 * list(range(12)) for into in (True, False)
        ]
        while not all(job.done() for _, job in jobs):
            engine.run("backbone", pixels, out=out)
            np.testing.assert_array_equal(engine.get(out), features)
        for index, job in jobs:
            np.testing.assert_array_equal(job.result(), wanted[index])


def test_parts_on_several_threads(engine: Engine, tiny_bundle: Bundle) -> None:
    """Threads run the same parts concurrently on shared inputs, with a separate ``out`` per thread or none."""
    names = ("backbone", "accumulator", "gates", "classifiers")
    inputs = {part: [put(engine, example(tiny_bundle, part, 1 + seed, seed)) for seed in range(3)] for part in names}
    wanted = {part: [engine.get(engine.run(part, *given)).copy() for given in inputs[part]] for part in names}
    start = Barrier(4)

    def work(thread: int) -> None:
        outs = {part: [engine.zeros(array.shape) for array in wanted[part]] for part in names}
        start.wait(60)
        for step in range(24):
            part, seed = names[(step + thread) % len(names)], step % 3
            out = outs[part][seed] if step % 2 else None
            found = engine.get(engine.run(part, *inputs[part][seed], out=out))
            np.testing.assert_array_equal(found, wanted[part][seed], err_msg=part)

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(work, thread) for thread in range(4)]:
            job.result()


def test_reused_addresses(engine: Engine, tiny_bundle: Bundle) -> None:
    """More arrays than an engine caches, freed while they may still be cached, and their memory reused."""
    inputs = example(tiny_bundle, "gates", 1)
    inputs[-1][:] = 2
    wanted = run(engine, "gates", inputs)
    kept = []
    for index in range(_BINDINGS_KEPT + 50):
        out = engine.zeros((1, 1))
        fresh = [engine.put(array.copy()) for array in inputs]
        np.testing.assert_array_equal(engine.get(engine.run("gates", *fresh, out=out)), wanted)
        if index % 3 == 0:
            kept.append(out)
    other = example(tiny_bundle, "gates", 1, seed=1)
    other[-1][:] = 3
    engine.run("gates", *put(engine, other), out=engine.zeros((1, 1)))
    assert all(np.array_equal(engine.get(out), wanted) for out in kept)


def test_same_address_in_another_shape(engine: Engine, tiny_bundle: Bundle) -> None:
    handles = put(engine, example(tiny_bundle, "gates", ROWS))
    whole = engine.get(engine.run("gates", *handles)).copy()
    for rows in (1, 3, 2, ROWS, 1):
        out = engine.zeros((ROWS, 1))
        few = [engine.rows(handle, 0, rows) for handle in handles]
        engine.run("gates", *few, out=engine.rows(out, 0, rows))
        np.testing.assert_allclose(engine.get(out)[:rows], whole[:rows], rtol=1e-5)
        assert not engine.get(out)[rows:].any()


def one_line(load: Callable[[], Any], kind: type[VbenchError]) -> str:
    with pytest.raises(kind) as raised:
        load()
    assert "\n" not in str(raised.value)
    assert raised.value.hint
    return str(raised.value)


@pytest.mark.parametrize("precision", ["int8", "fp16", "bf16", "fp3"])
def test_missing_precision(name: str, tiny_bundle: Bundle, precision: str) -> None:
    if name == "openvino" and precision == "bf16" and "BF16" in loaded(name, tiny_bundle).describe()["capabilities"]:
        pytest.skip("this CPU computes in bf16, from the fp32 file")
    text = one_line(lambda: load_engine(name, tiny_bundle, EngineOptions(precision)), VbenchError)
    assert precision in text


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_missing_package(name: str, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (PACKAGES[name], "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)
    text = one_line(lambda: load_engine(name, tiny_bundle, EngineOptions()), MissingError)
    package = "tensorrt-rtx-cu13-bindings" if name == "trt-rtx" else PACKAGES[name]
    assert text == f"{package} is not installed; {install(EXTRAS[name])}"


def test_unknown_engine(tiny_bundle: Bundle) -> None:
    text = one_line(lambda: load_engine("abacus", tiny_bundle, EngineOptions()), UsageError)
    assert all(name in text for name in ENGINES)


class _Toy(NumpyMemory):
    """A third-party engine: every part returns its number of rows."""

    name = "toy"

    def __init__(self, bundle: Bundle, options: EngineOptions) -> None:
        self.bundle, self.options = bundle, options

    def describe(self) -> dict[str, str]:
        return {"toy": "1", "precision": self.options.precision}

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        assert self.options.wants(part)
        rows = len(inputs[0])
        found = np.full(out_shape(self.bundle, part, rows), rows, np.float32)
        if out is None:
            return found
        out[...] = found
        return out


def test_registered_engine(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENGINES, "_builtin", dict(ENGINES._builtin))  # undo the registration after the test
    monkeypatch.setattr(ENGINES, "_loaded", dict(ENGINES._loaded))
    with pytest.raises(UsageError, match="openvino"):
        load_engine("toy", tiny_bundle, EngineOptions())
    ENGINES.register("toy", _Toy)
    assert list(ENGINES)[-1] == "toy"
    options = EngineOptions("fp32", parts=frozenset({"backbone"}), slots=3)
    engine = load_engine("toy", tiny_bundle, options)
    assert engine.describe() == {"toy": "1", "precision": "fp32"}
    found = run(engine, "backbone", example(tiny_bundle, "backbone", 3))
    np.testing.assert_array_equal(found, np.full(out_shape(tiny_bundle, "backbone", 3), 3, np.float32))
    with pytest.raises(UsageError, match="already registered"):
        ENGINES.register("ort", _Toy)
    monkeypatch.undo()
    assert "toy" not in ENGINES


@pytest.mark.parametrize(("slots", "rows"), [(None, 32), (1, 1), (40, 40)])
def test_batch_rows_of_frameexit(tiny_bundle: Bundle, slots: int | None, rows: int) -> None:
    """For FrameExit, a row is one frame per slot."""
    assert max_batch_rows(tiny_bundle.manifest, EngineOptions(slots=slots)) == rows


def test_batch_rows_of_flexible_networks(flexible_bundle: FlexibleBundle) -> None:
    """For other networks, a row is one view of a slot's clip."""
    manifest = flexible_bundle("tsm").manifest
    assert max_batch_rows(manifest, EngineOptions()) == 8
    three = manifest.preprocessing.model_copy(update={"crops": ("first", "center_half_up", "last")})
    manifest = manifest.model_copy(update={"preprocessing": three})
    assert max_batch_rows(manifest, EngineOptions()) == 8 * 3
    assert max_batch_rows(manifest, EngineOptions(slots=4)) == 4 * 3


def altered(bundle: Bundle, folder: Path, part: str, content: bytes) -> Bundle:
    """Return a copy of the bundle whose manifest lists ``content`` as the file of ``part``."""
    shutil.copytree(bundle.path, folder)
    path = folder / bundle.manifest.parts[part].files["fp32"].path
    path.write_bytes(content)
    copy = open_bundle(folder)
    spec = copy.manifest.parts[part]
    file = spec.files["fp32"].model_copy(update={"size_bytes": len(content), "sha256": sha256(path)})
    parts = {**copy.manifest.parts, part: spec.model_copy(update={"files": {"fp32": file}})}
    return replace(copy, manifest=copy.manifest.model_copy(update={"parts": parts}))


@pytest.mark.parametrize("name", sorted(set(ENGINES) - {"torch"}))
class TestGraphs:
    """Engines that read the bundle's graphs."""

    def test_no_graph(self, name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
        loaded(name, tiny_bundle)
        bundle = altered(tiny_bundle, tmp_path / "bundle", "gates", b"no graph")
        text = one_line(lambda: load_engine(name, bundle, EngineOptions()), BundleError)
        assert "gates.onnx" in text
        assert "cannot load" in text

    def test_weights_elsewhere(self, name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
        loaded(name, tiny_bundle)
        bundle = altered(tiny_bundle, tmp_path / "bundle", "gates", b"...location...")
        text = one_line(lambda: load_engine(name, bundle, EngineOptions()), BundleError)
        assert "refers to a weights file that is not in the manifest" in text

    def test_a_tensor_name_that_is_not_utf8(self, name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
        loaded(name, tiny_bundle)
        part = tiny_bundle.manifest.parts["gates"]
        content = (tiny_bundle.path / part.files["fp32"].path).read_bytes()
        output = part.output.name.encode()
        assert output in content
        bundle = altered(tiny_bundle, tmp_path / "bundle", "gates", content.replace(output, b"\xa9" + output[1:]))
        one_line(lambda: load_engine(name, bundle, EngineOptions()), BundleError)

    @pytest.mark.parametrize("other", ["classifiers", "accumulator", "backbone"])
    def test_another_graph(self, name: str, tiny_bundle: Bundle, tmp_path: Path, other: str) -> None:
        loaded(name, tiny_bundle)
        content = (tiny_bundle.path / tiny_bundle.manifest.parts[other].files["fp32"].path).read_bytes()
        bundle = altered(tiny_bundle, tmp_path / "bundle", "gates", content)
        text = one_line(lambda: load_engine(name, bundle, EngineOptions()), BundleError)
        assert "gates: found" in text
        assert "the manifest has" in text


def test_threads_of_onnxruntime_spin_briefly(tiny_bundle: Bundle) -> None:
    session = host_session(tiny_bundle, "backbone", tiny_bundle.part_file("backbone", "fp32"), 2)
    settings = session.get_session_options()
    assert settings.get_session_config_entry("session.intra_op.spin_duration_us") == "100"


def test_openvino_telemetry_is_disabled(tiny_bundle: Bundle, tmp_path: Path) -> None:
    loaded("openvino", tiny_bundle)
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, "openvino", str(tiny_bundle.path)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="without openvino")
def test_interrupt_after_openvino_engines_are_destroyed(tiny_bundle: Bundle) -> None:
    """Two cores destroyed in the order of their creation leave a signal stack in freed memory."""
    program = f"""
import faulthandler, gc, signal, vbench
faulthandler.enable()  # runs handlers on that stack
one, other = (vbench.load({str(tiny_bundle.path)!r}, "openvino") for _ in range(2))
del one
gc.collect()
del other
gc.collect()
try:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
