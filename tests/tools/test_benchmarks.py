"""The benchmarks of the goldens' networks, with a tiny network: the page, the record of a GPU, and a bare machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.benchmark.test_worker import NOT_ON_A_BARE_MACHINE
from tests.benches import ORIGINAL, result, usual_bench
from tools.benchmarks import __main__ as command
from tools.benchmarks import cpu, gpu, machine, networks
from tools.benchmarks.clips import prepare_clips
from tools.benchmarks.networks import GoldenNetwork, draw_clip, prepare_bundle
from tools.benchmarks.page import markdown_table, page, without_empty_columns
from vbench.bench.benchmark import start
from vbench.bench.benchmark.bench_folder import BenchFolder, read_bench
from vbench.bench.benchmark.table import TextTable
from vbench.errors import CheckError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.doctor.finding import Finding
from vbench.runtime.video.open import open_frames

TINY = GoldenNetwork("frameexit_tiny", "A tiny FrameExit", ("fp32",), ("fp32",), 4, 5)
ORT = Finding("engines", "ort CPU", "ok", "1.31.1")
NO_DRIVER = Finding("gpu", "NVML", "absent", "no NVIDIA driver (libnvidia-ml.so.1) found")
CUDA = Finding("engines", "torch CUDA", "ok", "built for CUDA 13.0, NVIDIA H200")
H200 = Finding("gpu", "gpu 0", "ok", "NVIDIA H200, 0.5 of 150.7 GB used")
ONLY_ORT = {"ort CPU": "", "torch CPU": "it is left out of this test", "openvino": "not installed"}
ON_CPU = ("gpu", "--device", "cpu", "--engine", "ort", "--precision", "fp32", "--schedule", "sequential",
          "--min-repeats", "2")  # fmt: skip


@pytest.fixture
def work(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> Path:
    """A work folder that holds the bundle, so that nothing is exported."""
    shutil.copytree(tiny_bundle.path, tmp_path / "work" / "bundles" / TINY.name)
    return tmp_path / "work"


def test_the_page() -> None:
    text = page("Benchmarks", "the origin", {"FrameExit": usual_bench(), "TSM": usual_bench()})
    assert text.startswith("# Benchmarks\n\nthe origin\n")
    assert text.count("\n    vbench bench bundles/frameexit_r50\n") == 2
    assert "| low-precision instructions | avx512_vnni" in text
    assert "**Recommended** for throughput: openvino int8, inflight 8" in text
    assert "Other processes used 0.03 of 2 CPUs" in text
    assert "4 contenders, 5 repetitions of 8 clips" in text
    assert "### Not measured" in text
    assert "| trt " in text
    assert "Incomplete" not in text
    assert "$" not in text
    head = next(line for line in text.splitlines() if line.startswith("| contender"))
    assert all(len(line) == len(head) for line in text.split(head)[1].split("\n\n")[0].strip().splitlines())


def test_the_page_of_an_interrupted_benchmark_with_failures() -> None:
    bench = usual_bench()
    bench.complete = False
    failed = replace(ORIGINAL, name="crashing|one")
    bench.results.append(result(failed, [], failure="killed: see /usr/lib/deep/libcuda.so.1, pid 77"))
    text = page("Benchmarks", "", {"FrameExit": bench}, [ORT])
    assert "**Incomplete" in text
    assert "crashing\\|one" in text
    assert "killed: see libcuda.so.1, a process" in text
    assert "| engines | ort CPU | ok    | 1.31.1 |" in text


def test_tables() -> None:
    rows = (("x *latency, energy", "1", "", "y"), ("b", "", "", ""))
    assert without_empty_columns(TextTable("", ("contender", "value", "nothing", "verdict"), rows)) == TextTable(
        "", ("contender", "value", "verdict"), (("**x** (best latency, energy)", "1", "y"), ("b", "", ""))
    )
    assert without_empty_columns(TextTable("", ("contender", "value"), ())).rows == ()
    assert markdown_table(("a", "b"), [("x|y", "1\n2")]).splitlines()[2] == "| x\\|y | 1 2 |"


def test_clips_are_image_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = replace(TINY, clips=2)
    folder = prepare_clips(network, tmp_path)
    assert folder is not None
    assert [path.name for path in sorted(folder.iterdir())] == ["00", "01"]
    assert len(open_frames(folder / "01")) == 10
    before = (folder / "00").stat().st_mtime_ns
    prepare_clips(network, tmp_path)
    assert (folder / "00").stat().st_mtime_ns == before, "clips that exist are kept"
    assert draw_clip("tsm_ffn_r50", 0).shape == (40, 256, 320, 3)
    monkeypatch.setattr("tools.benchmarks.clips.find_spec", lambda _: None)
    assert prepare_clips(network, tmp_path) is None


def test_an_export_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []

    def failing(_name: str, _work: Path, precisions: tuple[str, ...]) -> str:
        tried.append(precisions)
        return "ImportError: no torch"

    monkeypatch.setattr(networks, "_run_export", failing)
    with pytest.raises(CheckError, match="frameexit_tiny cannot be exported here: ImportError: no torch"):
        prepare_bundle(TINY, ("fp32", "fp16"), tmp_path)
    assert tried == [("fp32", "fp16"), ("fp32",)]


def test_the_error_of_an_export_is_its_last_line(tmp_path: Path) -> None:
    assert networks._run_export("none", tmp_path, ("fp32",)) == "ValueError: the goldens have no network none"


def test_the_cpu_page_shows_the_command_that_ran(work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[str, ...]] = []

    def vbench(folder: Path, *arguments: str) -> None:
        ran.append(arguments)
        made = usual_bench()
        made.complete = "--resume" in arguments
        writer = BenchFolder(folder / "benches" / TINY.name)
        writer.save(made)
        writer.close()

    monkeypatch.setattr(cpu, "_vbench", vbench)
    given = ["cpu", "--work", str(work), "--out", str(tmp_path / "page.md"), "--limit", "3"]
    for _ in range(3):
        assert command.main(given, [TINY]) == 0
    clips = ("--clips", f"clips/{TINY.name}", "--max-minutes", "5", "-o", f"benches/{TINY.name}", "--limit", "3")
    assert ran == [("bench", f"bundles/{TINY.name}", *clips), ("bench", "--resume", f"benches/{TINY.name}")]
    assert "## A tiny FrameExit" in (tmp_path / "page.md").read_text()


def test_a_command_that_fails_is_one_line(work: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ["cpu", "--work", str(work), "--out", str(tmp_path / "page.md"), "--engine", "abacus"]
    assert command.main(given, [TINY]) == 4
    assert "unknown engine 'abacus'" in capfd.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_without_a_gpu_nothing_is_written(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        gpu, "inspect_machine", lambda: [ORT, NO_DRIVER, CUDA._replace(state="absent", detail="for the CPU")]
    )
    assert command.main(["gpu", "--work", str(work), "--out", str(tmp_path / "out")], [TINY]) == 3
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert "no NVIDIA driver" in stderr
    assert "torch CUDA: for the CPU" in stderr
    assert not (tmp_path / "out").exists()


def test_the_record_of_a_gpu(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "inspect_machine", lambda: [ORT, CUDA, H200])
    monkeypatch.setattr(start, "available_engines", lambda: ONLY_ORT)
    unknown = replace(TINY, name="none", title="Cannot be exported")
    assert command.main([*ON_CPU, "--work", str(work), "--out", str(tmp_path / "out")], [unknown, TINY]) == 0
    shown = Path(capsys.readouterr().out.strip())
    text = shown.read_text()
    assert "# CPU, " in text
    assert "tools.benchmarks gpu --device cpu --engine ort" in text
    assert "| PyTorch as the original | it is left out of this test |" in text
    assert "| gpu     | gpu 0" in text
    assert str(tmp_path) not in text.replace(f"--work {work}", "").replace(f"--out {tmp_path / 'out'}", "")
    data = json.loads(shown.with_suffix(".json").read_text())
    (bench,) = data["benches"].values()
    assert bench["complete"]
    assert {turn["repetition"] for turn in bench["turns"]} >= {0, 1, 2}
    assert all(len(turn["latency_ms"]) == len(turn["exit_step"]) >= TINY.clips for turn in bench["turns"])
    assert read_bench(next((work / "benches").iterdir())).complete
    assert gpu.free_files(tmp_path / "out", shown.stem).data.name == f"{shown.stem}-2.json"


BARE = """
import importlib.util, sys
sys.path.insert(0, {blocked!r})
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "PIL" else find(name, *rest)
from tools.benchmarks.__main__ import main
from tools.benchmarks.networks import GoldenNetwork
from vbench.bench.benchmark import start
start.available_engines = lambda: {available}
sys.exit(main({given}, [{network}]))
"""


def test_a_bare_machine(work: Path, tmp_path: Path) -> None:
    """The command itself runs without typer, rich, polars, Pillow, ...: the clips are then generated."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in NOT_ON_A_BARE_MACHINE:
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not on this machine')\n")
    given = [*ON_CPU, "--work", str(work), "--out", str(tmp_path / "out")]
    code = BARE.format(blocked=str(blocked), available=ONLY_ORT, given=given, network=TINY)
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    text = Path(ended.stdout.strip()).read_text()
    assert "| ort fp32, sequential" in text
    assert "repetitions of 24 clips (generated, not labeled)" in text
    assert not (work / "benches").exists(), "there is no Parquet without polars"


def test_names() -> None:
    assert machine.slug("NVIDIA GeForce RTX 4090 (Laptop)") == "nvidia-geforce-rtx-4090-laptop"
    assert machine.gpu_name([H200]) == machine.gpu_name([CUDA]) == "NVIDIA H200"
    assert machine.gpu_name([ORT]) == "unknown GPU"
    assert machine.without_folders("https://a.org/b/c and /a/b/c.so: 1/2/3") == "https://a.org/b/c and c.so: 1/2/3"
    assert machine.gpu_problem([CUDA]) == ""
