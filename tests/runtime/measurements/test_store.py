"""``measurements.json``: entries by kind and setup, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.measurements.identity import cpu_identity
from vbench.runtime.measurements.spread import wide_spread
from vbench.runtime.measurements.store import FILE, MeasurementStore
from vbench.runtime.telemetry import environment

SETUP = {"engine": "ort", "threads": 2}
OTHER = {"engine": "ort", "threads": 4}


@pytest.fixture
def store(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> MeasurementStore:
    return MeasurementStore(Bundle(tmp_path, tiny_bundle.manifest))


def test_entries_are_kept_by_kind_and_setup(store: MeasurementStore) -> None:
    assert store.get("engines", SETUP) is None
    assert store.put("engines", SETUP, {"times_ms": {"ort fp32": 1}})
    assert store.put("engines", OTHER, {"times_ms": {"ort fp32": 2}})
    assert store.put("audits", SETUP, {"videos": 3})
    times = [(store.get("engines", setup) or {})["times_ms"]["ort fp32"] for setup in (SETUP, OTHER)]
    assert times == [1, 2]
    assert store.get("latencies", SETUP) is None
    assert [entry["measured_on"] for entry in store.entries("engines")] == [SETUP, OTHER]
    assert [entry["videos"] for entry in store.entries("audits")] == [3]
    assert store.put("engines", SETUP, {"times_ms": {"ort fp32": 4}})
    assert len(store.entries("engines")) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"0123456789abcdef": {"times_ms": {"2": 1.5}}}',  # of an earlier version
        '{"schema_version": 3, "engines": {"0123456789abcdef": {"times_ms": {}}}}',
        '{"schema_version": 2, "engines": 5}',
        '{"schema_version": 2, "engines": {"0123456789abcdef": 5}}',
    ],
)
def test_an_unusable_file_counts_as_empty(store: MeasurementStore, content: str) -> None:
    store.file.write_text(content)
    assert store.entries("engines") == []
    assert store.get("engines", SETUP) is None
    assert store.put("engines", SETUP, {"videos": 1})
    assert [entry["videos"] for entry in store.entries("engines")] == [1]
    assert json.loads(store.file.read_bytes())["schema_version"] == 2


def test_a_folder_that_is_not_writable(store: MeasurementStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert not store.put("engines", SETUP, {})
    assert not (store.file.parent / FILE).exists()


def test_the_identity_holds_only_relevant_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"model name": "Some CPU", "flags": "fpu avx512_vnni sse amx_tile"}
    monkeypatch.setattr(environment, "_cpu_entry", lambda name: entries.get(name, ""))
    assert cpu_identity() == {"processor": "Some CPU", "instructions": "amx_tile avx512_vnni"}
    entries = {"Features": "fp asimd bf16"}
    assert cpu_identity()["instructions"] == "asimd bf16"


def test_a_wide_spread_is_described() -> None:
    assert wide_spread([10.0] * 8 + [75.0] * 2) == (
        "took 10.0 ms in half of the repetitions, but up to 75.0 ms in others"
    )
    assert wide_spread([10.0] * 8 + [19.0] * 2) == ""
    assert wide_spread([1.0] * 8 + [2.9] * 2) == ""  # one interruption may last 2 ms
