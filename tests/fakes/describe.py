"""Describe the names of NVIDIA's TensorRT bindings; run as ``python describe.py MODULE`` to print it as JSON.

The bindings of two releases cannot be imported into one process, so each is described in a process of its own. The
script therefore imports nothing but the standard library and the bindings, and creates no object of theirs, since
without a GPU a ``Runtime`` ends the process with a segmentation fault.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# What the fakes offer: classes with all their members, and the enums that their members or vbench use.
EXECUTION = ("ILogger", "Logger", "Dims", "IHostMemory", "Runtime", "ICudaEngine", "IExecutionContext")
BUILD = (
    *(
        "Builder",
        "IBuilderConfig",
        "INetworkDefinition",
        "ILayer",
        "IProgressMonitor",
        "IOptimizationProfile",
        "ITimingCache",
        "ITensor",
    ),
    *("OnnxParser", "ParserError", "EngineInspector"),
)
RTX = ("IRuntimeConfig", "IRuntimeCache")
ENUMS = (
    *("ActivationType", "BuilderFlag", "ComputeCapability", "CudaGraphStrategy", "DataType"),
    *("DynamicShapesKernelSpecializationStrategy", "EngineInvalidityDiagnostics", "EngineValidity"),
    *("ExecutionContextAllocationStrategy", "HardwareCompatibilityLevel", "ILogger.Severity"),
    *("LayerInformationFormat", "LayerType", "MemoryPoolType", "NetworkDefinitionCreationFlag", "ProfilingVerbosity"),
    *("TensorFormat", "TensorIOMode", "TensorLocation"),
)
_MODULES = re.compile(r"\b(tensorrt_\w+\.)+|\b(types|typing|typing_extensions|collections\.abc)\.|\b(nv\w+|v_1_0)::")
_OVERLOAD = re.compile(r"^\d+\. (\w+\(.*)$", re.MULTILINE)
# Networks are parsed from ONNX files; only that of ``vbench doctor`` is written by hand.
_LAYERS = re.compile(r"add_(?!optimization_profile|input|activation)")


def describe(module: ModuleType) -> dict[str, Any]:
    """Return the release, enums, classes, functions and data types of a module of bindings, as far as it has them."""
    classes = {name: getattr(module, name) for name in (*EXECUTION, *BUILD, *RTX) if hasattr(module, name)}
    enums = {name: found for name in ENUMS if (found := _find(module, name)) is not None}
    data_types: Any = enums["DataType"].__members__
    return {
        "version": module.__version__,
        "enums": {name: _members(kind) for name, kind in enums.items()},
        "classes": {name: _class(kind, classes) for name, kind in classes.items()},
        "functions": sorted(name for name, value in vars(module).items() if _is_function(name, value)),
        "dtypes": {
            name: value.name
            for name, value in sorted(vars(module).items())
            if type(value) is enums["DataType"] and name not in data_types
        },
    }


def _find(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _members(kind: Any) -> dict[str, int]:
    return {name: int(member) for name, member in kind.__members__.items()}


def _is_function(name: str, value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and name[0] not in "_" and not name.startswith("common_")


def _class(kind: type, described: dict[str, type]) -> dict[str, Any]:
    methods, properties = {}, {}
    for name, member in sorted(vars(kind).items()):
        if isinstance(member, property):
            properties[name] = {"type": _type(member), "writable": member.fset is not None}
        elif name == "__init__" or not (name.startswith("_") or _LAYERS.match(name)):
            methods[name] = _signatures(getattr(kind, name).__doc__ or "")
    bases = [base.__name__ for base in kind.__bases__ if base.__name__ in described]
    bound = {name: signatures for name, signatures in methods.items() if signatures}
    return {"bases": bases, "methods": bound, "properties": properties}


def _type(member: property) -> str | None:
    text = (member.fget.__doc__ or "").strip().partition(" -> ")[2]
    return _without_modules(text.partition("\n")[0]) or None


def _signatures(doc: str) -> list[str]:
    lines = _OVERLOAD.findall(doc) or [doc.strip().partition("\n")[0]]
    calls = [_without_modules(line.rpartition(" -> ")[0]) for line in lines if " -> " in line]
    return [re.sub(r"\(self: \w+", "(self", call) for call in calls]


def _without_modules(text: str) -> str:
    return _MODULES.sub("", text)


if __name__ == "__main__":
    json.dump(describe(import_module(sys.argv[1])), sys.stdout)
