"""A bounded run over all classes of inputs; ``just fuzz`` runs more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.fuzz import oracle
from tests.fuzz.case import Case
from tests.fuzz.command_line import leftovers
from tests.fuzz.in_process import result_of
from tests.fuzz.inputs import CLASSES
from tests.fuzz.protobuf_mutations import decode, encode
from tests.fuzz.samples import Samples
from tests.fuzz.self_check import INPUTS
from vbench.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SEED = 13
IN_PROCESS, COMMANDS = 2000, 60


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the samples."""
    return tmp_path_factory.mktemp("fuzz")


def python(module: str, *options: object) -> subprocess.CompletedProcess[str]:
    """Run a module of the harness in a new process, since it forks, and a process of pytest has threads."""
    command = [sys.executable, "-m", module, *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [("--inputs", IN_PROCESS), ("--inputs", COMMANDS, "--cli")], ids=["in process", "commands"]
)
def test_no_input_is_a_fault(options: tuple[object, ...], root: Path) -> None:
    ended = python("tests.fuzz", "--seed", SEED, "--samples", root, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


def test_an_input_is_determined_by_seed_and_number(tmp_path: Path) -> None:
    samples = Samples(tmp_path)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        CLASSES["policies"].make(Random("13/policies/7"), samples, folder)
    assert (tmp_path / "one/policy.json").read_bytes() == (tmp_path / "two/policy.json").read_bytes()


def _raise(error: BaseException) -> object:
    raise error


class RawError(UsageError):
    """An error whose text is not escaped."""

    def __str__(self) -> str:
        return self.message


@pytest.mark.parametrize(
    ("case", "failure"),
    [
        (Case("", lambda: [1.0, {"a": np.ones(3)}]), None),
        (Case("", lambda: _raise(UsageError("one line", "a hint"))), None),
        (Case("", lambda: _raise(ValueError("x"))), oracle.CRASH),
        (Case("", lambda: _raise(RawError("two\nlines"))), oracle.MESSAGE),
        (Case("", lambda: _raise(RawError("red \x1b[31m"))), oracle.MESSAGE),
        (Case("", lambda: [{"a": np.float32("nan")}]), oracle.FALSE_SUCCESS),
        (Case("", lambda: np.array([1, np.inf])), oracle.FALSE_SUCCESS),
        (Case("", lambda: 1, must_fail=True), oracle.FALSE_SUCCESS),
        (Case("", lambda: 1, wrong=lambda _: "two rows"), oracle.FALSE_SUCCESS),
        (Case("", lambda: _raise(UsageError("x")), must_answer=True), oracle.FALSE_REFUSAL),
    ],
)
def test_the_oracle(case: Case, failure: str | None) -> None:
    assert list(result_of(case).failures) == ([] if failure is None else [failure])


def test_leftovers() -> None:
    kept = ("in/out", "in/out/run.json", "home/cache", "in/bundle/measurements.json")
    names = (*kept, "in/out/.run.tmp", "in/.out.123", "in/other", "tmp/x")
    after = dict.fromkeys(names, (0, 0))
    assert leftovers({}, after, "out", 0) == ["in/.out.123", "in/other", "in/out/.run.tmp", "tmp/x"]
    assert leftovers({}, {"in/out": (0, 0)}, "out", 2) == ["in/out"]
    assert leftovers({}, {"in/out.svg": (0, 0)}, "out.png", 0) == []


def test_protobuf_fields_round_trip() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.helper.make_model(onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], []))
    assert encode(decode(model.SerializeToString())) == model.SerializeToString()


@pytest.mark.slow
def test_the_harness_notices(root: Path) -> None:
    """Files opened outside, leftovers, hangs, and crashes of libraries."""
    found = json.loads(python("tests.fuzz.self_check", root).stdout)
    assert found["hostile"][oracle.OPENED] == found["hostile"][oracle.LEFTOVER] == INPUTS
    assert found["stuck"][oracle.HANG] == found["dying"][oracle.CRASH] == INPUTS
