"""Create ``tensorrt_api.json`` from a full description of the TensorRT bindings.

Kept: every enum value, signature and property, and the names added or removed between releases. Dropped: notes and
return types (unused), and line breaks. Run ``python -m tests.fakes.trim_api FULL.json`` for a new release.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TRIMMED = Path(__file__).with_name("tensorrt_api.json")


def trim(full: dict[str, Any]) -> dict[str, Any]:
    """Return the part of ``full`` that the fake needs."""
    return {
        "version": full["_about"]["package_version"],
        "steps": full["changes_between_releases"]["steps"],
        "enums": full["enums"],
        "classes": {name: _class(spec) for name, spec in full["classes"].items()},
        "functions": {name: [_call(text) for text in calls] for name, calls in full["functions"].items()},
    }


def _class(spec: dict[str, Any]) -> dict[str, Any]:
    return spec | {
        "methods": {name: [_call(text) for text in calls] for name, calls in spec.get("methods", {}).items()}
    }


def _call(text: str) -> str:
    return text.partition(" -> ")[0] if " -> " in text else text


if __name__ == "__main__":
    lines = json.dumps(trim(json.loads(Path(sys.argv[1]).read_text())), separators=(",", ":"))
    TRIMMED.write_text(lines.replace('},"', '},\n"') + "\n")
