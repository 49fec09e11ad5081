"""An installed package adds a member of every kind: build a wheel and use it through the command line, end to end.

The package adds a network family (network, runtime and exporter), an engine, a policy, a schedule and a data set
through its entry points alone; vbench's sources do not refer to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars
import pytest

pytestmark = pytest.mark.slow  # some twenty commands, each in its own process

PACKAGE = Path(__file__).parent / "toy_package"
METADATA = "Metadata-Version: 2.1\nName: vbench-toy\nVersion: 0.1\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
TRAIN = """
import torch
from vbench_toy.network import ToyNetwork
torch.manual_seed(0)
network = ToyNetwork(5)
levels = torch.arange(256) / 255
mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
pixels = ((levels[:, None] - mean) / std)[..., None, None].expand(-1, -1, 16, 16)
labels = torch.arange(256) * 5 // 256
optimizer = torch.optim.Adam(network.parameters(), 1e-3)
for step in range(150):
    loss = sum(torch.nn.functional.cross_entropy(part(pixels), labels) for part in (network.small, network.large))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(network.state_dict(), "toy.pth")
"""


def build_wheel(folder: Path) -> Path:
    """Zip the package with its metadata, like a build backend."""
    wheel, info = folder / "vbench_toy-0.1-py3-none-any.whl", "vbench_toy-0.1.dist-info"
    files = {f"vbench_toy/{path.name}": path.read_text() for path in (PACKAGE / "vbench_toy").glob("*.py")}
    files |= {f"{info}/METADATA": METADATA, f"{info}/WHEEL": WHEEL}
    files[f"{info}/entry_points.txt"] = (PACKAGE / "entry_points.txt").read_text()
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


@dataclass(frozen=True)
class Installed:
    """A working folder, and the folder of the installed packages."""

    folder: Path
    site: Path

    def python(self, *args: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, (str(self.site), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *args], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )

    def vbench(self, *args: str, code: int = 0) -> str:
        ended = self.python("-c", "from vbench.cli.main import main; main()", *args)
        assert ended.returncode == code, ended.stderr
        return ended.stderr if code else ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("toy")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(folder / "site"), str(build_wheel(folder))], check=True)
    environment = Installed(folder, folder / "site")
    trained = environment.python("-c", TRAIN)
    assert trained.returncode == 0, trained.stderr
    environment.vbench("export", "toy.pth", "-o", "bundles/toy")
    return environment


@pytest.fixture(scope="module")
def traced(installed: Installed) -> Installed:
    installed.vbench("run", "--dataset", "levels", "--trace", "-o", "runs/trace")
    return installed


def metrics(installed: Installed, run: str) -> dict[str, object]:
    content: dict[str, dict[str, object]] = json.loads((installed.folder / run / "run.json").read_text())
    return content["metrics"]


def test_help_and_errors_list_the_members(installed: Installed) -> None:
    shown = installed.vbench("run", "--help")
    for member in ("toy", "pairs", "levels"):
        assert member in shown
    for option in ("--engine", "--schedule", "--dataset"):
        assert {"--engine": "toy", "--schedule": "pairs", "--dataset": "levels"}[option] in installed.vbench(
            "run", option, "nonesuch", code=2
        )


def test_the_bundle_has_the_manifest_of_its_family(installed: Installed) -> None:
    manifest = json.loads((installed.folder / "bundles/toy/manifest.json").read_text())
    assert (manifest["family"], manifest["architecture"], manifest["default_confidence"]) == ("toy", "toy", 0.6)
    shown = installed.vbench("inspect", "bundles/toy")
    assert "small, then large where the confidence is up to 0.6" in shown


@pytest.mark.parametrize("engine", ["toy", "torch"])
def test_runs_agree_on_every_engine_and_schedule(installed: Installed, engine: str) -> None:
    out = f"runs/{engine}"
    installed.vbench("run", "--engine", engine, "--dataset", "levels", "--schedule", "pairs", "--slots", "3", "-o", out)
    if not (installed.folder / "runs/ort").exists():
        installed.vbench("run", "--dataset", "levels", "-o", "runs/ort")
    columns = ("video", "label", "prediction", "exit_step", "frames_used", "gmacs")
    tables = [
        polars.read_parquet(installed.folder / run / "predictions.parquet").select(columns) for run in (out, "runs/ort")
    ]
    assert tables[0].equals(tables[1])
    assert set(tables[0]["exit_step"]) == {1, 2}, "clips must exit at both steps"
    details = json.loads((installed.folder / out / "run.json").read_text())["engine_details"]
    assert (details.get("toy") == "yes") == (engine == "toy")


def test_replay_equals_a_run(traced: Installed) -> None:
    """A policy of the package gives the same results in a run as in the replay of a sweep."""
    out = json.loads(traced.vbench("sweep", "runs/trace", "--json", "--policies", "even labels,fixed,confidence"))
    points = polars.read_parquet(traced.folder / "runs/trace/sweep.parquet").to_dicts()
    assert out["points"] == len(points)
    assert {point["family"] for point in points} == {"default", "even labels", "fixed", "confidence"}
    chosen = next(point for point in points if json.loads(point["policy"]) == {"kind": "even_label", "threshold": 0.25})
    policy = {"schema_version": 1, "policy": json.loads(chosen["policy"])}
    (traced.folder / "even.json").write_text(json.dumps(policy))
    traced.vbench("run", "--dataset", "levels", "--policy", "even.json", "-o", "runs/even")
    run_metrics = metrics(traced, "runs/even")
    assert run_metrics["exit_histogram"] == chosen["exits"]
    assert run_metrics["accuracy"] == pytest.approx(chosen["accuracy"])
    assert run_metrics["gmacs"] == pytest.approx(chosen["gmacs"])
    content = json.loads((traced.folder / "runs/even/run.json").read_text())
    assert content["policy_label"] == "even label above 0.25"


def test_tune_plot_and_report(traced: Installed) -> None:
    traced.vbench("tune", "runs/trace", "--max-drop", "50", "-o", "tuned.json")
    assert json.loads((traced.folder / "tuned.json").read_text())["policy"]["kind"]
    traced.vbench("sweep", "runs/trace")
    shutil.copytree(traced.folder / "runs/trace", traced.folder / "runs/again", dirs_exist_ok=True)
    traced.vbench("run", "--dataset", "levels", "-o", "runs/plotted")
    traced.vbench("plot", "sweep", "runs/trace", "-o", "sweep.png")
    traced.vbench("plot", "efficiency", "runs/plotted", "-o", "efficiency.png")
    traced.vbench("report", "runs/plotted", "runs/trace", "-o", "report.html")
    assert (traced.folder / "sweep.png").stat().st_size > 1000
    assert (traced.folder / "efficiency.png").stat().st_size > 1000
    assert "toy" in (traced.folder / "report.html").read_text()


def test_unsupported_commands_and_options_are_rejected(installed: Installed) -> None:
    refusal = installed.vbench("package", "bundles/toy", "-o", "triton", code=2)
    assert "cannot be packaged for Triton" in refusal
    assert len(refusal.splitlines()) == 1
    assert "takes no --first-threshold" in installed.vbench("run", "--first-threshold", "0.5", code=2)


def test_a_missing_package_is_a_one_line_error(installed: Installed) -> None:
    alone = Installed(installed.folder, installed.folder)
    for args in (("inspect", "bundles/toy"), ("run", "bundles/toy", "--dataset", "demo")):
        message = alone.vbench(*args, code=2)
        assert "toy" in message
        assert len(message.splitlines()) == 1
