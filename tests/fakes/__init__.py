"""Fakes of TensorRT, PyCUDA and CUDA graphs: equally strict about names, stricter about memory and ordering.

``install`` installs them for a test, ``python -m tests.fakes`` for a process. Where hardware returns an error, False
or None, the fakes do the same; where hardware computes wrong results or crashes, they raise `Misuse`.
"""

from .api import VERSIONS, load_api
from .install import install
from .machine import Counters, Faults, Machine
from .misuse import Misuse
from .names import names_used
from .tensorrt import make_tensorrt

__all__ = [
    "install",
    "make_tensorrt",
    "names_used",
    "load_api",
    "Machine",
    "Faults",
    "Counters",
    "Misuse",
    "VERSIONS",
]
