"""Fakes of TensorRT's execution, PyCUDA and CUDA graphs: equally strict about names, stricter about memory and order.

``install`` installs them for a test. Names, signatures and enum values are those of NVIDIA's own bindings. Where
hardware returns an error, False or None, the fakes do the same; where hardware computes wrong results or crashes, they
raise `Misuse`. The fake builder and parser only make plans that the fake engine runs; NVIDIA's own ones run without a
GPU and are tested themselves.
"""

from .api import MODULES, load_api
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
    "MODULES",
]
