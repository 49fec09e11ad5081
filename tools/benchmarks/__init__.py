"""Benchmarks of the goldens' full-size networks with ``vbench bench``; ``python -m tools.benchmarks``.

It runs from a bare checkout: if the package is not installed, it is imported through the link that mypy uses.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("vbench") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / ".mypy"))
