"""Cache of exported bundles for tests: one export per key, and no incomplete entries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import bundle_cache
from tests.bundle_cache import ENTRIES, cached, cached_export, export_key
from tests.networks import noise_clips, save_checkpoint, tiny_network
from tests.source_imports import ROOT, source_closure
from vbench.export.exporter import Calibration, ExportOptions
from vbench.runtime.bundle.bundle import Bundle

OPTIONS = ExportOptions(input_size=32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VBENCH_TEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Exporter:
    """Records the destinations of exports; the result of each is a copy of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.done: list[Path] = []

    def export(self, checkpoint: Path, out: Path, options: ExportOptions) -> Bundle:
        assert checkpoint.is_file()
        assert options == OPTIONS
        self.done.append(out)
        shutil.copytree(self.bundle.path, out, ignore=shutil.ignore_patterns("measurements.json"))
        return Bundle(out, self.bundle.manifest)


@pytest.fixture
def exporter(tiny_bundle: Bundle) -> Exporter:
    return Exporter(tiny_bundle)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "net.pth"
    path.write_bytes(b"weights")
    return path


def test_an_equal_export_is_a_copy(exporter: Exporter, checkpoint: Path, tmp_path: Path, folder: Path) -> None:
    first = cached_export(checkpoint, tmp_path / "one", OPTIONS, export=exporter.export)
    (first.path / "measurements.json").write_text("{}")
    second = cached_export(checkpoint, tmp_path / "two", OPTIONS, export=exporter.export)
    # Both bundles refer to the checkpoint by the same relative path.
    assert exporter.done == [tmp_path / "one"]
    assert (second.path, second.manifest) == (tmp_path / "two", first.manifest)
    files = {path.relative_to(second.path) for path in second.path.rglob("*")}
    assert files == {path.relative_to(first.path) for path in first.path.rglob("*")} - {Path("measurements.json")}
    assert not list(folder.glob(".incomplete-*"))


def test_deleting_the_cache_is_harmless(exporter: Exporter, checkpoint: Path, tmp_path: Path, folder: Path) -> None:
    cached_export(checkpoint, tmp_path / "one", OPTIONS, export=exporter.export)
    shutil.rmtree(folder)
    assert cached_export(checkpoint, tmp_path / "two", OPTIONS, export=exporter.export).path.is_dir()
    assert len(exporter.done) == 2


def keys_of_changes(checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Yield the keys of requests that each differ from the first in one respect."""
    yield export_key(checkpoint, out, OPTIONS)
    yield export_key(checkpoint, out, replace(OPTIONS, opset=20))
    yield export_key(checkpoint, out, replace(OPTIONS, class_names=checkpoint))
    yield export_key(checkpoint, out / "deeper", OPTIONS)
    yield export_key(checkpoint, out, OPTIONS, Calibration("noise", noise_clips))
    yield export_key(checkpoint, out, OPTIONS, Calibration("other", noise_clips))
    yield export_key(checkpoint, out, OPTIONS, export=export_nothing)
    with monkeypatch.context() as patch:
        patch.setattr(bundle_cache, "version", lambda package: "1.0" if package == "onnxscript" else "2.0")
        yield export_key(checkpoint, out, OPTIONS)
    with monkeypatch.context() as patch:
        digest = bundle_cache.sha256
        patch.setattr(bundle_cache, "sha256", lambda path: "0" if path.name == "verify.py" else digest(path))
        yield export_key(checkpoint, out, OPTIONS)
    checkpoint.write_bytes(b"others!")
    yield export_key(checkpoint, out, OPTIONS)


def export_nothing(checkpoint: Path, out: Path, options: ExportOptions) -> Bundle:
    raise NotImplementedError


def test_every_change_has_its_own_key(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert export_key(checkpoint, out, OPTIONS) == export_key(checkpoint, out, ExportOptions(input_size=32))
    keys = [key for _, key in keys_of_changes(checkpoint, out, monkeypatch)]
    assert len(set(keys)) == len(keys) == 10


CHECK_MODULES = """
import sys
from pathlib import Path
from tests.networks import noise_clips
from vbench.export.exporter import Calibration, ExportOptions, export_checkpoint
options = ExportOptions(input_size=32, precisions=("fp32", "fp16", "int8"))
export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), options, calibration=Calibration("noise", noise_clips))
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "vbench"]
print(*(Path(module.__file__).resolve() for module in modules), sep="\\n")
"""


@pytest.mark.slow
def test_the_key_covers_every_module_that_an_export_imports(tmp_path: Path) -> None:
    save_checkpoint(tiny_network(), tmp_path / "net.pth")
    ended = run_python(CHECK_MODULES, tmp_path / "net.pth", tmp_path / "out")
    imported = {Path(line) for line in ended.stdout.splitlines()}
    assert ROOT / "export" / "precision" / "fp16.py" in imported
    assert imported <= set(source_closure(*ENTRIES))


def test_the_key_does_not_cover_modules_that_no_export_needs() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in source_closure(*ENTRIES)}
    roots = {"__init__.py", "errors.py", "files.py", "input_files.py", "json_file.py", "lazy.py", "option_fields.py"}
    roots |= {"paths.py", "registry.py", "startup.py", "text.py"}
    assert folders == {*roots, "export", "models", "runtime"}


CHECK_PROCESSES = """
import sys, time
from pathlib import Path
from tests.bundle_cache import cached
def make(folder):
    folder.mkdir()
    time.sleep(0.5)
    with open(sys.argv[1], "a") as made:
        made.write("made\\n")
    (folder / "file").write_text("content")
print((cached("net", "key", make) / "file").read_text())
"""


def run_python(code: str, *args: Path) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, env=with_tests()
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def with_tests() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def test_two_processes_create_an_entry_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHECK_PROCESSES, str(tmp_path / "made")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=with_tests()) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["content\n", "content\n"]
    assert (tmp_path / "made").read_text() == "made\n"


def test_an_incomplete_entry_does_not_count(folder: Path) -> None:
    def fail(entry: Path) -> None:
        entry.mkdir()
        (entry / "half").write_text("")
        raise KeyboardInterrupt

    def make(entry: Path) -> None:
        entry.mkdir()
        (entry / "all").write_text("")

    with pytest.raises(KeyboardInterrupt):
        cached("net", "key", fail)
    (folder / ".incomplete-killed" / "entry").mkdir(parents=True)
    assert [path.name for path in cached("net", "key", make).iterdir()] == ["all"]


def test_the_newest_entries_of_a_label_are_kept(folder: Path) -> None:
    for number in (*range(4), 2, 4):
        path = cached("net", f"key{number}", Path.mkdir)
        os.utime(path, (number, number) if number < 4 else None)
    other = cached("another", "key9", Path.mkdir)
    left = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert left == ["another-key9", "net-key3", "net-key4"]
    assert other.is_dir()
    assert np.all([path.with_name(f"{path.name}.lock").is_file() for path in folder.iterdir() if path.is_dir()])
