"""Plans of the engine trt: built once, signed, and rebuilt if untrusted."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import install
from tests.trt_runs import bundle, flavor, machine, one_line, plan_files, said
from vbench.errors import UsageError
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.trt.load import build_plans

__all__ = ["bundle", "flavor", "machine"]  # fixtures


@pytest.mark.usefixtures("machine")
class TestPlans:
    def test_built_once(self, machine: Any, bundle: Bundle) -> None:
        assert len(said(bundle)) == 2 * (len(bundle.manifest.parts) - 1)
        builds = machine.counters.builds
        assert said(bundle) == []
        assert machine.counters.builds == builds
        assert len(plan_files(bundle)) == builds
        said(bundle, slots=33)
        assert machine.counters.builds == 2 * builds, "plans are for a number of slots"

    def test_record(self, machine: Any, bundle: Bundle, tmp_path: Path, flavor: str) -> None:
        said(bundle)
        for path in plan_files(bundle):
            record = json.loads(path.with_name(path.name + ".json").read_text())
            assert record["gpu"] == (None if flavor == "rtx" else machine.gpu)
            assert record["flavor"] == ("trt-rtx" if flavor == "rtx" else "trt")
            assert record["compute_capability"] == "".join(map(str, machine.sm))
            assert record["size_bytes"] == path.stat().st_size
            assert record["profile"] == [1, 32, 32]
            assert len(record["sha256"]) == len(record["hmac_sha256"]) == 64
            assert record["driver"] == "13.0"
            for file in (path, path.with_name(path.name + ".json")):
                assert file.stat().st_mode & 0o777 == 0o600
        (key,) = (tmp_path / "home").iterdir()
        assert (key.name, key.stat().st_mode & 0o777) == ("plans.key", 0o600)

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            (lambda plan, _: plan.write_bytes(plan.read_bytes()[:-1] + b"?"), "altered"),
            (lambda plan, _: plan.write_bytes(plan.read_bytes()[:-1]), "altered"),
            (lambda plan, _: plan.unlink(), "cannot be read"),
            (lambda plan, _: plan.chmod(0o620), "writable by other users"),
            (lambda plan, _: plan.parent.chmod(0o777), "writable by other users"),
            (lambda plan, _: plan.parent.parent.chmod(0o777), "writable by other users"),
            (lambda _, record: record.chmod(0o602), "writable by other users"),
            (lambda _, record: record.unlink(), "is missing"),
            (lambda _, record: record.write_text("{"), "no readable record"),
            (lambda _, record: record.write_text("[]"), "no readable record"),
            (lambda _, record: changed(record, driver="1.0"), "signature is invalid"),
            (lambda _, record: changed(record, hmac_sha256="0" * 64), "signature is invalid"),
            (lambda _, record: changed(record, hmac_sha256=None), "signature is invalid"),
            (lambda plan, _: linked(plan), "cannot be read"),
            (lambda plan, record: renamed(plan, record), "has a different part"),
        ],
    )
    def test_untrusted(self, machine: Any, bundle: Bundle, spoil: Callable[[Path, Path], object], why: str) -> None:
        said(bundle)
        builds, plan = machine.counters.builds, next(p for p in plan_files(bundle) if p.name.startswith("gates"))
        good = plan.read_bytes()
        spoil(plan, plan.with_name(plan.name + ".json"))
        lines = said(bundle)
        assert any(why in line for line in lines), lines
        assert 1 <= machine.counters.builds - builds <= len(plan_files(bundle))
        assert plan.read_bytes() == good
        assert not plan.is_symlink()
        assert said(bundle) == []

    @pytest.mark.parametrize("where", ["plan", "folder"])
    def test_of_another_user(self, bundle: Bundle, where: str) -> None:
        said(bundle)
        user = os.getuid()
        spoiled = plan_files(bundle)[0] if where == "plan" else bundle.path / "plans"
        if user == 0:
            os.chown(spoiled, 1234, -1)
        else:
            pytest.skip("only root can change the owner of a file")
        if where == "plan":
            assert any("belongs to another user" in line for line in said(bundle))
        else:  # the owner of a folder can add files to it at any time
            one_line(lambda: said(bundle), UsageError, f"{spoiled} belongs to another user")

    def test_of_another_key(
        self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        said(bundle)
        builds = machine.counters.builds
        monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "another"))
        assert any("not built by this user" in line for line in said(bundle))
        assert machine.counters.builds == 2 * builds

    def test_of_another_place(self, machine: Any, bundle: Bundle, flavor: str) -> None:
        """A valid plan, but of another part or another GPU (for TensorRT-RTX, of another compute capability)."""
        said(bundle)
        plans = {path.name.partition("-")[0]: path for path in plan_files(bundle)}
        for suffix in ("", ".json"):
            shutil.copy(f"{plans['gates']}{suffix}", f"{plans['classifiers']}{suffix}")
        assert any("has a different part" in line for line in said(bundle))
        gpu, sm = machine.gpu, machine.sm
        machine.gpu, machine.sm = "NVIDIA Another", (12, 0)
        builds = machine.counters.builds
        said(bundle)
        assert machine.counters.builds == builds + len(plans), "every GPU has its own plans"
        first = plans["gates"].parent
        (another,) = set((bundle.path / "plans").iterdir()) - {first}
        shutil.rmtree(first)
        another.rename(first)
        machine.gpu, machine.sm = gpu, sm
        what = "compute capability" if flavor == "rtx" else "gpu"
        assert any(f"has a different {what}" in line for line in said(bundle))

    def test_of_another_release(self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        said(bundle)
        other = install(monkeypatch, "10", version="10.9.0.34")
        said(bundle)
        assert other.counters.builds == machine.counters.builds
        assert len(list((bundle.path / "plans").iterdir())) == 2

    def test_key_readable_by_others(self, bundle: Bundle, tmp_path: Path) -> None:
        said(bundle)
        (tmp_path / "home" / "plans.key").chmod(0o644)
        one_line(lambda: said(bundle), UsageError, "plans.key")

    def test_concurrent_builds(self, bundle: Bundle) -> None:
        context = multiprocessing.get_context("fork")
        results = context.Queue()

        def build() -> None:
            plans = list(build_plans(bundle, EngineOptions(say=lambda _: None)))
            results.put([plan.built for plan in plans])

        processes = [context.Process(target=build) for _ in range(2)]
        for process in processes:
            process.start()
        one, other = (results.get(timeout=120) for _ in processes)
        for process in processes:
            process.join()
        assert all(first != second for first, second in zip(one, other)), "each plan is built once"

    def test_force(self, bundle: Bundle) -> None:
        said(bundle)
        assert [plan.built for plan in build_plans(bundle, EngineOptions())] == [False] * len(plan_files(bundle))
        forced = list(build_plans(bundle, EngineOptions(say=lambda _: None), force=True))
        assert all(plan.built for plan in forced)


def changed(record: Path, **values: object) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), **values}))


def renamed(plan: Path, record: Path) -> None:
    """Replace a plan by another one, which is signed as well."""
    other = next(plan.parent.glob("classifiers-*.plan"))
    shutil.copy(other, plan)
    shutil.copy(other.with_name(other.name + ".json"), record)


def linked(plan: Path) -> None:
    elsewhere = plan.with_suffix(".elsewhere")
    plan.rename(elsewhere)
    plan.symlink_to(elsewhere)


@pytest.mark.usefixtures("machine")
def test_plans_for_more_rows_are_used(machine: Any, bundle: Bundle) -> None:
    """Plans for more slots are used, unless there are plans for the requested number."""
    load_engine("trt", bundle, EngineOptions(slots=6))
    load_engine("trt", bundle, EngineOptions(slots=8))
    assert {path.parent.name.rpartition("-")[2] for path in plan_files(bundle)} == {"6", "8"}
    builds = machine.counters.builds
    notes = said(bundle, slots=2)
    assert machine.counters.builds == builds
    assert notes == ["using the plans for batches of up to 6; vbench build --slots 2 builds plans for 2"]


@pytest.mark.usefixtures("machine")
def test_open_after_copy(bundle: Bundle) -> None:
    """Plans in the bundle's folder do not invalidate its manifest."""
    said(bundle)
    open_bundle(bundle.path).check_files()
