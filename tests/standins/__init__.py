"""TensorRT, PyCUDA and CUDA graphs for machines that have none of them: names as strict, memory and order stricter.

``install`` puts them in place for a test, ``python -m tests.standins`` for a process. What hardware answers with an
error, a False or a None, is answered alike; what it answers with wrong numbers or a crash raises `Misuse`.
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
