"""Check vbench on a machine with a GPU and record what was found; ``python -m tools.gpu_check``.

It runs from a bare checkout: where the package is not installed, the link that mypy finds it through stands in.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("vbench") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / ".mypy"))
