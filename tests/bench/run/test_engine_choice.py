"""Runs with ``--engine auto``: the record names the engine, and a resumed run keeps it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.bench.run.test_run import content, interrupt_after, save_dataset
from tests.configs import run_config
from tests.conftest import FlexibleBundle
from vbench.bench.explain.setup import load_for_explanation
from vbench.bench.run.run import resume_run, start_run
from vbench.bench.run.variants import start_variants, variants_of
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engine_choice import choose
from vbench.runtime.engines.options import AUTO, EngineOptions
from vbench.runtime.measurements.store import FILE
from vbench.runtime.scheduler.options import StreamOptions

LOAD = {"date": "2026-01-02T03:04:05+00:00", "load_average": 7.5, "cpus_used": 1.9, "cores": 2}

pytest.importorskip("openvino")


@pytest.fixture
def fastest(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the engine that is measured to be the fastest, which the test may replace."""
    names = ["openvino"]

    def measure(_b: object, _o: object, permitted: list[Any], _part: str, _rows: int) -> dict[str, Any]:
        times = {str(each): 1.0 if each.engine == names[0] else 2.0 for each in permitted}
        return {"times_ms": times, "failed": {}, "load": LOAD, "unsteady": ""}

    monkeypatch.setattr(choose, "measure", measure)
    return names


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def engine(said: list[str]) -> EngineOptions:
    return EngineOptions(engine=AUTO, say=said.append)


def own(bundle: Bundle, folder: Path) -> Bundle:
    """Return a copy of a bundle without measurements."""
    shutil.copytree(bundle.path, folder)
    (folder / FILE).unlink(missing_ok=True)
    return Bundle(folder, bundle.manifest)


def test_the_record_names_the_engine_and_why(
    tiny_bundle: Bundle, tmp_path: Path, fastest: list[str], engine: EngineOptions, said: list[str]
) -> None:
    assert fastest == ["openvino"]
    options = {"dataset": "folder", "data": save_dataset(tmp_path / "data"), "stream": StreamOptions("inflight", 3)}
    config = run_config(own(tiny_bundle, tmp_path / "net"), engine=engine, **options)
    record = content(start_run(config, tmp_path / "run", "").path)
    assert (record["engine"], record["config"]["engine"]["engine"]) == ("openvino", "openvino")
    assert "openvino" in record["engine_details"]
    choice = record["engine_choice"]
    assert (choice["engine"], choice["precision"], choice["part"], choice["rows"]) == (
        "openvino",
        "fp32",
        "backbone",
        3,
    )
    assert choice["times_ms"] == {"ort fp32": 2.0, "openvino fp32": 1.0}
    measuring, chosen, started = said
    assert measuring == "measuring ort fp32, openvino fp32 (once for this bundle and machine)"
    assert chosen.startswith("engine auto: openvino fp32 (backbone of 3 rows: ort fp32 2 ms, openvino fp32 1 ms; ")
    assert started.startswith("ready in ")


def test_a_named_engine_is_no_choice(tiny_bundle: Bundle, tmp_path: Path) -> None:
    config = run_config(tiny_bundle, dataset="folder", data=save_dataset(tmp_path / "data"))
    assert content(start_run(config, tmp_path / "run", "").path)["engine_choice"] is None


def test_a_resumed_run_keeps_its_engine(
    tiny_bundle: Bundle, tmp_path: Path, fastest: list[str], engine: EngineOptions
) -> None:
    data, bundle = save_dataset(tmp_path / "data"), own(tiny_bundle, tmp_path / "net")
    config = run_config(bundle, dataset="folder", data=data, engine=engine)
    with pytest.raises(KeyboardInterrupt):
        start_run(config, tmp_path / "run", "", interrupt_after(3))
    before = content(tmp_path / "run")
    fastest[0] = "ort"
    (bundle.path / FILE).unlink()
    after = content(resume_run(tmp_path / "run").path)
    assert not (bundle.path / FILE).exists()
    assert after["engine"] == before["engine"] == "openvino"
    assert "openvino" in after["engine_details"]
    assert after["engine_choice"] == before["engine_choice"]


def test_all_frame_counts_run_on_one_engine(
    flexible_bundle: FlexibleBundle, tmp_path: Path, fastest: list[str], engine: EngineOptions
) -> None:
    assert fastest == ["openvino"]
    bundle = own(flexible_bundle("tsm"), tmp_path / "net")
    data = save_dataset(tmp_path / "data")
    config = run_config(bundle, dataset="folder", data=data, engine=engine, limit=1, frames=(2, 4))

    runs = start_variants(
        config, variants_of(config, bundle), tmp_path / "runs", "", lambda _: nullcontext(lambda _: None), bundle
    )
    records = [content(run.path) for run in runs]
    assert [record["engine"] for record in records] == ["openvino", "openvino"]
    assert {record["engine_choice"]["part"] for record in records} == {"frames_08"}  # all parts are loaded
    assert [record["startup"] is None for record in records] == [False, True]
    assert len(json.loads((bundle.path / FILE).read_bytes())["engines"]) == 1


def test_an_explanation_names_its_engine(
    tiny_bundle: Bundle, tmp_path: Path, fastest: list[str], engine: EngineOptions, said: list[str]
) -> None:
    fastest[0] = "ort"
    network, _ = load_for_explanation(run_config(own(tiny_bundle, tmp_path / "net"), engine=engine), with_dataset=False)
    assert network.engine.name == "ort"
    assert said[-1].startswith("engine auto: ort fp32 (")
