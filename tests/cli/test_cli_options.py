"""Command-line options generated from their declarations, with the values of their registries."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from tests.configs import run_config
from tests.in_process import Vbench, in_process
from vbench.bench.datasets import DATASETS, Dataset, GeneratedDataset, Video, load_dataset
from vbench.bench.datasets.options import DataOptions
from vbench.bench.run.run import start_run
from vbench.cli import audit, build, explain, export, package, run, sweep, tune
from vbench.cli.app import app
from vbench.cli.common.options import Changed, Command, Options, takes
from vbench.errors import UsageError
from vbench.option_fields import declared_options, flag_of, option
from vbench.registry import Registry
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.options import ENGINES, EngineOptions
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.video.source import ArrayFrames

COMMANDS = {
    "run": run.run,
    "explain": explain.explain,
    "audit": audit.audit,
    "build": build.build,
    "export": export.export,
    "package": package.package,
    "sweep": sweep.sweep,
    "tune": tune.tune,
}
# Required arguments; a wrong option value is reported before they are read.
ARGUMENTS = {"explain": ("video",), "export": ("file",), "package": ("bundle",), "sweep": ("run",), "tune": ("run",)}
REFUSED_LATER = {("sweep", "policies"), ("tune", "policies")}  # which policies apply depends on the run


@functools.cache
def flags(command: str) -> dict[str, str]:
    """Return the flags of a command in typer, by parameter."""
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {each.name: flag for each in parameters for flag in each.opts if flag.startswith("--")}


def with_values() -> Iterator[tuple[str, str]]:
    for command, function in COMMANDS.items():
        for name, values in function.option_values.items():  # type: ignore[attr-defined]
            if values is not None:
                yield command, name


WITH_VALUES = list(with_values())


def values_of(command: str, name: str) -> tuple[str, ...]:
    return tuple(COMMANDS[command].option_values[name]())  # type: ignore[attr-defined]


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vbench:
    monkeypatch.setenv("COLUMNS", "500")
    return in_process(monkeypatch, capsys)


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, vbench: Vbench) -> Any:
    def words(*args: str) -> list[str]:
        monkeypatch.setenv("_VBENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(("vbench", *args)))
        monkeypatch.setenv("COMP_CWORD", str(len(args)))
        return vbench().out.split()

    return words


def test_options_with_values() -> None:
    assert {("run", name) for name in ("engine", "provider", "dataset", "schedule", "sync", "mode")} <= {*WITH_VALUES}
    assert {("audit", "engine"), ("audit", "against_engine"), ("audit", "dataset")} <= {*WITH_VALUES}
    assert {("explain", "engine"), ("explain", "dataset"), ("export", "calibrate")} <= {*WITH_VALUES}
    assert values_of("audit", "engine") == ENGINES.names == ("ort", "openvino", "torch", "trt", "trt-rtx")
    assert values_of("run", "engine") == values_of("explain", "engine") == ("auto", *ENGINES.names)
    assert values_of("export", "dataset") == values_of("run", "dataset") == DATASETS.names
    assert {"gates", "searched", "oracle", "cascade", "fixed"} <= {*values_of("sweep", "policies")}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_values(command: str, vbench: Vbench) -> None:
    shown = vbench(command, "--help").out.splitlines()
    for name in (name for owner, name in WITH_VALUES if owner == command):
        (line,) = (line for line in shown if line.startswith(f"│ {flags(command)[name]} "))
        assert f"One of: {', '.join(values_of(command, name))}." in line


@pytest.mark.parametrize(("command", "name"), WITH_VALUES)
def test_completion_lists_the_values(command: str, name: str, complete: Any) -> None:
    values = values_of(command, name)
    assert complete(command, flags(command)[name], "") == list(values)
    assert complete(command, flags(command)[name], values[0][:2]) == [
        value for value in values if value.startswith(values[0][:2])
    ]


def test_completion_of_several_values(complete: Any) -> None:
    assert complete("sweep", "--policies", "fixed,or") == ["fixed,oracle"]


@pytest.mark.parametrize(("command", "name"), [each for each in WITH_VALUES if each not in REFUSED_LATER])
def test_errors_list_the_values(command: str, name: str, vbench: Vbench) -> None:
    ended = vbench(command, *ARGUMENTS.get(command, ()), flags(command)[name], "abacus")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "'abacus'; choose one of " + ", ".join(values_of(command, name)) in ended.err


def test_a_registered_member_is_listed(vbench: Vbench, complete: Any, toy_dataset: str) -> None:
    assert toy_dataset in vbench("audit", "--help").out
    assert f", {toy_dataset}\n" in vbench("run", "x", "--dataset", "abacus").err
    assert complete("explain", "video", "--dataset", "to") == [toy_dataset]


@pytest.mark.parametrize("command", ["run", "explain", "audit"])
def test_engine_options_are_the_same_everywhere(command: str) -> None:
    offered = flags(command)
    # An audit takes no --precision auto, and an explanation is of one video.
    not_offered = {"audit": {"max_flips"}, "explain": {"replicas"}}.get(command, set())
    expected = {name: flag_of(name, info) for name, info in fields_of(EngineOptions) if name not in not_offered}
    assert expected.items() <= offered.items()
    assert offered["graphs"] == "--graphs"


def fields_of(options: type) -> Iterator[tuple[str, Any]]:
    return ((each.name, info) for each, info in declared_options(options))


def test_a_command_takes_all_declared_options() -> None:
    offered = flags("run")
    for options in (EngineOptions, DataOptions, StreamOptions, PolicyChoice):
        assert {name: flag_of(name, info) for name, info in fields_of(options)}.items() <= offered.items()


@dataclass(frozen=True)
class MoreOptions(EngineOptions):
    """Engine options with two more fields."""

    gear: str = option("Gear.", default="low", values=lambda: ("low", "high"), deprecated={"first": "low"})
    cogs: tuple[int, ...] | None = option("Cogs.", default=None)


def test_an_engine_option_is_one_field(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One declaration suffices: every command that takes the object offers the option, and the record contains it."""
    taken: list[EngineOptions] = []

    @takes(engine=MoreOptions, other=Options(MoreOptions, "other", only=("gear",), changed={"gear": Changed("high")}))
    def run_it(*, engine: MoreOptions, other: MoreOptions) -> None:
        taken.extend((engine, other))

    monkeypatch.setenv("COLUMNS", "200")
    toy = typer.Typer(pretty_exceptions_enable=False)
    toy.command(cls=Command)(run_it)
    toy(["--gear", "high", "--cogs", "1,2", "--threads", "2", "--engine", "torch"], standalone_mode=False)
    engine, other = taken
    assert engine == MoreOptions(threads=2, engine="torch", gear="high", cogs=(1, 2))
    assert other == MoreOptions(gear="high")
    assert engine.record() == {**EngineOptions(threads=2, engine="torch").record(), "gear": "high", "cogs": (1, 2)}
    toy(["--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "Gear. One of: low, high. [default: low]" in shown
    assert "Gear. One of: low, high. [default: high]" in shown
    for args, words in (
        (["--gear", "top"], "unknown gear 'top'; choose one of low, high"),
        (["--cogs", "1,x"], "--cogs 1,x is not an integer"),
    ):
        with pytest.raises(UsageError, match=words):
            toy(args, standalone_mode=False)
    toy(["--gear", "first"], standalone_mode=False)
    assert taken[-2] == MoreOptions()
    assert capsys.readouterr().err == "--gear first is deprecated: use --gear low\n"


def test_a_deprecated_value_is_accepted_with_a_warning(vbench: Vbench, tmp_path: Path) -> None:
    ended = vbench("run", tmp_path / "none", "--sync", "late")
    assert ended.code == 2
    warning, error = ended.err.splitlines()
    assert warning == "--sync late is deprecated: use --sync speculative"
    assert "there is no bundle at" in error
    assert "late" not in vbench("run", "--help").out.partition("--sync")[2].splitlines()[0]


def test_defaults_of_the_command_line(monkeypatch: pytest.MonkeyPatch, vbench: Vbench, tmp_path: Path) -> None:
    """Only the command line chooses an engine and prefetches one frame by default."""
    seen = {}
    monkeypatch.setattr("vbench.cli.run._start", lambda config, *_: seen.update(config=config))
    assert vbench("run", tmp_path).code == 0
    assert seen["config"].stream == StreamOptions(prefetch=1)
    assert seen["config"] == run_config(tmp_path, stream=StreamOptions(prefetch=1), engine=EngineOptions(engine="auto"))
    assert vbench("run", tmp_path, "--mode", "throughput", "--gate-threshold", "0.5,0.4", "--no-graphs").code == 0
    assert (seen["config"].stream.schedule, seen["config"].stream.slots) == ("inflight", 8)
    assert seen["config"].policy == PolicyChoice(gate_thresholds=(0.5, 0.4))
    assert seen["config"].engine == EngineOptions(engine="auto", graphs=False)


@pytest.fixture
def toy_dataset(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register a data set for one test: four videos of noise, five classes."""

    def make() -> Dataset:
        frames = np.random.default_rng(0).integers(0, 256, (4, 12, 40, 50, 3), np.uint8)
        videos = tuple(Video(f"noise_{n}", (n,), lambda n=n: ArrayFrames(frames[n])) for n in range(4))  # type: ignore[misc]
        return Dataset("toy", ("a", "b", "c", "d", "e"), videos, (), "top1", first_threshold=0.25)

    assert isinstance(DATASETS, Registry)
    monkeypatch.setattr(DATASETS, "_builtin", dict(DATASETS._builtin))
    monkeypatch.setattr(DATASETS, "_loaded", dict(DATASETS._loaded))
    DATASETS.register("toy", GeneratedDataset(make, first_threshold=0.25))
    return "toy"


def test_a_registered_data_set_runs(toy_dataset: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert [video.key for video in load_dataset(toy_dataset).videos] == [f"noise_{n}" for n in range(4)]
    result = start_run(run_config(tiny_bundle, dataset=toy_dataset), tmp_path / "run", "")
    assert (result.metrics["videos"], result.metrics["errors"]) == (4, 0)
    recorded = json.loads((result.path / "run.json").read_text(encoding="utf-8"))
    assert recorded["policy"]["first_threshold"] == 0.25
    assert recorded["policy_sources"]["first_threshold"] == "the data set toy"
    with pytest.raises(UsageError, match="the data set 'toy' is already registered"):
        DATASETS.register("toy", DATASETS.get("toy"))


def test_recommended_thresholds_of_data_sets() -> None:
    known = {name: DATASETS.get(name).first_threshold for name in DATASETS}
    recommended = {name: value for name, value in known.items() if value is not None}
    assert recommended == {"minikinetics": 0.95, "activitynet": 0.99, "hvu": 1.0, "hvu_train": 1.0}
    generated = ["demo", "demo_gates", "demo_test", "motion", "motion_test"]
    assert [name for name in DATASETS if not DATASETS.get(name).needs_folder] == generated
