"""The command line: data on stdout, one-line errors, and exit codes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.run.test_run import same_answers, save_dataset
from tests.interrupts import heed_interrupts
from vbench import __version__
from vbench.bench.compare.agreement import agreement
from vbench.cli.common.extras import needs
from vbench.cli.main import main
from vbench.errors import CheckError, MissingError, VbenchError
from vbench.runtime.bundle.bundle import Bundle

COMMAND = [sys.executable, "-c", "from vbench.cli.main import main; main()"]
HEAVY = ["torch", "onnx", "onnxruntime", "tensorrt", "pycuda", "polars", "matplotlib", "av", "PIL", "sklearn", "numpy"]
COMMANDS = [
    "export",
    "run",
    "sweep",
    "tune",
    "compare",
    "report",
    "explain",
    "audit",
    "inspect",
    "package",
    "migrate",
    "demo",
    "doctor",
    "data prepare",
    "data check",
]
COMMANDS += [f"plot {name}" for name in ("efficiency", "sweep", "frames", "exits", "latency", "steps", "speedup")]


def vbench(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, cwd=cwd)


def assert_fails(ended: subprocess.CompletedProcess[str], code: int, *words: str | Path) -> None:
    """Assert the exit code, empty stdout, and one line on stderr containing ``words``."""
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith("vbench: ")
    assert ended.stderr.count("\n") == 1
    for word in words:
        assert str(word) in ended.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vbench", *command.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert f"Example: vbench {command}" in " ".join(said.out.split())
    assert said.err == ""


def test_help_and_version_import_nothing_heavy() -> None:
    code = f"""
import sys
import vbench
from vbench.cli.main import main
for option in ("--help", "--version"):
    sys.argv = ["vbench", option]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
found = [name for name in {HEAVY} if name in sys.modules]
assert not found, found
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    for name in ("export", "run", "sweep", "tune", "compare", "inspect", "demo", "data", "plot"):
        assert f" {name} " in ended.stdout
    assert ended.stdout.endswith(f"vbench {__version__}\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "no command given"),
        (["run", "--nope"], "--nope"),
        (["nope"], "nope"),
        (["export"], "checkpoint"),
        (["run", "--limit", "0"], "--limit"),
        (["run", "bundle", "--gate-threshold", "0.5,x"], "--gate-threshold 0.5,x is not a number"),
    ],
)
def test_wrong_usage(
    args: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vbench", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("vbench: ")
    assert words.lower() in said.err.lower()
    assert said.err.count("\n") == 1


def test_exit_codes(tmp_path: Path) -> None:
    assert [error.exit_code for error in (VbenchError, MissingError, CheckError)] == [2, 3, 4]
    assert_fails(vbench("inspect", tmp_path / "nothing"), 2, tmp_path / "nothing", "vbench export CHECKPOINT")
    code = "import sys; sys.modules['torch'] = None; " + COMMAND[2]
    ended = subprocess.run([sys.executable, "-c", code, "export", "a.pth"], capture_output=True, text=True)
    assert_fails(ended, 3, "torch is not installed; pip install torch onnx onnxscript")
    incomplete = vbench("data", "check", "minikinetics", "--data", tmp_path)
    assert (incomplete.returncode, incomplete.stderr) == (4, "")
    assert str(tmp_path) in incomplete.stdout


def test_inspect(tiny_bundle: Bundle, tmp_path: Path) -> None:
    ended = vbench("inspect", tiny_bundle.path)
    assert (ended.returncode, ended.stderr) == (0, "")
    for words in ("5 classes", "8 files, all digests match", "gates", "classifiers", "ort against PyTorch"):
        assert words in ended.stdout
    ended = vbench("inspect", tiny_bundle.path, "--json")
    assert json.loads(ended.stdout) == tiny_bundle.manifest.model_dump(mode="json")
    copy = Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))
    (copy / "fp32" / "gates.onnx").write_bytes(b"")
    assert_fails(vbench("inspect", copy, "--json"), 2, copy / "fp32" / "gates.onnx", "altered")


def test_run_prints_one_document(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ("run", tiny_bundle.path, "--engine", "ort", "--dataset", "folder", "--data", data, "-o", run)
    ended = vbench(*args, "--json")
    document = json.loads(ended.stdout)
    assert ended.returncode == 0
    recorded = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert document == {"run": str(run), "metrics": recorded["metrics"]}
    started, *notes = ended.stderr.splitlines()
    assert re.fullmatch(r"ready in \d+\.\d s(: .+ \d+\.\d)?", started)
    assert recorded["startup"]["phases"].keys() >= {"python", "imports", "digests", "engine/backbone", "warm-up"}
    assert sum(recorded["startup"]["phases"].values()) == pytest.approx(recorded["startup"]["seconds"], abs=0.01)
    assert notes == [
        "1 videos in the split are missing and were skipped (bow/notes.txt); see run.json",
        "1 videos have no answer; see the error column of the predictions",
    ]
    assert recorded["command"].startswith("vbench run ") or "-c run" in recorded["command"]
    assert_fails(vbench(*args), 2, run, "--out")
    assert_fails(vbench("run", "--resume", run), 2, run, "complete")


def test_run_without_a_bundle(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    args = ("run", "--engine", "ort", "--dataset", "folder", "--data", data, "--limit", "2")
    assert_fails(vbench(*args, cwd=tmp_path), 2, "there is no bundle in bundles/;", "vbench export CHECKPOINT")
    shutil.copytree(tiny_bundle.path, tmp_path / "bundles" / "one")
    ended = vbench(*args, cwd=tmp_path)
    assert ended.returncode == 0
    run = tmp_path / ended.stdout.splitlines()[-1]
    assert run.parent == tmp_path / "runs"
    assert run.name.endswith("-one-ort")
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["complete"]
    assert "2 (0 without an answer)" in ended.stdout
    shutil.copytree(tiny_bundle.path, tmp_path / "bundles" / "two")
    assert_fails(vbench(*args, cwd=tmp_path), 2, "2 bundles (one, two); specify which one to run")


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, f"{path} has fewer than {count} lines"
        time.sleep(0.02)


def test_interrupted_run_names_the_command_to_resume(tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = save_dataset(tmp_path / "data")
    slow = data / "jump" / "0" / "5.jpeg"  # the first frame read of the fifth video
    content = slow.read_bytes()
    Image.new("RGB", (9000, 9000)).save(slow)  # reading it takes a second or so
    run = tmp_path / "a run" / ("with a long name " * 5 + "[red]")
    args = ["run", str(tiny_bundle.path), "--dataset", "folder", "--data", str(data)]
    with subprocess.Popen(
        [*COMMAND, *args, "-o", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        wait_for_lines(run / "journal.jsonl", 4)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    *_, said, last = err.splitlines()
    assert last == "vbench: interrupted"
    kept, rest = said.split(" ", 1)
    assert 4 <= int(kept) < 10
    assert rest == f"videos are kept; resume with: vbench run --resume '{run}'"
    slow.write_bytes(content)
    resumed = vbench("run", "--resume", run)
    assert resumed.returncode == 0, resumed.stderr
    assert vbench(*args, "-o", tmp_path / "whole").returncode == 0
    same_answers(run, tmp_path / "whole")
    assert agreement(run, tmp_path / "whole").videos == 10


def test_resume_takes_no_other_option(tmp_path: Path) -> None:
    assert_fails(vbench("run", "--resume", tmp_path, "--limit", "3"), 2, "--resume", "cannot be combined with --limit")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("no", name="torch.nn"), "torch is not installed; pip install torch onnx onnxscript"),
        (
            ImportError("libx.so: cannot open"),
            "a package is installed but does not load (libx.so: cannot open); pip install torch onnx onnxscript",
        ),
        (
            ImportError("libx.so: cannot open", name="google.protobuf"),
            "google is installed but does not load (libx.so: cannot open); pip install torch onnx onnxscript",
        ),
        (
            ImportError("libx.so: cannot open", name="torch"),
            "torch is installed but does not load (libx.so: cannot open); pip install --force-reinstall torch==2.",
        ),
    ],
)
def test_missing_or_broken_package(error: ImportError, words: str) -> None:
    with pytest.raises(MissingError) as caught, needs("export"):
        raise error
    assert words in str(caught.value)
