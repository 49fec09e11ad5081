"""Verify the actual layer precisions of a built TensorRT plan.

A builder might not run even one layer of an 8-bit graph in 8-bit precision. TensorRT describes layers as JSON whose
keys vary between releases, and gives precisions within phrases ("Row major linear FP32"), so both are matched by
patterns.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ....errors import CheckError

UNKNOWN = "unknown"
_TYPE_KEYS = ("Format/Datatype", "Format/DataType", "Datatype", "DataType", "Format")
_NAMES = {  # the order matters: BF16 contains F16
    "int8": r"\bu?int8|\bi8\b",
    "fp8": r"fp8|float8|e4m3",
    "bf16": r"bf16|bfloat",
    "fp16": r"half|fp16|float16|\bf16\b",
    "fp32": r"float|fp32|\bf32\b",
}
_FLOAT32 = {"fp32": ("fp32",), "tf32": ("fp32", "tf32")}
_MULTIPLIES = re.compile(
    r"conv(?!ert)|gem[mv]|fprop|mat(rix)?[ _]*mul|fully[ _]*connected|einsum|(?-i:(?<=[_a-z])Fc(?=[A-Z_0-9]|$))",
    re.IGNORECASE,
)
_TF32 = re.compile(r"tf32|tensorop_s1688gemm", re.IGNORECASE)  # in the name of a kernel for float32
_FUSED = re.compile(r"kgen|myelin|foreign|fusion", re.IGNORECASE)  # fused layers, which only their names distinguish
_MOVES = re.compile(r"reformat|noop|constant|shuffle|copy|cast|signal|wait", re.IGNORECASE)


def precision_counts(information: str) -> Counter[str]:
    """Count the matrix-product layers by precision: int8, fp8, bf16, fp16, tf32, fp32 or unknown.

    Args:
        information: the engine inspector's output for the whole engine, as JSON.

    Raises:
        CheckError: the output cannot be parsed.
    """
    try:
        content = json.loads(information)
        layers = content["Layers"]
    except (ValueError, TypeError, KeyError):
        raise CheckError("cannot parse TensorRT's description of its layers", "report this as a vbench bug") from None
    return Counter(_precision(layer) for layer in layers if _is_multiplying(layer))


def check_layers(part: str, wanted: str, found: Mapping[str, int]) -> None:
    """Reject a plan that does not compute in the requested precision.

    For fp32, every matrix-product layer must do so. For lower precisions, one layer suffices, since others may be
    faster at a higher precision. For tf32, layers may run in tf32 or fp32.

    Raises:
        CheckError: the plan does not compute in the requested precision.
    """
    if wanted in _FLOAT32:
        if set(found) - {*_FLOAT32[wanted], UNKNOWN}:
            raise CheckError(
                f"{part}: TensorRT runs layers in precisions other than {wanted} ({summary(found)})",
                "choose another precision",
            )
    elif not found.get(wanted):
        raise CheckError(
            f"{part}: TensorRT does not run any matrix-product layer in {wanted} ({summary(found)})",
            "choose another precision, or export the checkpoint again",
        )


def summary(found: Mapping[str, int]) -> str:
    """Return the counts on one line: ``fp16: 53, fp32: 1``."""
    return ", ".join(f"{name}: {count}" for name, count in sorted(found.items())) or "no matrix-product layers"


def _is_multiplying(layer: Any) -> bool:
    if not isinstance(layer, dict):  # a mere name, if the plan was built without details
        return bool(_MULTIPLIES.search(str(layer))) and not str(layer).startswith("Reformatting")
    kind = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"
    if _MULTIPLIES.search(kind):
        return True
    if _MOVES.search(kind):
        return False
    # Ignore the metadata, which also names products that precede a fused layer of sums.
    return bool(_FUSED.search(kind) and _MULTIPLIES.search(f"{layer.get('Name', '')} {layer.get('TacticName', '')}"))


def _precision(layer: Any) -> str:
    """Return the smallest type among the inputs and weights, or else the outputs: accumulation may use more bits."""
    if not isinstance(layer, dict):
        return UNKNOWN
    found = {_precision_name(text) for text in (*_types(layer, "Inputs"), *_weights(layer))} - {UNKNOWN}
    found = found or {_precision_name(text) for text in _types(layer, "Outputs")}
    precision = next((name for name in _NAMES if name in found), UNKNOWN)
    rounded = precision in ("fp32", UNKNOWN) and _TF32.search(str(layer.get("TacticName", "")))
    return "tf32" if rounded else precision


def _types(layer: dict[str, Any], side: str) -> Iterator[str]:
    for tensor in layer.get(side) or []:
        if isinstance(tensor, dict):
            yield from (str(tensor[key]) for key in _TYPE_KEYS if key in tensor)


def _weights(layer: dict[str, Any]) -> Iterator[str]:
    weights = layer.get("Weights")
    if isinstance(weights, dict) and weights.get("Count", 1):
        yield str(weights.get("Type", ""))


def _precision_name(text: str) -> str:
    return next((name for name, pattern in _NAMES.items() if re.search(pattern, text, re.IGNORECASE)), UNKNOWN)
