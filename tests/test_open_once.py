"""A process opens a bundle once and verifies the digest of each file once, regardless of the number of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.run.test_run import interrupt_after, save_dataset
from tests.configs import run_config
from tests.conftest import FlexibleBundle
from tests.in_process import Vbench, in_process
from vbench.bench.run.run import Listener, start_run
from vbench.bench.run.variants import start_variants, variants_of
from vbench.runtime.bundle import bundle as bundle_module
from vbench.runtime.bundle.bundle import Bundle

Counted = Counter[str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vbench:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Count how often each file of a bundle is hashed, and how often a manifest is read."""
    counts: Counted = Counter()

    def count(function: Callable[[Path], object], action: str) -> Callable[[Path], object]:
        def counting(path: Path) -> object:
            counts[f"{action} {path.name if action == 'open' else path}"] += 1
            return function(path)

        return counting

    monkeypatch.setattr(bundle_module, "read_content", count(bundle_module.read_content, "open"))
    monkeypatch.setattr(bundle_module, "sha256", count(bundle_module.sha256, "digest"))
    return counts


def assert_once(counted: Counted, *files: str) -> None:
    assert counted["open manifest.json"] == 1
    assert {*counted.values()} == {1}, counted
    for file in files:
        assert any(each.endswith(file) for each in counted), file


def args(bundle: Bundle, data: Path, out: Path) -> tuple[str | Path, ...]:
    return (bundle.path, "--dataset", "folder", "--data", data, "-o", out)


@pytest.mark.parametrize("more", [(), ("--trace",)], ids=["plain", "trace"])
def test_a_run(
    counted: Counted, vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    assert vbench("run", *args(tiny_bundle, data, tmp_path / "run"), "--limit", "2", *more).code == 0
    assert_once(counted, "backbone.onnx", "manifest.json")


def test_runs_at_several_frame_counts(
    counted: Counted, vbench: Vbench, flexible_bundle: FlexibleBundle, data: Path, tmp_path: Path
) -> None:
    command = args(flexible_bundle("tsm"), data, tmp_path / "runs")
    counted.clear()  # ignore the export
    assert vbench("run", *command, "--frames", "2,4", "--limit", "2").code == 0
    assert_once(counted, "frames_02.onnx", "frames_04.onnx")


def test_resuming_runs_at_several_frame_counts(
    counted: Counted, vbench: Vbench, flexible_bundle: FlexibleBundle, data: Path, tmp_path: Path
) -> None:
    bundle = flexible_bundle("tsm")
    config = run_config(bundle, dataset="folder", data=data, limit=2, frames=(2, 4))

    @contextmanager
    def interrupted(_: str) -> Iterator[Listener]:
        yield interrupt_after(1)

    with pytest.raises(KeyboardInterrupt):
        start_variants(config, variants_of(config, bundle), tmp_path / "runs", "", interrupted)
    counted.clear()
    assert vbench("run", "--resume", tmp_path / "runs").code == 0
    assert_once(counted, "frames_02.onnx", "frames_04.onnx")


def test_resuming(counted: Counted, vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        start_run(run_config(tiny_bundle, dataset="folder", data=data), tmp_path / "run", "", interrupt_after(8))
    counted.clear()
    assert vbench("run", "--resume", tmp_path / "run").code == 0
    assert_once(counted, "backbone.onnx")


def test_an_audit(counted: Counted, vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    command = args(tiny_bundle, data, tmp_path / "audit")
    assert vbench("audit", *command, "--against", "ort", "--threads", "1", "--limit", "2").code == 2, "the same twice"
    counted.clear()
    assert vbench("audit", *command, "--limit", "2").code == 0
    assert_once(counted, "backbone.onnx")


def test_an_explanation(counted: Counted, vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    command = ("--bundle", tiny_bundle.path, "-o", film)
    assert vbench("explain", data / "bow" / "0", *command).code == 0
    assert_once(counted, "backbone.onnx")
    counted.clear()
    assert vbench("explain", "bow/0", *command, "--dataset", "folder", "--data", data).code == 0
    assert_once(counted, "backbone.onnx")
