"""``python -m tools.triton_env``: create the environment with a real Triton server that ``pytest -m server`` uses.

The wheel of nvidia-pytriton contains tritonserver 2.51.0 (that of container 24.10), which runs from there without a
container. It needs glibc 2.35 or newer and a Python with a shared library. A second environment, with NumPy 2 and
without a server, serves to test that models refuse to load under it.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

from tests.bundle_cache import cache_folder

SERVER = "triton"
NUMPY_2 = "triton-numpy2"
_WHEEL = "nvidia-pytriton==0.7.0"
# The last ONNX Runtime for NumPy 1, which this server's backend requires.
_PACKAGES = ("numpy==1.26.4", "onnxruntime==1.23.2", "pydantic>=2.9,<3", "tritonclient[http]==2.73.0")
_NUMPY_2_PACKAGES = ("numpy>=2,<3", "onnxruntime>=1.23.2", "pydantic>=2.9,<3")
_MIN_GLIBC = (2, 35)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where to create the environments")
    folder = parser.parse_args().folder
    problem = _problem()
    if problem:
        print(problem, file=sys.stderr)
        return 3
    for name, install in ((SERVER, _install_server), (NUMPY_2, _install_numpy_2)):
        target = folder / name
        if target.is_dir():
            print(f"{target} exists already")
            continue
        try:
            _create(target, install)
        except subprocess.CalledProcessError as error:
            print(f"{target} was not created: {' '.join(error.cmd)} failed; see its output above", file=sys.stderr)
            return 3
        print(f"{target} created")
    return 0


def _problem() -> str:
    """Return why this machine cannot run the server; "" if it can."""
    libc, version = platform.libc_ver()
    if platform.machine() != "x86_64" or libc != "glibc":
        return f"the server runs on x86-64 with glibc, not on {platform.machine()} with {libc or 'another library'}"
    if tuple(map(int, version.split(".")[:2])) < _MIN_GLIBC:
        return f"the server needs glibc {'.'.join(map(str, _MIN_GLIBC))} or newer, and this machine has {version}"
    if not _has_shared_library():
        name = f"libpython3.{sys.version_info.minor}"
        return (
            f"the server needs the shared library of Python, {name}; install the package {name}, or use another Python"
        )
    return ""


def _has_shared_library() -> bool:
    name = str(sysconfig.get_config_var("INSTSONAME"))
    for library in (name, str(Path(sysconfig.get_config_var("LIBDIR"), name))):
        try:
            ctypes.CDLL(library)
        except OSError:  # a static library, or none
            continue
        return True
    return False


def _create(target: Path, install: Callable[[Path], None]) -> None:
    """Create an environment and install its packages; remove it if that fails."""
    try:
        venv.create(target, with_pip=True)
        install(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _install_server(target: Path) -> None:
    _install(target, "--no-deps", _WHEEL)  # serving needs none of its dependencies
    _install(target, *_PACKAGES)
    (tree,) = target.glob("lib/python3.*/site-packages/pytriton/tritonserver")
    stub = tree / "python_backend_stubs" / f"3.{sys.version_info.minor}" / "triton_python_backend_stub"
    if not stub.is_file():
        raise subprocess.CalledProcessError(1, [f"copying {stub}"])
    shutil.copy2(stub, tree / "backends" / "python")  # only there does it find its libraries


def _install_numpy_2(target: Path) -> None:
    _install(target, *_NUMPY_2_PACKAGES)


def _install(target: Path, *arguments: str) -> None:
    subprocess.run([str(target / "bin" / "python"), "-m", "pip", "install", "-q", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
