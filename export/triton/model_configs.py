"""Model configurations in a repository: one per part, and one that runs the parts and applies the policy."""

from __future__ import annotations

import re
from typing import Any

from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest, TensorSpec
from ..family import ServingSpec
from .config import Device, ModelConfig, TensorConfig

GATHER_US = 1000  # how long to wait for clips to batch: a fraction of a step's duration
_NETWORK_INSTANCES = 2  # while one instance waits for the parts, the other accepts the next requests


def model_name(bundle: Bundle[Manifest]) -> str:
    """Return a model name for the bundle, valid in URLs and as a folder name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", bundle.name).lstrip(".") or "network"


def part_model(network: str, part: str) -> str:
    """Return the name of a part's model."""
    return f"{network}_{part}"


def part_config(
    network: str, part: str, manifest: Manifest, serving: ServingSpec, slots: int, device: Device
) -> ModelConfig:
    """Return the configuration of a part's model."""
    spec = manifest.parts[part]
    return ModelConfig(
        name=part_model(network, part),
        backend="onnxruntime",
        file="model.onnx",
        max_batch_size=slots,
        inputs=tuple(_tensor(tensor) for tensor in spec.inputs),
        outputs=(_tensor(spec.output),),
        device=device,
        # Batching pays off only for expensive parts: a head finishes before the other instance calls it.
        batching_us=0 if part in serving.batched else None,
    )


def network_config(network: str, manifest: Manifest, serving: ServingSpec, slots: int) -> ModelConfig:
    """Return the configuration of the model that clients call: clips in, predictions out."""
    names = () if manifest.class_names is None else (TensorConfig("CLASS_NAME", "string", (1,)),)
    return ModelConfig(
        name=network,
        backend="python",
        file="model.py",
        max_batch_size=slots,
        inputs=(TensorConfig("FRAMES", "uint8", (serving.frames, -1, -1, 3), ragged=True),),
        outputs=(
            TensorConfig("LOGITS", "float32", (manifest.classes,)),
            *(TensorConfig(name, "int32", (1,)) for name in ("CLASS", "EXIT_STEP", "FRAMES_USED")),
            *names,
        ),
        device="cpu",
        instances=_NETWORK_INSTANCES,
        batching_us=GATHER_US,
    )


def network_settings(
    network: str,
    manifest: Manifest,
    serving: ServingSpec,
    policy: dict[str, Any],
    parts: frozenset[str],
    slots: int,
) -> dict[str, Any]:
    """Return the contents of ``policy.json``: the policy and the network settings that ``model.py`` needs.

    ``parts`` are the parts in the repository.
    """
    return {
        "schema_version": 1,
        "policy": policy if manifest.probabilities is None else {**policy, "probabilities": manifest.output},
        "rows": slots,
        "class_names": manifest.class_names,
        "parts": {
            part: {
                "model": part_model(network, part),
                "inputs": [tensor.name for tensor in spec.inputs],
                "output": spec.output.name,
            }
            for part, spec in manifest.parts.items()
            if part in parts
        },
        **serving.settings,
    }


def _tensor(spec: TensorSpec) -> TensorConfig:
    return TensorConfig(spec.name, spec.dtype, tuple(-1 if isinstance(axis, str) else axis for axis in spec.shape[1:]))
