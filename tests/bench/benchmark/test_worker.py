"""A worker's process: what it needs, how long it is waited for, and the one line that every failure becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests import faulty_engines
from tests.benches import contender
from tests.conftest import FlexibleBundle
from vbench.bench.benchmark.clips import ClipSet
from vbench.bench.benchmark.contender import Contender
from vbench.bench.benchmark.turn import Turn, TurnRequest, WorkerTask
from vbench.bench.benchmark.worker_process import Worker, WorkerError, _environment
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest, Manifest

ORT = contender("ort fp32, sequential")
CLIPS = TurnRequest((0, 1, 2))
LONG = 300.0  # other tests may keep the machine busy
# What vbench needs besides an engine, without NumPy and pydantic.
NOT_ON_A_BARE_MACHINE = ("av", "jinja2", "matplotlib", "PIL", "polars", "rich", "typer")


def task(bundle: Bundle[Manifest], one: Contender = ORT) -> WorkerTask:
    return WorkerTask(str(bundle.path), one, ClipSet(), limit=4)


@contextmanager
def started(bundle: Bundle[Manifest], one: Contender = ORT) -> Iterator[Worker]:
    with closing(Worker(task(bundle, one))) as worker:
        worker.start(LONG)
        yield worker


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty_engines.install(tmp_path, monkeypatch)


def answers(turn: Turn) -> list[tuple[int | None, int | None]]:
    return [(row.prediction, row.exit_step) for row in turn.answered]


def test_a_worker_needs_only_numpy_and_pydantic(
    tiny_bundle: Bundle[FrameExitManifest],
    flexible_bundle: FlexibleBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with started(tiny_bundle) as worker:
        expected = answers(worker.run(CLIPS, LONG))
    assert len(expected) == 3
    for name in NOT_ON_A_BARE_MACHINE:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not on this machine')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with started(tiny_bundle) as worker:
        assert answers(worker.run(CLIPS, LONG)) == expected
    with started(flexible_bundle("tsm"), contender("ort", frames=4)) as worker:
        assert len(worker.run(CLIPS, LONG).answered) == 3


def test_a_rejected_turn_does_not_end_the_worker(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    with started(tiny_bundle) as worker:
        with pytest.raises(WorkerError, match="IndexError"):
            worker.run(TurnRequest((99,)), LONG)
        turn = worker.run(CLIPS, LONG)
    assert len(turn.answered) == 3
    assert sorted(turn.places) == [0, 1, 2]
    assert turn.peak_memory_bytes > 0
    assert all(row.probabilities is None for row in turn.rows)


def test_probabilities_on_request(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    with started(tiny_bundle) as worker:
        turn = worker.run(TurnRequest((0,), probabilities=True), LONG)
    assert turn.rows[0].probabilities is not None
    assert turn.rows[0].probabilities.shape == (tiny_bundle.manifest.classes,)


def test_start_and_close_have_limits(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    worker = Worker(task(tiny_bundle))
    with pytest.raises(WorkerError, match="no reply within 0 s"):
        worker.start(0)
    worker.close()
    worker.close()


def test_a_missing_bundle(tmp_path: Path) -> None:
    missing = WorkerTask(str(tmp_path / "none"), ORT, ClipSet(), None)
    with closing(Worker(missing)) as worker, pytest.raises(WorkerError, match="none"):
        worker.start(LONG)


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("refusing", "^RuntimeError: no such kernel$"),
        ("crashing", "^exited with code 7: CUDA error: misaligned address$"),
    ],
)
def test_a_contender_that_does_not_load(engine: str, reason: str, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    worker = Worker(task(tiny_bundle, contender(engine, engine)))
    with closing(worker), pytest.raises(WorkerError, match=reason):
        worker.start(LONG)


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("aborting", "^killed by SIGABRT"),
        ("killed", "^killed by SIGKILL, which is how the system ends a process when memory runs out"),
        ("hanging", "^no reply within 2 s$"),
    ],
)
def test_a_contender_that_ends_in_a_turn(engine: str, reason: str, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    one = contender(engine, engine)
    with started(tiny_bundle, one) as worker, pytest.raises(WorkerError, match=reason) as caught:
        worker.run(CLIPS, 2.0)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("faulty")
def test_memory_that_cannot_be_allocated(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    with started(tiny_bundle, contender("exhausting", "exhausting")) as worker:
        turn = worker.run(CLIPS, LONG)
    assert all("Unable to allocate" in str(row.error) for row in turn.rows)


@pytest.mark.usefixtures("faulty")
def test_output_of_libraries_is_no_reply(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    with started(tiny_bundle, contender("chatty", "chatty")) as worker:
        assert len(worker.run(CLIPS, LONG).answered) == 3


def test_tf32_is_disabled_only_for_exact_contenders(
    tiny_bundle: Bundle[FrameExitManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert _environment(task(tiny_bundle))["NVIDIA_TF32_OVERRIDE"] == "0"
    rounded = task(tiny_bundle, contender("ort cuda tf32", precision="tf32"))
    assert "NVIDIA_TF32_OVERRIDE" not in _environment(rounded)
