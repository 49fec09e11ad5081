"""The names of a TensorRT release, from the description of 11.4 and the names added or removed in each earlier step."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from .trim_api import TRIMMED

VERSIONS = {"10": "10.16.1.11", "11": "11.4.0.106"}

# Enum members removed in 11; their values are from memory.
_TEN: dict[str, dict[str, int]] = {
    "BuilderFlag": {
        **{"FP16": 0, "INT8": 1, "OBEY_PRECISION_CONSTRAINTS": 9, "PREFER_PRECISION_CONSTRAINTS": 10, "FP8": 14},
        **{"BF16": 16, "WEIGHTLESS": 18, "INT4": 21, "FP4": 25, "REJECT_EMPTY_ALGORITHMS": 28},
    },
    "NetworkDefinitionCreationFlag": {
        **{"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1, "PREFER_JIT_PYTHON_PLUGINS": 2, "PREFER_AOT_PYTHON_PLUGINS": 3}
    },
    "PreviewFeature": {
        **{"PROFILE_SHARING_0806": 0, "ALIASED_PLUGIN_IO_10_03": 1, "RUNTIME_ACTIVATION_RESIZE_10_10": 2},
        **{"MULTIDEVICE_RUNTIME_10_16": 3},
    },
    "TacticSource": {"CUBLAS": 0, "CUBLAS_LT": 1, "CUDNN": 2, "EDGE_MASK_CONVOLUTIONS": 3, "JIT_CONVOLUTIONS": 4},
    "QuantizationFlag": {"CALIBRATE_BEFORE_FUSION": 0},
    "CalibrationAlgoType": {
        **{"LEGACY_CALIBRATION": 0, "ENTROPY_CALIBRATION": 1, "ENTROPY_CALIBRATION_2": 2, "MINMAX_CALIBRATION": 3}
    },
}

# Names removed in 11 that were properties, which the description of the steps does not record.
# fmt: off
_PROPERTIES = frozenset((
    "platform_has_fast_fp16", "platform_has_fast_int8", "platform_has_tf32", "algorithm_selector", "int8_calibrator",
    "quantization_flags", "device_memory_size", "has_implicit_batch_dimension", "minimum_weight_streaming_budget",
    "weight_streaming_budget", "all_shape_inputs_specified", "precision", "precision_is_set", "dynamic_range",
    "compute_precision", "algorithm_variant", "timing_msec", "workspace_size", "name", "num_inputs", "num_outputs",
    "dtype", "strides", "implementation", "tactic", "components_per_element", "vectorized_dim", "plugin_creator_list",
))
# fmt: on
_ANY = "(self, *args)"


@dataclass(frozen=True)
class Api:
    """Enums with their members, classes as in the file, and functions with their signatures."""

    version: str
    enums: dict[str, dict[str, int]]
    classes: dict[str, dict[str, Any]]
    functions: dict[str, list[str]]

    def has(self, owner: str, name: str) -> bool:
        """Return whether ``trt.name`` (no owner) or ``trt.owner.name`` exists."""
        if not owner:
            return name in self.enums or name in self.classes or name in self.functions or name in MODULE_NAMES
        if owner in self.enums:
            return name in self.enums[owner] or name == "__members__"
        spec = self.classes.get(owner, {})
        if name in spec.get("methods", {}) or name in spec.get("properties", {}) or f"{owner}.{name}" in self.enums:
            return True
        severity = owner in ("ILogger", "Logger") and name in self.enums["ILogger.Severity"]
        return severity or any(self.has(base, name) for base in spec.get("bases", ()))


# fmt: off
MODULE_NAMES = frozenset((
    "__version__", "nptype", "volume", "float32", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool",
    "fp8", "int4", "fp4",
))
# fmt: on


@cache
def load_api(version: str) -> Api:
    """Return the names of a release, from 10.0 to the described one."""
    data = json.loads(TRIMMED.read_text())
    api = Api(version, data["enums"], data["classes"], data["functions"])
    for step in reversed(data["steps"]):
        if _numbers(step["to"]) > _numbers(version):
            _undo(api, step)
    if _numbers(version) < (11,):
        for name, members in _TEN.items():
            found = api.enums.get(name, members)
            api.enums[name] = {member: members.get(member, value) for member, value in found.items()}
    return api


def _undo(api: Api, step: dict[str, Any]) -> None:
    for owner, names in step["added"].items():
        if "(new type)" in names:
            api.enums.pop(owner, None)
            api.classes.pop(owner, None)
        for name in names:
            for names_of in _names_of(api, owner):
                names_of.pop(name, None)
    for owner, names in step["removed"].items():
        if owner not in api.classes and (owner in api.enums or owner in _TEN):
            members = api.enums.setdefault(owner, {})
            members.update({name: _TEN[owner][name] for name in names if not name.startswith("(")})
            continue
        spec = api.classes.setdefault(owner, {"methods": {"__init__": ["__init__(self)"]}, "properties": {}})
        for name in names:
            _restore(spec, name)


def _names_of(api: Api, owner: str) -> list[dict[str, Any]]:
    spec = api.classes.get(owner, {})
    return [found for found in (api.enums.get(owner), spec.get("methods"), spec.get("properties")) if found]


def _restore(spec: dict[str, Any], name: str) -> None:
    if name in _PROPERTIES:
        spec.setdefault("properties", {})[name] = {"type": None, "writable": True}
    elif not name.startswith("("):
        spec.setdefault("methods", {})[name] = [name + _ANY]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
