"""``python -m tools.nvidia_wheels``: download the bindings of TensorRT 10 and 11 that run without a GPU.

NVIDIA publishes the lean runtime of TensorRT as wheels: its bindings have the real classes of the execution side, but
no builder. Both major releases have the same module name, so each is unpacked into a folder of its own in the test
cache, from which the slow tests import it into a separate process. Nothing is installed. Builder and parser are those
of TensorRT-RTX, whose wheels are installed with the printed command.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.bundle_cache import cache_folder

COMMAND = "python -m tools.nvidia_wheels"
RTX_VERSION = "1.7.1.116"
RTX_COMMAND = f"pip install tensorrt-rtx-cu13-libs=={RTX_VERSION} tensorrt-rtx-cu13-bindings=={RTX_VERSION}"
LEAN_WHEELS = {
    "10": ("tensorrt_lean_cu12", "10.16.1.11"),
    "11": ("tensorrt_lean_cu13", "11.4.0.106"),
}
_PARTS = ("libs", "bindings")
_TIMEOUT_S = 1800


def main() -> int:
    """Download what is missing, and print where it is."""
    for major in LEAN_WHEELS:
        if not is_complete(major):
            _download(major)
        print(f"TensorRT {LEAN_WHEELS[major][1]}, lean runtime: {folder(major)}")
    print(f"TensorRT-RTX {RTX_VERSION}, builder and parser: {RTX_COMMAND}")
    return 0


def folder(major: str) -> Path:
    """Return the folder of a major release."""
    return cache_folder() / "nvidia" / major


def is_complete(major: str) -> bool:
    """Return whether the folder has both wheels of the right release."""
    return _has_wheels(folder(major), major)


def _has_wheels(path: Path, major: str) -> bool:
    name, version = LEAN_WHEELS[major]
    return all((path / f"{name}_{part}-{version}.dist-info" / "RECORD").is_file() for part in _PARTS)


def _download(major: str) -> None:
    name, version = LEAN_WHEELS[major]
    target = folder(major)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        wheels, unpacked = Path(temporary, "wheels"), Path(temporary, "unpacked")
        packages = [f"{name}_{part}=={version}".replace("_", "-") for part in _PARTS]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(wheels)]
        try:
            subprocess.run([*command, *packages], check=True, timeout=_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            sys.exit(f"pip cannot download {' '.join(packages)}: check the network and the package index, and repeat")
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        if not _has_wheels(unpacked, major):
            sys.exit(f"pip did not download {' and '.join(packages)}: check the package index, and repeat")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)  # only complete folders have this name


if __name__ == "__main__":
    sys.exit(main())
