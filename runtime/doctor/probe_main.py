"""Try one thing in a process of its own, which may hang, crash or print what it likes: ``ask`` is the way to it.

Every probe computes something and checks the answer, as being installed, and being listed as available, say nothing.
A probe returns facts; whatever it raises is why it does not work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from . import probe_decoders, probe_engines, probe_gpu, probe_torch
from .finding import first_line

PROBES: dict[str, Callable[[], dict[str, str]]] = {
    "ort": probe_engines.ort,
    "ort-cuda": probe_engines.ort_cuda,
    "ort-tensorrt": probe_engines.ort_tensorrt,
    "openvino": probe_engines.openvino,
    "torch": probe_torch.torch,
    "torch-cuda": probe_torch.torch_cuda,
    "tensorrt": probe_gpu.tensorrt,
    "pycuda": probe_gpu.pycuda,
    "driver": probe_gpu.driver,
    "av": probe_decoders.av,
    "pillow": probe_decoders.pillow,
}


def main(name: str) -> None:
    """Run a probe, write one JSON document on the stdout that we were given, and leave without a shutdown.

    Libraries that print, from C++ too, print on stderr; a library that crashes as it is unloaded has worked before.
    """
    result = os.dup(1)
    os.dup2(2, 1)
    try:
        said: dict[str, Any] = {"facts": PROBES[name](), "error": ""}
    except BaseException as error:  # SystemExit too: what a package does on import is its own business
        said = {"facts": {}, "error": first_line(error)}
    os.write(result, json.dumps(said).encode())
    os._exit(0)
