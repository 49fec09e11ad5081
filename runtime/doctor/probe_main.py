"""Try one thing in a process of its own, which may hang, crash or print what it likes: ``ask`` is the way to it.

Every probe computes something and checks the answer, as being installed, and being listed as available, say nothing.
A probe returns facts; whatever it raises is why it does not work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from . import try_decoders, try_engines, try_gpu, try_torch
from .finding import first_line

PROBES: dict[str, Callable[[], dict[str, str]]] = {
    "ort": try_engines.ort,
    "ort-cuda": try_engines.ort_cuda,
    "ort-tensorrt": try_engines.ort_tensorrt,
    "openvino": try_engines.openvino,
    "torch": try_torch.torch,
    "torch-cuda": try_torch.torch_cuda,
    "tensorrt": try_gpu.tensorrt,
    "pycuda": try_gpu.pycuda,
    "driver": try_gpu.driver,
    "av": try_decoders.av,
    "pillow": try_decoders.pillow,
}


def main(name: str) -> None:
    """Run a probe, write one JSON document on the stdout that we were given, and leave without a shutdown.

    Libraries that print, from C++ too, print on stderr; a library that crashes as it is unloaded has worked before.
    """
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        said: dict[str, Any] = {"facts": PROBES[name](), "error": ""}
    except BaseException as error:  # SystemExit too: what a package does on import is its own business
        said = {"facts": {}, "error": first_line(error)}
    os.write(answer, json.dumps(said).encode())
    os._exit(0)
