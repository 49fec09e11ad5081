"""The choice of an engine: which times decide, when they are measured, and which audits permit a precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import vbench
from vbench.errors import UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engine_choice import choose
from vbench.runtime.engine_choice.audits import LEAST_VIDEOS, record_audit
from vbench.runtime.engine_choice.candidates import Candidate
from vbench.runtime.engine_choice.choose import EngineChoice, choose_engine
from vbench.runtime.engines.options import AUTO, EngineOptions
from vbench.runtime.families import family_of
from vbench.runtime.measurements.store import FILE, MeasurementStore
from vbench.runtime.policies.choice import PolicyChoice

pytest.importorskip("openvino")

LOAD = {"date": "2026-01-02T03:04:05+00:00", "load_average": 7.5, "cpus_used": 1.9, "cores": 2}
BF16, INT8 = Candidate("openvino", "bf16"), Candidate("ort", "int8")
TIMES = {"ort fp32": 10.0, "openvino fp32": 8.0, "openvino bf16": 4.0, "ort int8": 3.0, "openvino int8": 3.5}


class Measured:
    """Stands in for `measure`: made-up times, and the calls that asked for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times_ms, self.failed, self.unsteady = dict(TIMES), dict[str, str](), ""
        self.calls: list[tuple[list[str], str, int]] = []
        monkeypatch.setattr(choose, "measure", self._measure)

    def _measure(self, _b: object, _o: object, permitted: list[Candidate], part: str, rows: int) -> dict[str, Any]:
        names = list(map(str, permitted))
        self.calls.append((names, part, rows))
        times = {name: self.times_ms[name] for name in names if name not in self.failed}
        failed = {name: reason for name, reason in self.failed.items() if name in names}
        return {"times_ms": times, "failed": failed, "load": LOAD, "unsteady": self.unsteady}


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    return Measured(monkeypatch)


@pytest.fixture
def bundle(tiny_quantized_bundle: Bundle, tmp_path: Path) -> Bundle:
    """Return a bundle in a folder of its own, without measurements."""
    folder = shutil.copytree(tiny_quantized_bundle.path, tmp_path / "bundle")
    (folder / FILE).unlink(missing_ok=True)
    return Bundle(folder, tiny_quantized_bundle.manifest)


def chosen(bundle: Bundle, **changes: Any) -> EngineChoice:
    options = EngineOptions(**{"engine": AUTO, "say": lambda _: None, **changes})
    named, found = choose_engine(bundle, options, PolicyChoice())
    assert found is not None
    assert (named.engine, named.precision, named.max_flips) == (found.engine, found.precision, None)
    return found


def videos(bundle: Bundle, name: str, choice: PolicyChoice | None = None) -> dict[str, Any]:
    """Return the identity of an audited data set: its name, and the policy of the audit."""
    policy = family_of(bundle.manifest).resolve(bundle.manifest, choice or PolicyChoice()).policy
    return {"name": name, "policy": json.loads(json.dumps(policy.record()))}


def test_named_options_stay_as_they_are(bundle: Bundle, measured: Measured) -> None:
    options = EngineOptions("int8", 3, engine="openvino")
    assert choose_engine(bundle, options, PolicyChoice()) == (options, None)
    assert not measured.calls


def test_the_fastest_is_chosen_and_measured_once(bundle: Bundle, measured: Measured) -> None:
    said: list[str] = []
    found = chosen(bundle, say=said.append)
    assert (found.engine, found.precision) == ("openvino", "fp32")
    assert found.text() == (
        "engine auto: openvino fp32 (backbone of 1 row: ort fp32 10 ms, openvino fp32 8 ms; "
        "measured on 2026-01-02 at 03:04 UTC, load average 7.5 on 2 cores)"
    )
    assert said == ["measuring ort fp32, openvino fp32 (once for this bundle and machine)"]
    assert chosen(bundle) == found
    assert len(measured.calls) == 1
    json.dumps(found.record())


def test_long_times_are_shown_without_an_exponent() -> None:
    times = {"ort fp32": 1234.5, "openvino fp32": 0.12345}
    text = EngineChoice("ort", "fp32", "backbone", 8, times).text()
    assert text == "engine auto: ort fp32 (backbone of 8 rows: ort fp32 1234 ms, openvino fp32 0.123 ms)"


def test_a_small_difference_is_noise(bundle: Bundle, measured: Measured) -> None:
    measured.times_ms["openvino fp32"] = 9.6
    assert chosen(bundle).engine == "ort"
    measured.times_ms["openvino fp32"] = 9.5
    assert chosen(bundle, threads=3).engine == "openvino"


def test_what_the_times_depend_on_is_measured_again(
    bundle: Bundle, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(bundle)
    chosen(bundle, threads=3)
    chosen(bundle, slots=8)
    chosen(bundle, precision="int8")
    identity = {"processor": "Another CPU", "instructions": "amx_tile"}
    monkeypatch.setattr(choose, "cpu_identity", lambda: identity)
    chosen(bundle)
    assert [(names[0], rows) for names, _, rows in measured.calls] == [
        *[("ort fp32", 1)] * 2,
        ("ort fp32", 8),
        ("ort int8", 1),
        ("ort fp32", 1),
    ]
    assert {part for _, part, _ in measured.calls} == {"backbone"}


def test_unsteady_times_are_used_but_measured_again(bundle: Bundle, measured: Measured) -> None:
    measured.unsteady = "ort fp32 took 1.0 ms in half of the repetitions, but up to 9.0 ms in others"
    assert chosen(bundle).text().endswith(f"on 2 cores; unsteady: {measured.unsteady})")
    measured.unsteady = ""
    assert chosen(bundle).unsteady == ""
    chosen(bundle)
    assert len(measured.calls) == 2


@pytest.mark.parametrize(
    "damage",
    [
        {"times_ms": {"ort fp32": 1.0}},
        {"times_ms": {"ort fp32": 1.0, "openvino fp32": float("nan")}},
        {"times_ms": {"ort fp32": 1.0, "openvino fp32": 0}},
        {"times_ms": 5},
        {"times_ms": {}, "failed": {"ort fp32": "", "openvino fp32": ""}},
        {"load": {**LOAD, "date": "yesterday"}},
    ],
)
def test_damaged_times_are_measured_again(bundle: Bundle, measured: Measured, damage: dict[str, Any]) -> None:
    expected = chosen(bundle)
    (entry,) = MeasurementStore(bundle).entries("engines")
    MeasurementStore(bundle).put("engines", entry["measured_on"], {**entry, **damage})
    assert chosen(bundle) == expected
    assert len(measured.calls) == 2


def test_an_engine_that_failed_is_named(bundle: Bundle, measured: Measured) -> None:
    measured.failed = {"openvino fp32": "openvino does not start; reinstall it"}
    found = chosen(bundle)
    assert found.engine == "ort"
    assert found.text().endswith("; not openvino fp32: openvino does not start; reinstall it)")
    assert chosen(bundle) == found


def test_a_single_candidate_is_not_measured(bundle: Bundle, measured: Measured) -> None:
    found = chosen(bundle, precision="bf16")
    assert found.text() == "engine auto: openvino bf16 (no alternative)"
    assert not measured.calls
    assert not (bundle.path / FILE).exists()


def test_a_lower_precision_requires_an_audit(bundle: Bundle) -> None:
    found = chosen(bundle, precision=AUTO)
    assert (found.engine, found.precision) == ("openvino", "fp32")
    command = f"vbench audit {bundle.path} --engine openvino --precision bf16"
    assert found.rejected["openvino bf16"] == f"no audit recorded with this policy: {command}"
    assert f"; not openvino bf16: no audit recorded with this policy: {command}" in found.text()
    assert record_audit(bundle, BF16, videos(bundle, "some"), 0.5, LEAST_VIDEOS)
    found = chosen(bundle, precision=AUTO)
    assert (found.engine, found.precision) == ("openvino", "bf16")
    assert found.rejected.keys() == {"ort int8", "openvino int8"}
    assert record_audit(bundle, INT8, videos(bundle, "some"), 0.9, LEAST_VIDEOS)
    assert chosen(bundle, precision=AUTO).engine == "ort"
    assert chosen(bundle, precision=AUTO, max_flips=0.8).precision == "bf16"
    assert chosen(bundle, precision=AUTO, max_flips=0.0).rejected["ort int8"] == (
        f"changed 0.90 % of {LEAST_VIDEOS} videos, more than 0 %"
    )
    assert chosen(bundle).precision == "fp32"


def test_an_audit_of_another_policy_does_not_count(bundle: Bundle) -> None:
    record_audit(bundle, BF16, videos(bundle, "some", PolicyChoice(first_threshold=0.1)), 0.0, 1000)
    assert chosen(bundle, precision=AUTO).rejected["openvino bf16"].startswith("no audit recorded with this policy")
    record_audit(bundle, BF16, videos(bundle, "some"), 0.0, 1000)
    assert chosen(bundle, precision=AUTO).precision == "bf16"


def test_every_large_audit_must_be_within_the_limit(bundle: Bundle) -> None:
    record_audit(bundle, BF16, videos(bundle, "small"), 0.0, LEAST_VIDEOS - 1)
    assert chosen(bundle, precision=AUTO).rejected["openvino bf16"] == "audited on 299 videos, fewer than 300"
    record_audit(bundle, BF16, videos(bundle, "large"), 0.0, 1000)
    record_audit(bundle, BF16, videos(bundle, "small"), 50.0, LEAST_VIDEOS - 1)
    assert chosen(bundle, precision=AUTO).precision == "bf16"
    record_audit(bundle, BF16, videos(bundle, "another"), 1.5, 400)
    found = chosen(bundle, precision=AUTO)
    assert found.rejected["openvino bf16"] == "changed 1.50 % of 400 videos, more than 1 %"


@pytest.mark.parametrize("other", ["cpu_identity", "versions"])
def test_audits_of_another_machine_do_not_count(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    record_audit(bundle, BF16, videos(bundle, "some"), 0.0, 1000)
    monkeypatch.setattr(f"vbench.runtime.engine_choice.audits.{other}", lambda: {"openvino": "1", "processor": "x"})
    assert chosen(bundle, precision=AUTO).rejected["openvino bf16"].startswith("no audit recorded")


@pytest.mark.parametrize(
    "damage",
    [{"changed_percent": None}, {"changed_percent": -5}, {"videos": "many"}, {"videos": 0}, {"measured_on": 3}],
)
def test_damaged_audits_do_not_count(bundle: Bundle, damage: dict[str, Any]) -> None:
    record_audit(bundle, BF16, videos(bundle, "some"), 0.0, 1000)
    content = json.loads((bundle.path / FILE).read_bytes())
    (key,) = content["audits"]
    content["audits"][key] |= damage
    (bundle.path / FILE).write_text(json.dumps(content))
    assert chosen(bundle, precision=AUTO).rejected["openvino bf16"].startswith("no audit recorded")


def test_a_policy_that_does_not_apply_is_rejected_first(bundle: Bundle, measured: Measured) -> None:
    with pytest.raises(UsageError, match="takes no --frames"):
        choose_engine(bundle, EngineOptions(engine=AUTO), PolicyChoice(frames=(8,)))
    assert not measured.calls


def test_load_chooses_by_default(bundle: Bundle, measured: Measured) -> None:
    assert vbench.load(bundle.path).engine.name == "openvino"
    measured.times_ms["ort fp32"] = 1.0
    assert vbench.load(bundle.path, threads=3).engine.name == "ort"
    with pytest.raises(UsageError, match="--max-flips applies only to --precision auto"):
        vbench.load(bundle.path, max_flips=1)
