"""NVIDIA's own parser and builder, of TensorRT-RTX, on every kind of graph that vbench exports; they need no GPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from tests import full_size, x3d
from tests.bundle_cache import cached_export
from tests.conftest import FlexibleBundle
from tests.marks import slow_except
from tests.networks import noise_clips, save_checkpoint
from tests.trt_runs import copied, one_line
from vbench.cli.main import main
from vbench.errors import BundleError, MissingError, UsageError
from vbench.export.exporter import Calibration, ExportOptions
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions
from vbench.runtime.engines.trt.ahead import build_plans_ahead
from vbench.runtime.engines.trt.build import BuildJob, BuiltPlan, build_plan
from vbench.runtime.engines.trt.flavor import TENSORRT_RTX, capability_names, parse_capabilities
from vbench.runtime.engines.trt.plan_source import PartPlan
from vbench.runtime.engines.trt.setup import plan_setup

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (docs/testing.md says how)")

FAMILIES = ("tsm", "tea", "slowfast", "uniformer")
SMALL = [(family, layout) for family in FAMILIES for layout in ("folded", "shared")]
FAST = [("tsm", "folded"), ("tsm", "shared"), ("slowfast", "folded"), ("uniformer", "folded")]
PRECISIONS = {"fp32": "fp32", "tf32": "fp32", "fp16": "fp16", "int8": "int8", "int8-trt": "int8"}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's key out of the tests."""
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def bundle(tiny_quantized_bundle: Bundle[Any], tmp_path: Path) -> Bundle[Any]:
    return copied(tiny_quantized_bundle, tmp_path / "tiny")


def build(bundle: Bundle[Any], *capabilities: str, **options: Any) -> list[PartPlan]:
    chosen = EngineOptions(**{"engine": "trt-rtx", "say": lambda _: None, **options})
    return build_plans_ahead(bundle, chosen, capabilities or ("89",))


def build_file(path: Path, sm: str = "89", rows: int = 4) -> BuiltPlan:
    return build_plan(TENSORRT_RTX, trt, BuildJob("part", path, "fp32", rows, sm, None, lambda _: None))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


class TestGraphs:
    """Every graph is parsed, has the manifest's tensors, asks for the requested precision, and is built."""

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_frameexit(self, bundle: Bundle[Any], precision: str) -> None:
        plans = {plan.part: plan.plan for plan in build(bundle, precision=precision)}
        assert set(plans) == set(bundle.manifest.parts) - {"preprocess"}
        assert plans["backbone"].layers == {PRECISIONS[precision]: 13}
        assert all(set(plan.layers) <= {"fp32"} for part, plan in plans.items() if part != "backbone")

    @pytest.mark.parametrize(("family", "layout"), slow_except(FAST, SMALL))
    def test_frame_counts(self, flexible_bundle: FlexibleBundle, tmp_path: Path, family: str, layout: str) -> None:
        bundle = copied(flexible_bundle(family, layout), tmp_path / family)
        plans = build(bundle, slots=2)
        assert [plan.part for plan in plans] == [f"frames_{count:02d}" for count in bundle.manifest.frame_counts]
        assert all(set(plan.plan.layers) == {"fp32"} for plan in plans)

    @pytest.mark.parametrize("family", slow_except(["tsm"], FAMILIES))
    def test_frame_counts_in_other_precisions(
        self, flexible_checkpoint: Callable[[str], Path], tmp_path: Path, family: str
    ) -> None:
        options = ExportOptions(input_size=64, frames=(4,), precisions=("fp16", "int8-trt"))
        calibration = Calibration("noise", noise_clips)
        bundle = cached_export(flexible_checkpoint(family), tmp_path / family, options, calibration)
        for precision in options.precisions:
            (plan,) = build(bundle, precision=precision, slots=2)
            assert PRECISIONS[precision] in plan.plan.layers
            assert set(plan.plan.layers) <= {"fp32", PRECISIONS[precision]}

    @pytest.mark.parametrize("kind", ["frameexit", "static"])
    def test_x3d(self, kind: str, tmp_path: Path) -> None:
        with x3d.shallow():
            path = tmp_path / f"{kind}.pth"
            if kind == "frameexit":
                save_checkpoint(x3d.narrow_frameexit(), path)
            else:
                torch.save({"model_state": x3d.narrow().state_dict()}, path)
            bundle = cached_export(path, tmp_path / kind, ExportOptions(input_size=x3d.SIZE))
            assert {plan.part for plan in build(bundle)} == set(bundle.manifest.parts) - {"preprocess"}

    def test_every_compute_capability(self, bundle: Bundle[Any]) -> None:
        names = capability_names(trt)
        assert names == ("80", "86", "89", "120", "121")
        plans = build(bundle, *names, parts=frozenset(["backbone", "gates", "classifiers"]))
        assert [plan.plan.record["compute_capability"] for plan in plans] == [sm for sm in names for _ in range(3)]

    def test_one_row_and_many(self, bundle: Bundle[Any]) -> None:
        for rows in (1, 64):
            assert build_file(bundle.part_file("backbone", "fp32"), rows=rows).plan


@pytest.mark.slow
@pytest.mark.parametrize("network", full_size.NETWORKS, ids=str)
def test_full_size(network: full_size.FullSize, tmp_path: Path) -> None:
    bundle = network.export(tmp_path)
    for precision in bundle.manifest.precisions:
        for plan in build(bundle, precision=precision, slots=network.slots):
            layers = plan.plan.layers
            assert set(layers) <= {"fp32", PRECISIONS[precision]}, (plan.part, layers)
        shutil.rmtree(bundle.path / "plans")


class TestRejected:
    """Graphs that TensorRT cannot run are rejected with one line, and by design never reach it."""

    def test_preprocessing(self, bundle: Bundle[Any]) -> None:
        path = bundle.part_file("preprocess", "fp32")
        one_line(lambda: build_file(path), BundleError, "TensorRT-RTX cannot load", "preprocess.onnx", "UINT8")

    def test_eight_bits_for_cpus(self, bundle: Bundle[Any]) -> None:
        path = bundle.part_file("backbone", "int8")
        one_line(lambda: build_file(path), BundleError, "TensorRT-RTX cannot load", "zero point")

    def test_unknown_operator(self, bundle: Bundle[Any], tmp_path: Path) -> None:
        model = onnx.load(bundle.part_file("gates", "fp32", "gpu"))
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "NoSuchOperator"
        onnx.save(model, tmp_path / "gate.onnx")
        one_line(lambda: build_file(tmp_path / "gate.onnx"), BundleError, "cannot load", "NoSuchOperator")

    @pytest.mark.parametrize("content", [b"", b"not a model"])
    def test_no_model(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "x.onnx").write_bytes(content)
        one_line(lambda: build_file(tmp_path / "x.onnx"), BundleError, "x.onnx")

    def test_dynamic_axes(self, bundle: Bundle[Any], tmp_path: Path) -> None:
        model = onnx.load(bundle.part_file("gates", "fp32", "gpu"))
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
        onnx.save(model, tmp_path / "gate.onnx")
        one_line(lambda: build_file(tmp_path / "gate.onnx"), BundleError, "dynamic axes other than the first")

    def test_missing_weights(self, flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
        shutil.copy(flexible_bundle("tsm", "shared").part_file("frames_02", "fp32"), tmp_path / "x.onnx")
        one_line(lambda: build_file(tmp_path / "x.onnx"), BundleError, "x.onnx")

    def test_nothing_is_printed(self, bundle: Bundle[Any], capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(BundleError):
            build_file(bundle.part_file("preprocess", "fp32"))
        assert capfd.readouterr() == ("", "")


class TestCapabilities:
    def test_parse(self) -> None:
        assert parse_capabilities("sm_89") == ("89",)
        assert parse_capabilities("SM89, 12.0,sm_86,89") == ("89", "120", "86")
        for text in ("", "ada", "sm_8", "sm_89,", "rtx4090", "8.9.0"):
            one_line(lambda text=text: parse_capabilities(text), UsageError, "sm_89")  # type: ignore[misc]

    def test_turing(self, bundle: Bundle[Any]) -> None:
        one_line(lambda: build(bundle, "89", "75"), MissingError, "sm_75", "float32 matrix products", "sm_80")
        assert not (bundle.path / "plans").exists(), "all capabilities are checked before the first build"

    def test_turing_is_still_rejected_by_the_builder(self, bundle: Bundle[Any]) -> None:
        """Otherwise, vbench could support it."""
        path = bundle.part_file("gates", "fp32", "gpu")
        one_line(lambda: build_file(path, "75"), BundleError, "TensorRT-RTX", "cannot build a plan")

    @pytest.mark.parametrize("sm", ["90", "100", "70"])
    def test_unsupported(self, bundle: Bundle[Any], sm: str) -> None:
        one_line(lambda: build(bundle, sm), MissingError, f"does not support sm_{sm};", "sm_80, sm_86, sm_89")

    def test_tensorrt_builds_only_here(self, bundle: Bundle[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        from vbench.runtime.engines.trt import setup

        monkeypatch.setattr(setup, "default_flavor", lambda _: replace(TENSORRT_RTX, builds_ahead=False))
        one_line(lambda: build(bundle, engine="trt"), UsageError, "--for-gpu requires TensorRT-RTX", "--engine trt-rtx")


def build_many_times(path: Path) -> None:
    for _ in range(1000):
        build_file(path)


def test_a_signal_cancels_a_build(bundle: Bundle[Any]) -> None:
    """Its handler runs in a callback from C++, where an exception would be lost."""

    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    previous = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        with pytest.raises(StoppedError):
            build_many_times(bundle.part_file("backbone", "fp32"))
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, previous)


def test_an_empty_folder_has_no_plans(bundle: Bundle[Any]) -> None:
    """A build that failed leaves one."""
    build(bundle, slots=8, parts=frozenset(["gates"]))
    cache = plan_setup(bundle, EngineOptions(say=lambda _: None, slots=4), "trt-rtx").plans("89")
    cache.folder.mkdir()
    assert cache.or_larger().slots == 8


class TestCommands:
    def test_build(
        self, bundle: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ("build", bundle.path, "--engine", "trt-rtx", "--for-gpu", "sm_86,sm_89", "--slots", "4")
        for state in ("built", "cached"):
            assert run(monkeypatch, *arguments) == 0
            lines = [line.split() for line in capsys.readouterr().out.splitlines()]
            assert lines[0] == ["part", "GPU", "matrix", "and", "convolution", "layers", "seconds", "MB"]
            assert len(lines) == 1 + 2 * (len(bundle.manifest.parts) - 1)
            assert lines[1][:5] == ["backbone", "sm_86", "fp32:", "13", state]
        assert run(monkeypatch, *arguments, "--json") == 0
        plans = json.loads(capsys.readouterr().out)["plans"]
        assert {plan["record"]["flavor"] for plan in plans} == {"trt-rtx"}
        assert {plan["record"]["tensorrt"] for plan in plans} == {trt.__version__}
        assert {plan["record"]["gpu"] for plan in plans} == {None}

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("--engine", "trt-rtx"), 3, "name it with --for-gpu"),
            (("--engine", "ort", "--for-gpu", "sm_89"), 2, "does not require a build"),
            (("--engine", "trt-rtx", "--for-gpu", "ada"), 2, "is not a compute capability"),
            (("--engine", "trt-rtx", "--for-gpu", "sm_90"), 3, "does not support sm_90"),
            (("--engine", "trt-rtx", "--for-gpu", "sm_89", "--device", "cuda:1"), 2, "cannot be combined"),
            (("--engine", "trt-rtx", "--for-gpu", "sm_89", "--slots", "0"), 2, "--slots"),
            (("--engine", "trt-rtx", "--for-gpu", "sm_89", "--slots", "2147483648"), 2, "at most 65536 work"),
        ],
    )
    def test_mistakes(
        self,
        bundle: Bundle[Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: tuple[str, ...],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, "pycuda", None)
        assert run(monkeypatch, "build", bundle.path, *arguments) == code
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line

    def test_trt_uses_what_is_installed(
        self, bundle: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        assert run(monkeypatch, "build", bundle.path, "--for-gpu", "sm_89", "--slots", "1") == 0
        assert f"TensorRT is not installed: using TensorRT-RTX {trt.__version__}" in capsys.readouterr().err


class TestTrust:
    """A plan built by someone else is loaded only after it was shown and confirmed."""

    @pytest.fixture
    def foreign(self, bundle: Bundle[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bundle[Any]]:
        build(bundle, parts=frozenset(["gates", "classifiers"]))
        monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "another"))
        return bundle

    def plans(self, bundle: Bundle[Any]) -> list[Path]:
        return sorted((bundle.path / "plans").glob("*/*.plan"))

    def rebuilt(self, bundle: Bundle[Any]) -> list[bool]:
        return [plan.built for plan in build(bundle, parts=frozenset(["gates", "classifiers"]))]

    def test_not_trusted(self, foreign: Bundle[Any]) -> None:
        lines: list[str] = []
        build(foreign, parts=frozenset(["gates"]), say=lines.append)
        assert "its signature is invalid); to accept such plans, run vbench trust" in lines[0]
        assert lines[1].startswith("building the TensorRT-RTX plan of gates")

    def test_trusted(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in self.plans(foreign):  # as after a copy with a permissive umask
            path.chmod(0o664)
            path.parent.chmod(0o775)
        before = [path.read_bytes() for path in self.plans(foreign)]
        assert run(monkeypatch, "trust", foreign.path, "--yes") == 0
        said = capsys.readouterr()
        assert "gates of " in said.out
        assert f"TensorRT-RTX {trt.__version__} for sm_89, fp32" in said.out
        assert "trusted 2 plans" in said.err
        assert [path.read_bytes() for path in self.plans(foreign)] == before
        assert self.rebuilt(foreign) == [False, False]
        assert run(monkeypatch, "trust", foreign.path, "--yes") == 0
        assert "all plans were already trusted" in capsys.readouterr().err

    def test_asks(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plan = self.plans(foreign)[0]
        assert run(monkeypatch, "trust", plan) == 2
        assert "stdin is not a terminal; pass --yes" in capsys.readouterr().err
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
        assert run(monkeypatch, "trust", plan) == 4
        assert self.rebuilt(foreign) == [True, True]

    def test_only_the_named_plan(self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        assert run(monkeypatch, "trust", self.plans(foreign)[0], "-y") == 0
        assert self.rebuilt(foreign) == [True, False], "the gates, then the classifiers"

    def test_json(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "trust", foreign.path, "--yes", "--json") == 0
        plans = json.loads(capsys.readouterr().out)["plans"]
        assert [plan["record"]["part"] for plan in plans] == ["classifiers", "gates"]
        assert [plan["already_trusted"] for plan in plans] == [False, False]
        assert [plan["trusted"] for plan in plans] == [True, True]

    def test_json_without_confirmation_only_lists(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "trust", foreign.path, "--json") == 0
        assert [plan["trusted"] for plan in json.loads(capsys.readouterr().out)["plans"]] == [False, False]
        assert self.rebuilt(foreign) == [True, True]

    def test_paths(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plan = self.plans(foreign)[0]
        monkeypatch.chdir(plan.parent)
        assert run(monkeypatch, "trust", plan.name, plan, ".", "--yes") == 0
        assert "trusted 2 plans" in capsys.readouterr().err

    def test_closed_stdin(
        self, foreign: Bundle[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert run(monkeypatch, "trust", foreign.path) == 2
        assert "stdin is not a terminal" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda plan: plan.write_bytes(plan.read_bytes()[:-1] + b"?"), "is not the file that"),
            (lambda plan: plan.write_bytes(plan.read_bytes() + b"?"), "has been altered"),
            (lambda plan: record(plan).write_text("{"), "is not the record of a plan"),
            (lambda plan: record(plan).write_text("[]"), "is not the record of a plan"),
            (lambda plan: changed(plan, profile="x"), "is not the record of a plan"),
            (lambda plan: changed(plan, part=3), "is not the record of a plan"),
            (lambda plan: changed(plan, flavor="tvm"), "built by another version of vbench"),
            (lambda plan: changed(plan, tensorrt="1.6.0"), "but version 1.7.1.116 is installed, which cannot load it"),
            (lambda plan: changed(plan, layers="x"), "is not the record of a plan"),
            (lambda plan: changed(plan, layers={"fp32": -1}), "is not the record of a plan"),
            (lambda plan: changed(plan, network="x" * 1000), "is not the record of a plan"),
            (lambda plan: record(plan).write_bytes(b" " * (2 << 20)), "has been altered"),
            (lambda plan: os.truncate(plan, 1 << 42), "has been altered"),
            (lambda plan: changed(plan, schema=99), "its schema is not the expected one"),
            (lambda plan: changed(plan, onnx_sha256="0" * 64), "its onnx sha256 is not the expected one"),
            (lambda plan: changed(plan, part="gates"), "its onnx sha256 is not the expected one"),
            (lambda plan: changed(plan, part="gates_99"), "the bundle has no part gates_99 in fp32"),
            (lambda plan: changed(plan, compute_capability="75"), "does not have the expected name"),
            (lambda plan: changed(plan, profile=[1, 5, 7]), "its profile is not the expected one"),
            (lambda plan: record(plan).unlink(), "cannot be read"),
            (lambda plan: (record(plan).unlink(), record(plan).mkdir()), "is a link, or not a file"),
            (
                lambda plan: (plan.rename(plan.with_suffix(".x")), plan.symlink_to(plan.with_suffix(".x"))),
                "it is a link",
            ),
            (lambda plan: link_folder(plan.parent), "is a link, or not a folder"),
            (lambda plan: link_folder(plan.parent.parent), "is a link, or not a folder"),
            (lambda plan: (plan.parents[2] / "manifest.json").unlink(), "is not in a bundle"),
        ],
    )
    def test_mistakes(
        self,
        foreign: Bundle[Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        spoil: Callable[[Path], object],
        said: str,
    ) -> None:
        plan = self.plans(foreign)[0]
        spoil(plan)
        assert run(monkeypatch, "trust", plan, "--yes") == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line

    @pytest.mark.parametrize("place", ["nowhere", "empty", "x.onnx", "x.plan"])
    def test_no_plan(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "x.onnx").touch()
        (tmp_path / "x.plan").touch()
        assert run(monkeypatch, "trust", tmp_path / place, "--yes") == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1

    def test_changed_after_it_was_shown(self, foreign: Bundle[Any]) -> None:
        from vbench.runtime.engines.trt import trust

        engine = trust.read_foreign(self.plans(foreign)[0])
        engine.path.write_bytes(b"something else")
        one_line(lambda: trust.trust(engine), UsageError, "has changed since it was shown")
        assert self.rebuilt(foreign) == [True, True]


def link_file(path: Path) -> None:
    path.rename(path.with_suffix(".x"))
    path.symlink_to(path.with_suffix(".x"))


def link_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def record(plan: Path) -> Path:
    return plan.with_name(plan.name + ".json")


def changed(plan: Path, **values: object) -> None:
    record(plan).write_text(json.dumps({**json.loads(record(plan).read_text()), **values}))
