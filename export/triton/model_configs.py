"""Model configurations in a repository: one per part, and one that runs the parts and applies the policy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest, TensorSpec
from ...runtime.policies.base import Policy
from ..family import ServingSpec
from .config import Device, ModelConfig, TensorConfig
from .options import Runner
from .served.settings import Scheduling, ServedSettings

GATHER_US = 1000  # how long a lockstep batch waits for clips: a fraction of a step's duration
_LOCKSTEP_INSTANCES = 2  # while one instance waits for the parts, the other accepts the next requests
_LIMIT_S = 300.0  # far above any clip's time, even of a large network on a CPU


def model_name(bundle: Bundle[Manifest]) -> str:
    """Return a model name for the bundle, valid in URLs and as a folder name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", bundle.name).lstrip(".") or "network"


def part_model(network: str, part: str) -> str:
    """Return the name of a part's model."""
    return f"{network}_{part}"


def part_config(
    network: str,
    part: str,
    manifest: Manifest,
    serving: ServingSpec,
    slots: int,
    device: Device,
    runner: Runner,
) -> ModelConfig:
    """Return the configuration of a part's model."""
    spec, python = manifest.parts[part], runner == "python"
    return ModelConfig(
        name=part_model(network, part),
        backend="python" if python else "onnxruntime",
        file="model.py" if python else "model.onnx",
        max_batch_size=slots,
        inputs=tuple(_tensor(tensor) for tensor in spec.inputs),
        outputs=(_tensor(spec.output),),
        device="cpu" if python else device,
        # Batching pays off only for expensive parts: a head finishes before the other instance calls it.
        batching_us=0 if part in serving.batched else None,
    )


def network_config(
    network: str, manifest: Manifest, serving: ServingSpec, slots: int, schedule: Scheduling
) -> ModelConfig:
    """Return the configuration of the model that clients call: clips in, predictions out.

    In flight, one instance batches all requests itself; in lockstep, the server forms the batches.
    """
    names = () if manifest.class_names is None else (TensorConfig("CLASS_NAME", "string", (1,)),)
    lockstep = schedule == "lockstep"
    return ModelConfig(
        name=network,
        backend="python",
        file="model.py",
        max_batch_size=slots,
        inputs=(TensorConfig("FRAMES", "uint8", (serving.frames, -1, -1, 3), ragged=lockstep),),
        outputs=(
            TensorConfig("LOGITS", "float32", (manifest.classes,)),
            *(TensorConfig(name, "int32", (1,)) for name in ("CLASS", "EXIT_STEP", "FRAMES_USED")),
            *names,
        ),
        device="cpu",
        instances=_LOCKSTEP_INSTANCES if lockstep else 1,
        batching_us=GATHER_US if lockstep else None,
    )


def network_settings(
    network: str, serving: ServingSpec, policy: Policy, parts: Iterable[str], slots: int, schedule: Scheduling
) -> ServedSettings:
    """Return the contents of ``policy.json``; ``parts`` are the parts in the repository."""
    return ServedSettings(
        policy=policy.record(),
        parameters=serving.parameters,
        choice=serving.choice.record(),
        schedule=schedule,
        slots=max(1, slots // serving.rows),
        rows=slots,
        limit_s=_LIMIT_S,
        models={part: part_model(network, part) for part in sorted(parts)},
    )


def _tensor(spec: TensorSpec) -> TensorConfig:
    return TensorConfig(spec.name, spec.dtype, tuple(-1 if isinstance(axis, str) else axis for axis in spec.shape[1:]))
