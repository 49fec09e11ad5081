"""Check vbench on a machine with a GPU and record the results; ``python -m tools.gpu_check``.

It runs from a bare checkout: if the package is not installed, it is imported through the link that mypy uses.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("vbench") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / ".mypy"))
