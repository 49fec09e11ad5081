"""NVIDIA's own bindings, which run without a GPU, as the source of the fakes' names.

``python -m tests.fakes.nvidia`` writes ``tensorrt_api.json``. The bindings of TensorRT-RTX are a package of their own;
``python -m tools.nvidia_wheels`` downloads those of TensorRT's lean runtime, which has no builder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from tools.nvidia_wheels import COMMAND, RTX_COMMAND, folder, is_complete

from . import behavior, describe
from .api import DESCRIPTION, MODULES

LEAN, RTX = "tensorrt_lean_bindings", "tensorrt_rtx_bindings"
_TIMEOUT_S = 120


def missing(flavor: str) -> str | None:
    """Return why the bindings of a flavor cannot be described, or None."""
    if flavor == "rtx":
        return None if find_spec(RTX) else f"{RTX} is not installed: {RTX_COMMAND}"
    return None if is_complete(flavor) else f"{folder(flavor)} is absent or of another release: {COMMAND}"


def described(flavor: str) -> dict[str, Any]:
    """Return the description of a flavor's bindings."""
    content: dict[str, Any] = _run(describe, flavor)
    return content


def outcomes(flavor: str) -> list[str]:
    """Return what a flavor's bindings return or raise."""
    content: list[str] = _run(behavior, flavor)
    return content


def _run(script: ModuleType, flavor: str) -> Any:
    """Run a script on the bindings, which are imported into a process of their own."""
    path = [] if flavor == "rtx" else [str(folder(flavor))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, str(script.__file__), RTX if flavor == "rtx" else LEAN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def serialized(description: dict[str, Any]) -> str:
    """Return the text of ``tensorrt_api.json``: one line per enum or class."""
    lines = json.dumps(description, separators=(",", ":"))
    return lines.replace('},"', '},\n"') + "\n"


def main() -> None:
    """Write the description of all flavors."""
    if reasons := [reason for flavor in MODULES if (reason := missing(flavor))]:
        sys.exit("\n".join(reasons))
    DESCRIPTION.write_text(serialized({flavor: described(flavor) for flavor in MODULES}))


if __name__ == "__main__":
    main()
