"""The wheel holds all that vbench needs: it is built, installed into a fresh environment, and runs the demo there.

The environment has vbench from the wheel alone; the packages that vbench depends on are those of the environment that
runs the tests, so that nothing is downloaded a second time.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = (".css", ".csv", ".j2", ".json", ".pth", ".txt", ".typed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    scripts = folder / "bin"
    pip = [str(scripts / "python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, timeout=300)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_the_wheel_holds_every_source_and_data_file(wheel: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    layers = ("bench", "cli", "export", "fit", "models", "plots", "runtime")
    wanted = {
        f"vbench/{name}"
        for name in tracked.splitlines()
        if (name.split("/")[0] in layers or "/" not in name) and name.endswith((".py", *SHIPPED))
    } - {"vbench/constraints.txt"}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("vbench/")}
    assert held == wanted


def test_the_demo_runs_from_the_wheel(fresh: Path, tmp_path: Path) -> None:
    code = "import vbench; print(vbench.__file__)"
    where = subprocess.run(
        [fresh / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env={}
    ).stdout
    assert where.startswith(str(fresh.parent)), "the vbench of the wheel, not that of the checkout"
    ended = subprocess.run(
        [fresh / "vbench", "demo"], cwd=tmp_path, capture_output=True, text=True, env={"HOME": str(tmp_path)}
    )
    assert ended.returncode == 0, ended.stderr
    assert "top-1" in ended.stdout
