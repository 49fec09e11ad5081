"""The names of a TensorRT release, read from ``tensorrt_api.json``, which describes NVIDIA's own bindings.

``python -m tests.fakes.nvidia`` writes that file, and a slow test compares it with the bindings. It has all classes of
TensorRT-RTX, but only the execution side of TensorRT 10 and 11: there are no small bindings of their builder, parser
and inspector. Those classes are therefore taken from TensorRT-RTX, without the members that only it has. The full
bindings of 11.4.0.106, read once on another machine, have the same signatures; those of 10 have not been compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .describe import BUILD

DESCRIPTION = Path(__file__).with_name("tensorrt_api.json")
# The modules of each flavor: the major releases of TensorRT, and TensorRT-RTX.
MODULES = {"10": ("tensorrt",), "11": ("tensorrt",), "rtx": ("tensorrt_rtx_bindings", "tensorrt_rtx")}

# What the builders of TensorRT 10 and 11 have from TensorRT-RTX, and what they do not have.
_BORROWED_ENUMS = ("ActivationType", "LayerType", "NetworkDefinitionCreationFlag", "TensorFormat")
_BORROWED_FUNCTIONS = ("get_builder_plugin_registry", "get_nv_onnx_parser_version", "init_libnvinfer_plugins")
_RTX_ONLY = ("get_compute_capability", "num_compute_capabilities", "set_compute_capability")
# By NVIDIA's header NvInfer.h; in TensorRT 11, networks are always strongly typed and the value is that of RTX.
_STRONGLY_TYPED = {"10": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}}


@dataclass(frozen=True)
class Api:
    """Enums and classes with their members, functions, and the short names of data types, such as ``float32``."""

    flavor: str
    version: str
    enums: dict[str, dict[str, int]]
    classes: dict[str, dict[str, Any]]
    functions: list[str]
    dtypes: dict[str, str]

    def has(self, owner: str, name: str) -> bool:
        """Return whether ``trt.name`` (no owner) or ``trt.owner.name`` exists."""
        if not owner:
            known = {"__version__", *self.enums, *self.classes, *self.functions, *self.dtypes}
            return name in known
        if owner in self.enums:
            return name in self.enums[owner] or name == "__members__"
        spec = self.classes.get(owner, {})
        if name in spec.get("methods", {}) or name in spec.get("properties", {}) or f"{owner}.{name}" in self.enums:
            return True
        severity = owner in ("ILogger", "Logger") and name in {"Severity", *self.enums["ILogger.Severity"]}
        return severity or any(self.has(base, name) for base in spec.get("bases", ()))


@cache
def load_api(flavor: str) -> Api:
    """Return the names of a flavor."""
    described = json.loads(DESCRIPTION.read_text())
    own, rtx = described[flavor], described["rtx"]
    if flavor == "rtx":
        return Api(flavor, **own)
    enums = own["enums"] | {name: rtx["enums"][name] for name in _BORROWED_ENUMS}
    enums["NetworkDefinitionCreationFlag"] = _STRONGLY_TYPED.get(flavor, enums["NetworkDefinitionCreationFlag"])
    classes = {name: _without_rtx(rtx["classes"][name]) for name in BUILD} | own["classes"]
    functions = sorted({*own["functions"], *_BORROWED_FUNCTIONS})
    return Api(flavor, own["version"], enums, classes, functions, own["dtypes"])


def _without_rtx(spec: dict[str, Any]) -> dict[str, Any]:
    members = ("methods", "properties")
    return spec | {kind: {k: v for k, v in spec[kind].items() if k not in _RTX_ONLY} for kind in members}
