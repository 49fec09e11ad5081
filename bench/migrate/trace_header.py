"""Convert the header of a trace from schema version 1 to the current one; the table is the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...runtime.bundle.migrate import migrate_family
from ..trace.trace import TraceHeader
from ..trace.trace_file import parse_header
from .first_threshold import first_threshold_source


def migrate_header(path: Path, content: Mapping[str, Any]) -> TraceHeader:
    """Convert the header of a trace.

    Args:
        path: file of the trace, for errors.
        content: its header, in schema version 1.

    Raises:
        RunError: the header is damaged.
    """
    try:
        converted = {
            **content,
            "schema_version": 2,
            "family": migrate_family(content["family"]),
            "default_policy_sources": _policy_sources(content),
        }
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path}: the header is damaged ({error!r})", "record it again with vbench run --trace"
        ) from None
    return parse_header(path, converted)


def _policy_sources(content: Mapping[str, Any]) -> dict[str, str]:
    policy = content["default_policy"]
    if policy["kind"] != "frameexit":
        return {}
    first = first_threshold_source(content["dataset"], policy["first_threshold"])
    return {"first_threshold": first, "gate_thresholds": "the bundle"}
