"""Entry point of a probe subprocess, which may hang, crash or print; started by ``run_probe``.

Every probe computes something and checks the output, since a package that is installed or listed does not necessarily
work. A probe returns facts; an exception that it raises is the reason why the package does not work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from . import probe_decoders, probe_engines, probe_gpu, probe_precisions, probe_torch
from .finding import first_line

PROBES: dict[str, Callable[[], dict[str, str]]] = {
    "ort": probe_engines.ort,
    "ort-cuda": probe_engines.ort_cuda,
    "ort-tensorrt": probe_engines.ort_tensorrt,
    "openvino": probe_engines.openvino,
    "precisions": probe_precisions.precisions,
    "torch": probe_torch.torch,
    "torch-cuda": probe_torch.torch_cuda,
    "tensorrt": probe_gpu.tensorrt,
    "tensorrt-rtx": probe_gpu.tensorrt_rtx,
    "pycuda": probe_gpu.pycuda,
    "driver": probe_gpu.driver,
    "av": probe_decoders.av,
    "pillow": probe_decoders.pillow,
}


def main(name: str) -> None:
    """Run a probe, write one JSON document to the original stdout, and exit without shutting down.

    Library output, including that of C++ code, goes to stderr. Skipping the shutdown avoids crashes while libraries
    unload.
    """
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        said: dict[str, Any] = {"facts": PROBES[name](), "error": ""}
    except BaseException as error:  # including SystemExit: importing a package may exit the process
        said = {"facts": {}, "error": first_line(error)}
    os.write(output, json.dumps(said).encode())
    os._exit(0)
