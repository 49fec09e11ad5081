"""Engine cache of ONNX Runtime's TensorRT provider.

An engine takes minutes to build and is executable code. It is stored in the bundle as described in `trusted_files`, in
a folder whose name depends on all build inputs, because ONNX Runtime does not always reject a stale engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..device import TF32_OVERRIDE, GpuId
from ..trusted_files import Say, engine_folder, signed_folder
from .providers import Settings

SCHEMA = 1
_PRECISIONS = {"fp16": "trt_fp16_enable", "bf16": "trt_bf16_enable", "int8": "trt_int8_enable"}


class EngineKey(NamedTuple):
    """Build inputs of an engine, other than its part and GPU.

    Attributes:
        precision: precision of the file, and the only one that TensorRT may use in addition to float32.
        rows: maximum batch size.
        version: version of ONNX Runtime.
    """

    precision: str
    rows: int
    version: str


@contextmanager
def engine_cache(
    bundle: Bundle[Manifest], part: str, key: EngineKey, gpu: GpuId, names: Sequence[str], say: Say
) -> Iterator[Settings]:
    """Yield the TensorRT provider's options for a part on ``gpu``; ``names`` lists the names of all GPUs.

    Create the session within the context: untrusted engines are deleted on entry, and new ones are signed on exit.

    Raises:
        UsageError: the engine folder belongs to another user, is a link, or is not writable.
        MissingError: the disk is full.
    """
    # Only enabled options are set, because releases before 1.23 do not know all of them.
    precisions = {option: "1" for name, option in _PRECISIONS.items() if key.precision.startswith(name)}
    inputs = bundle.manifest.parts[part].inputs
    shapes = {
        f"trt_profile_{end}_shapes": ",".join(_shape(tensor.name, rows, tensor.shape[1:]) for tensor in inputs)
        for end, rows in (("min", 1), ("opt", key.rows), ("max", key.rows))
    }
    record = _record(bundle.manifest, part, key, gpu, names)
    folder = engine_folder(bundle.path, "ort", part, _digest(record))
    with signed_folder(folder, record, say):
        yield {**precisions, **shapes, "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def _record(manifest: Manifest, part: str, key: EngineKey, gpu: GpuId, names: Sequence[str]) -> dict[str, Any]:
    """Return the expected record of an engine, which lists everything that the engine depends on."""
    weights = manifest.weights.get(key.precision)
    return {
        "schema": SCHEMA,
        "part": part,
        "onnxruntime": key.version,
        "gpus": list(names),
        "device": str(gpu),
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),  # determines which GPU is cuda:0
        "tf32_override": os.environ.get(TF32_OVERRIDE, ""),
        "precision": key.precision,
        "rows": key.rows,
        "onnx_sha256": manifest.parts[part].files_for("gpu")[key.precision].sha256,
        "weights_sha256": None if weights is None else weights.sha256,
    }


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _shape(name: str, rows: int, rest: Sequence[int | str]) -> str:
    return f"{name}:{'x'.join(map(str, (rows, *rest)))}"
