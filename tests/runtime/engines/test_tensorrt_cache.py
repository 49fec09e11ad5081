"""Engine cache of ONNX Runtime's TensorRT provider: engines are stored in the bundle and rebuilt if untrusted."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from tests.cuda_ort import TENSORRT, FakeOrtGpu, FakeSession, KilledError, engine_content, install
from tests.cuda_runs import TENSORRT_OPTIONS, folders, gpu, one_gpu, one_line, own_bundle
from vbench.errors import UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines import trusted_files
from vbench.runtime.engines.base import load_engine
from vbench.runtime.engines.ort import cuda as ort_cuda

__all__ = ["gpu", "one_gpu", "own_bundle"]  # fixtures


def test_engines_are_private_to_their_user(gpu: FakeOrtGpu, own_bundle: Bundle) -> None:
    previous = os.umask(0)
    try:
        load_engine("ort", own_bundle, TENSORRT_OPTIONS)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((own_bundle.path / "plans").stat().st_mode) == 0o755
    load_engine("ort", own_bundle, TENSORRT_OPTIONS)
    assert len(folders(own_bundle)) == len(own_bundle.manifest.parts) - 1
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders(own_bundle)} == {0o700}
    used = {session.options[TENSORRT]["trt_engine_cache_path"] for session in gpu.sessions if session.path}
    assert used == {str(folder) for folder in folders(own_bundle)}


@pytest.mark.usefixtures("gpu")
def test_folder_names_depend_on_all_build_inputs(own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    load_engine("ort", own_bundle, TENSORRT_OPTIONS)
    before = len(folders(own_bundle))
    for change in (
        lambda: monkeypatch.setattr(onnxruntime, "__version__", "0.0.1"),
        lambda: monkeypatch.setattr(ort_cuda, "gpu_names", lambda: ("NVIDIA Slide Rule",)),
        lambda: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1"),
        lambda: monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0"),
    ):
        change()
        load_engine("ort", own_bundle, TENSORRT_OPTIONS)
        before += len(own_bundle.manifest.parts) - 1
        assert len(folders(own_bundle)) == before


@pytest.mark.parametrize(("folder", "mode"), [("part", 0o770), ("part", 0o757), ("plans", 0o757), ("plans", 0o775)])
def test_folders_writable_by_others(gpu: FakeOrtGpu, own_bundle: Bundle, folder: str, mode: int) -> None:
    """Others may have placed any file there and may still have it open: the folder is emptied and restricted."""
    said(own_bundle)
    part = engine_of(own_bundle, gpu.built_engines[0]).parent
    (part if folder == "part" else part.parent).chmod(mode)
    before = len(gpu.built_engines)
    assert [line.partition(":")[0] for line in said(own_bundle)] == [f"{part} was writable by other users"]
    assert len(gpu.built_engines) == before + 1
    assert {stat.S_IMODE(each.stat().st_mode) for each in folders(own_bundle)} == {0o700}
    assert not (own_bundle.path / "plans").stat().st_mode & 0o022
    assert said(own_bundle) == []


@pytest.mark.usefixtures("gpu")
def test_folders_readable_by_others(own_bundle: Bundle) -> None:
    """Reading a signed file is harmless, but during a build no other user may access its folder."""
    said(own_bundle)
    path = folders(own_bundle)[3]
    path.chmod(0o705)
    assert said(own_bundle) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.usefixtures("gpu")
def test_bundle_writable_by_everyone(own_bundle: Bundle) -> None:
    """Another folder could replace the verified one before ONNX Runtime reads it."""
    own_bundle.path.chmod(0o777)
    assert "is writable by everyone" in one_line(lambda: load_engine("ort", own_bundle, TENSORRT_OPTIONS), UsageError)
    own_bundle.path.chmod(0o1777)
    assert said(own_bundle) == []


@pytest.mark.usefixtures("gpu")
def test_folders_of_another_user(own_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_engine("ort", own_bundle, TENSORRT_OPTIONS)
    plans = own_bundle.path / "plans"
    with monkeypatch.context() as patch:
        patch.setattr(trusted_files, "local_key", lambda: bytes(32))
        patch.setattr(os, "getuid", lambda: 4321)
        text = one_line(lambda: load_engine("ort", own_bundle, TENSORRT_OPTIONS), UsageError)
        assert f"{plans} belongs to another user" in text
    path = folders(own_bundle)[0]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert f"{path} is a link" in one_line(lambda: load_engine("ort", own_bundle, TENSORRT_OPTIONS), UsageError)
    path.unlink()
    plans.rename(tmp_path / "plans")
    plans.symlink_to(tmp_path / "plans")
    assert f"{plans} is a link" in one_line(lambda: load_engine("ort", own_bundle, TENSORRT_OPTIONS), UsageError)


# ---- signatures ----------------------------------------------------------------------------------------------------


def said(bundle: Bundle) -> list[str]:
    """Load the engine and return its progress messages."""
    lines: list[str] = []
    load_engine("ort", bundle, replace(TENSORRT_OPTIONS, say=lines.append))
    return lines


def engine_of(bundle: Bundle, part: str) -> Path:
    (path,) = (bundle.path / "plans").glob(f"ort-{part}-*/*.engine")
    return path


def record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def test_engines_are_built_once_and_signed(gpu: FakeOrtGpu, own_bundle: Bundle) -> None:
    parts = sorted(set(own_bundle.manifest.parts) - {"preprocess"})
    graphs = sorted(f"{part}_gpu" if own_bundle.manifest.parts[part].other_forms else part for part in parts)
    assert said(own_bundle) == []
    assert (sorted(gpu.built_engines), gpu.loaded_engines) == (graphs, [])
    records = {part: record_of(engine_of(own_bundle, part)) for part in parts}
    stamps = {part: record.stat().st_mtime_ns for part, record in records.items()}
    assert said(own_bundle) == []
    assert (len(gpu.built_engines), sorted(gpu.loaded_engines)) == (len(parts), graphs)
    assert stamps == {part: record.stat().st_mtime_ns for part, record in records.items()}, "signed once"
    for part, path in records.items():
        record = json.loads(path.read_text())
        assert (record["part"], record["rows"], record["precision"]) == (part, 32, "fp32")
        assert record["onnx_sha256"] == own_bundle.manifest.parts[part].files_for("gpu")["fp32"].sha256
    for folder in folders(own_bundle):
        assert len(list(folder.iterdir())) == 5, "engine and profile with their records, and the lock"
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "has been altered"),
        (lambda path: path.write_bytes(path.read_bytes() + b"?"), "has been altered"),
        (lambda path: path.chmod(0o666), "is writable by other users"),
        (lambda path: linked(path), "cannot be read"),
        (lambda path: record_of(path).unlink(), "is not signed"),
        (lambda path: record_of(path).write_text("[]"), "no readable record"),
        (lambda path: record_of(path).chmod(0o622), "is writable by other users"),
        (lambda path: changed(record_of(path), rows=64), "signature is invalid"),
        (lambda path: changed(record_of(path), hmac_sha256="0" * 64), "signature is invalid"),
    ],
)
def test_untrusted_engines(gpu: FakeOrtGpu, own_bundle: Bundle, spoil: Callable[[Path], object], why: str) -> None:
    said(own_bundle)
    path, before = engine_of(own_bundle, "gates"), len(gpu.built_engines)
    spoil(path)
    (line,) = said(own_bundle)
    assert line.startswith(f"{path} will be rebuilt, not loaded: it ")
    assert why in line
    assert gpu.built_engines[before:] == ["gates_gpu"]
    assert not path.is_symlink()
    assert path.read_bytes() == engine_content("gates_gpu")
    assert said(own_bundle) == []


def linked(path: Path) -> None:
    elsewhere = path.parent.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def changed(record: Path, **values: object) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), **values}))


def test_planted_engine_is_never_loaded(gpu: FakeOrtGpu, own_bundle: Bundle) -> None:
    """An engine present before the build, and files next to built ones."""
    said(own_bundle)
    path = engine_of(own_bundle, "backbone")
    for file in path.parent.iterdir():
        file.unlink()
    path.write_bytes(b"another user's code")
    gpu.built_engines.clear()
    assert f"{path} will be rebuilt, not loaded: it is not signed" in "\n".join(said(own_bundle))
    assert gpu.built_engines == ["backbone"]
    planted = [path.with_name(name) for name in ("other.engine", ".hidden", "orphan.json")]
    for file in planted:
        file.write_bytes(b"another user's code")
    path.with_name("folder").mkdir()
    path.with_name("dangling").symlink_to("nowhere")
    assert len(said(own_bundle)) == 4, "a record without a file is removed silently"
    assert len(list(path.parent.iterdir())) == 5


def test_signed_engine_of_another_part_or_name(gpu: FakeOrtGpu, own_bundle: Bundle) -> None:
    """A valid engine, but of another part or under another name."""
    said(own_bundle)
    one, other = (engine_of(own_bundle, part) for part in ("gates", "classifiers"))
    for source, target in ((one, other), (record_of(one), record_of(other))):
        shutil.copy(source, target)
    (line,) = said(own_bundle)
    assert "has a different part (gates, not classifiers)" in line
    renamed = one.with_name("renamed.engine")
    shutil.copy(one, renamed)
    shutil.copy(record_of(one), record_of(renamed))
    (line,) = said(own_bundle)
    assert "has a different file" in line
    assert gpu.built_engines[-1] == "classifiers_gpu"


def test_engines_signed_with_another_key(
    gpu: FakeOrtGpu, own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said(own_bundle)
    built = list(gpu.built_engines)
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "another"))
    lines = said(own_bundle)
    assert all("not built by this user on this machine" in line for line in lines)
    assert len(lines) == 2 * len(built), "engine and profile of each part"
    assert gpu.built_engines == 2 * built
    (tmp_path / "another" / "plans.key").chmod(0o644)
    assert "plans.key" in one_line(lambda: said(own_bundle), UsageError)


def test_killed_build(gpu: FakeOrtGpu, own_bundle: Bundle) -> None:
    """A partial engine is not signed and never loaded; earlier engines are."""
    gpu.dies_building = "gates_gpu"
    with pytest.raises(KilledError):
        said(own_bundle)
    half = engine_of(own_bundle, "gates")
    assert half.read_bytes() != engine_content("gates_gpu")
    gpu.dies_building = None
    done = list(gpu.built_engines)
    (line,) = said(own_bundle)
    assert line.startswith(f"{half} will be rebuilt, not loaded: it is not signed")
    assert half.read_bytes() == engine_content("gates_gpu")
    assert gpu.loaded_engines == done
    assert said(own_bundle) == []


def test_files_rewritten_by_a_session_are_signed_again(
    gpu: FakeOrtGpu, own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime rewrites a profile whose shapes have changed."""
    said(own_bundle)
    use = FakeSession._use_engine_cache

    def rewrite(session: FakeSession, graph: str, folder: Path) -> None:
        use(session, graph, folder)
        next(folder.glob("*.profile")).write_text(f"other shapes of {graph}")

    monkeypatch.setattr(FakeSession, "_use_engine_cache", rewrite)
    assert said(own_bundle) == []
    monkeypatch.setattr(FakeSession, "_use_engine_cache", use)
    assert said(own_bundle) == []
    assert len(gpu.built_engines) == len(own_bundle.manifest.parts) - 1


@pytest.mark.usefixtures("gpu")
def test_two_processes_build_each_engine_once(own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def build() -> None:
        gpu = install(monkeypatch)
        lines = said(own_bundle)
        results.put((gpu.built_engines, gpu.loaded_engines, lines))

    processes = [context.Process(target=build) for _ in range(2)]
    for process in processes:
        process.start()
    (built, loaded, lines), (other_built, other_loaded, other_lines) = (results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    parts = sorted(set(own_bundle.manifest.parts) - {"preprocess"})
    graphs = sorted(f"{part}_gpu" if own_bundle.manifest.parts[part].other_forms else part for part in parts)
    assert sorted(built + other_built) == graphs
    assert sorted(loaded) == sorted(other_built)
    assert sorted(other_loaded) == sorted(built)
    assert lines == other_lines == []
