"""Installation hints: they name the packages of each extra, never the extra itself."""

from __future__ import annotations

import ctypes
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

from vbench.runtime.engines import install_hint
from vbench.runtime.engines.ort import nvidia_libraries

ROOT = Path(__file__).resolve().parents[3]
MENTION = "vbench" + "["  # must not appear in a hint


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("extra", ["cpu", "gpu", "openvino", "trt", "trt-rtx", "export", "migrate", "loadgen", "fast"])
def test_packages_of_an_extra(extra: str) -> None:
    (line,) = re.findall(rf"^{extra} = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    command = shlex.split(install_hint.install(extra))
    assert command[:2] == ["pip", "install"]
    faster = {"numba", "simplejpeg"} if extra in ("cpu", "openvino") else set()  # a missing engine does not need them
    assert names(command[2:]) == names(re.findall(r'"([^"]+)"', line)) - faster


def test_no_hint_names_an_extra_of_vbench() -> None:
    folders = ("bench", "cli", "export", "models", "plots", "runtime", "tools")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + [ROOT / "README.md"]
    assert [str(path) for path in texts if MENTION in path.read_text(encoding="utf-8")] == []


def test_reinstall_keeps_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_hint, "installed_version", {"tensorrt": "10.9.0", "pycuda": "2026.1"}.get)
    assert install_hint.reinstall("tensorrt") == "pip install --force-reinstall tensorrt==10.9.0"
    assert install_hint.reinstall("pycuda") == "pip install --force-reinstall --no-deps --no-cache-dir pycuda==2026.1"
    assert install_hint.reinstall("torch") == "pip install --force-reinstall torch"


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Make only the libraries in pip's folder loadable; return the names of those loaded."""
    folder = tmp_path / "tensorrt_libs"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt_libs", raising=False)
    loaded: list[str] = []

    def load(path: str, mode: int) -> object:
        assert mode == ctypes.RTLD_GLOBAL
        if not Path(path).is_file():
            raise OSError(f"{path}: cannot open shared object file: No such file or directory")
        loaded.append(Path(path).name)
        return types.SimpleNamespace()

    monkeypatch.setattr(nvidia_libraries.ctypes, "CDLL", load)
    return loaded


def test_tensorrt_from_the_pip_folder(loader: list[str], tmp_path: Path) -> None:
    wanted = ["libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10"]
    for name in wanted:
        (tmp_path / "tensorrt_libs" / name).touch()
    assert nvidia_libraries.load_tensorrt_libraries() is None
    assert loader == wanted


def test_first_missing_library_is_named(loader: list[str], tmp_path: Path) -> None:
    (tmp_path / "tensorrt_libs" / "libnvinfer.so.10").touch()
    (tmp_path / "tensorrt_libs" / "libnvinfer_plugin.so.10").touch()
    reason = nvidia_libraries.load_tensorrt_libraries()
    assert reason == "libnvonnxparser.so.10: cannot open shared object file: No such file or directory"
    assert loader == ["libnvinfer.so.10", "libnvinfer_plugin.so.10"]
