"""The number of engine replicas: chosen by measured rates, measured once, and limited by the threads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars
import pytest

import vbench
from tests.bench.run.test_run import interrupt_after, save_dataset
from tests.configs import changed, run_config
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import resume_run, start_run
from vbench.errors import EngineError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engine_choice import replicas
from vbench.runtime.engine_choice.replicas import ReplicaChoice, check_replicas, choose_replicas, load_replicas
from vbench.runtime.engines.numpy_memory import NumpyMemory
from vbench.runtime.engines.options import AUTO_REPLICAS, EngineOptions, parse_replicas
from vbench.runtime.measurements.store import FILE
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.scheduler.options import StreamOptions

LOAD = {"date": "2026-01-02T03:04:05+00:00", "load_average": 0.1, "cpus_used": 3.9, "cores": 4}


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench.runtime.engines.options.usable_cpus", lambda: 4)


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    folder = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    (folder / FILE).unlink(missing_ok=True)
    return Bundle(folder, tiny_bundle.manifest)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[int, float]]:
    """Return the rates of the next measurements, the first of which is used first."""
    queue: list[Mapping[int, float]] = []

    def measure(_b: object, _o: object, counts: list[int], _part: str, _rows: int) -> dict[str, Any]:
        given = queue.pop(0)
        return {"calls_per_s": {str(count): given[count] for count in counts}, "load": LOAD, "unsteady": ""}

    monkeypatch.setattr(replicas, "_measure", measure)
    return queue


def options(count: int, **changes: Any) -> EngineOptions:
    return EngineOptions(**{"replicas": count, "say": lambda _: None, **changes})


def chosen(bundle: Bundle) -> ReplicaChoice:
    counted, found = choose_replicas(bundle, options(AUTO_REPLICAS), PolicyChoice())
    assert found is not None
    assert counted.replicas == found.replicas
    return found


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({1: 10.0, 2: 12.0, 4: 14.0}, 4),
        ({1: 10.0, 2: 12.0, 4: 12.1}, 2),
        ({1: 10.0, 2: 10.2, 4: 10.4}, 1),
        ({1: 10.0, 2: 9.0, 4: 11.0}, 4),
    ],
)
def test_more_replicas_must_be_clearly_faster(
    bundle: Bundle, rates: list[Mapping[int, float]], measured: Mapping[int, float], expected: int
) -> None:
    rates.append(measured)
    assert chosen(bundle).replicas == expected


def test_measured_once(bundle: Bundle, rates: list[Mapping[int, float]]) -> None:
    rates.append({1: 10.0, 2: 12.0, 4: 13.0})
    assert chosen(bundle) == chosen(bundle)
    assert chosen(bundle).text() == (
        "replicas auto: 4 (calls of backbone per second: 1: 10, 2: 12, 4: 13; measured on 2026-01-02 at 03:04 UTC, "
        "load average 0.1 on 4 cores)"
    )


def test_a_damaged_measurement_is_repeated(bundle: Bundle, rates: list[Mapping[int, float]]) -> None:
    rates += [{1: 10.0, 2: 12.0, 4: 13.0}, {1: 10.0, 2: 1.0, 4: 1.0}]
    assert chosen(bundle).replicas == 4
    content = json.loads((bundle.path / FILE).read_text())
    (entry,) = content["replicas"].values()
    entry["calls_per_s"]["2"] = -1
    (bundle.path / FILE).write_text(json.dumps(content))
    assert chosen(bundle).replicas == 1


def test_one_thread_needs_no_measurement(bundle: Bundle) -> None:
    _, found = choose_replicas(bundle, options(AUTO_REPLICAS, threads=1), PolicyChoice())
    assert found == ReplicaChoice(1)
    assert not (bundle.path / FILE).exists()


def test_a_real_measurement(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_TURN_S", 0.02)
    found = chosen(bundle)
    assert list(found.calls_per_s) == ["1", "2", "4"]
    assert all(rate > 0 for rate in found.calls_per_s.values())


@pytest.mark.parametrize(("threads", "count", "each"), [(0, 2, 2), (0, 4, 1), (3, 2, 1), (4, 1, 4)])
def test_replicas_share_the_threads(bundle: Bundle, threads: int, count: int, each: int) -> None:
    engines = load_replicas(bundle, options(count, threads=threads))
    assert [engine.describe()["threads"] for engine in engines] == [str(each)] * count


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (options(2, device="cuda"), "--replicas divides the CPU's threads, but this engine runs on a GPU"),
        (options(AUTO_REPLICAS, engine="trt"), "--replicas divides the CPU's threads"),
    ],
)
def test_replicas_are_for_cpus(given: EngineOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_replicas(given, PolicyChoice())


def test_replicas_and_a_budget_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"so --budget-ms cannot be met; omit one of them$"):
        check_replicas(options(2), PolicyChoice(budget_ms=5.0))


def test_more_replicas_than_threads_is_only_a_note(bundle: Bundle) -> None:
    """An interrupted run may be resumed with fewer CPUs."""
    said: list[str] = []
    given = options(5, say=said.append)
    check_replicas(given, PolicyChoice())
    assert said == ["--replicas 5: there are only 4 engine threads, so each replica has one"]
    assert [engine.describe()["threads"] for engine in load_replicas(bundle, given)] == ["1"] * 5


def test_a_measurement_on_a_busy_machine_is_repeated(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [9.0, 10.0, 10.0, 11.0] * 2 + [9.0, 5.0, 11.0, 12.0] + [9.0, 10.0, 10.0, 10.0] * 3
    monkeypatch.setattr(replicas, "_calls_per_s", lambda *_: rounds.pop(0))
    assert chosen(bundle).unsteady == "4 replicas made 5 to 12 calls per second"
    assert chosen(bundle).unsteady == "" == chosen(bundle).unsteady
    assert not rounds, "measured twice"


def test_an_engine_that_fails_is_its_own_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(NumpyMemory):
        def run(self, part: str, *_: Any) -> Any:
            raise EngineError(f"cannot run {part}", "free some memory")

    monkeypatch.setattr(replicas, "load_engine", lambda *_: Broken())
    with pytest.raises(EngineError, match="cannot run backbone"):
        chosen(bundle)


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "²"])
def test_not_a_number_of_replicas(text: str) -> None:
    with pytest.raises(UsageError, match="--replicas must be auto or a number >= 1"):
        parse_replicas(text)


def test_load(bundle: Bundle, rates: list[Mapping[int, float]]) -> None:
    assert len(vbench.load(bundle.path, "ort", replicas=2).replicas) == 1
    rates.append({1: 1.0, 2: 2.0, 4: 3.0})
    assert len(vbench.load(bundle.path, "ort", replicas="auto").replicas) == 3
    with pytest.raises(UsageError, match="--replicas must be auto or a number"):
        vbench.load(bundle.path, "ort", replicas=0)


@pytest.fixture
def config(bundle: Bundle, tmp_path: Path) -> RunConfig:
    data = save_dataset(tmp_path / "data")
    return run_config(bundle, dataset="folder", data=data, stream=StreamOptions("inflight", 2, 1))


def answers(run: Path) -> polars.DataFrame:
    return polars.read_parquet(run / "predictions.parquet").sort("video").select("video", "prediction", "exit_step")


def test_a_run_has_the_same_predictions(
    config: RunConfig, tmp_path: Path, rates: list[Mapping[int, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    rates.append({1: 1.0, 2: 2.0, 4: 1.0})
    one = start_run(config, tmp_path / "one", "")
    two = start_run(changed(config, engine=options(AUTO_REPLICAS)), tmp_path / "two", "")
    assert answers(one.path).equals(answers(two.path))
    record = json.loads((two.path / "run.json").read_text())
    assert record["config"]["engine"]["replicas"] == 2, "a resumed run does not choose again"
    assert record["replica_choice"]["calls_per_s"] == {"1": 1.0, "2": 2.0, "4": 1.0}
    assert json.loads((one.path / "run.json").read_text())["replica_choice"] is None
    assert two.metrics["videos_per_s"] > 0
    assert capsys.readouterr().out == ""


def test_an_interrupted_run_is_resumed_with_its_replicas(config: RunConfig, tmp_path: Path) -> None:
    replicated = changed(config, engine=options(2))
    with pytest.raises(KeyboardInterrupt):
        start_run(replicated, tmp_path / "run", "", interrupt_after(2))
    finished, whole = resume_run(tmp_path / "run"), start_run(replicated, tmp_path / "whole", "")
    assert answers(finished.path).equals(answers(whole.path))
