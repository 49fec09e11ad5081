"""Convert the record of a run, ``run.json``, from schema version 3 to the current one.

Schema 3 recorded the resolved thresholds without their sources. The recorded command line shows which of them are
explicit; if it is not a vbench command line, all of them count as explicit.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...runtime.bundle.manifest import frames_part
from ...runtime.policies.base import Policy
from ...runtime.policies.cascade import Cascade, FrameCount
from ...runtime.policies.choice import OPTION_FLAGS
from ...runtime.policies.registry import policy_of
from ...runtime.scheduler.options import MODES, SPECULATIVE
from ..records.run_file import read_content, runs_in
from ..records.run_folder import RunConfig, RunHeader
from .first_threshold import first_threshold_source

RENAMED_COLUMNS = {"gmacs_in_vain": "gmacs_wasted"}
_RENAMED_FRAMES = {"in_vain": "unused"}
_ENGINE = ("precision", "threads", "checkpoint", "engine", "device", "provider", "graphs")
_DATA = ("dataset", "data", "limit")
_COMMANDS = (["vbench", "run"], ["vbench", "audit"], ["vbench", "demo"])
_VARIANT = re.compile(r"frames_\d+")
_NOT_RECORDED = ("remeasure", "gates")  # choices that schema 3 did not record


def migrate_record(run: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the record of a finished run.

    Args:
        run: folder of the run.
        content: its record, in schema version 3.

    Raises:
        RunError: the record is damaged.
        UsageError: it contains a policy of an unknown kind.
    """
    try:
        return _to_schema_4(run, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run}: the record is damaged ({error!r})", "repeat the run") from None


def _to_schema_4(run: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    budget_ms = content["config"]["budget_ms"]
    # The record of the policy includes the budget that selected it.
    numbers = {name: value for name, value in content["policy"].items() if name != "budget_ms"}
    policy = policy_of(numbers, f"{run}: policy")
    header = RunHeader(
        config=RunConfig.from_record(_config(content), f"{run}: config.policy"),
        policy=content["policy"],
        policy_label=policy.label() if budget_ms is None else f"{policy.label()}, within {budget_ms:g} ms",
        policy_sources=_policy_sources(content),
        step_frames=_step_frames(policy),
        bundle=content["bundle"],
        engine=content["engine_details"],
        machine=content["machine"],
        versions=content["versions"],
        command=content["command"],
        videos=content["videos"],
        left_out=tuple(content["left_out"]),
        variant=_variant(run, content),
        created=content["created"],
    )
    return {**header.as_dict(), "complete": content["complete"], "metrics": _metrics(content["metrics"])}


def _config(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with its options grouped."""
    config = content["config"]
    return {
        "bundle": config["bundle"],
        "trace": config["trace"],
        "engine": {name: config[name] for name in _ENGINE},
        "data": {name: config[name] for name in _DATA},
        "stream": _stream(config["stream"]),
        "policy": _choices(content),
    }


def _stream(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stream options; schema 3 did not record the mode, so derive it from the schedule."""
    mode = next((mode for mode, schedule in MODES.items() if schedule == options["schedule"]), "latency")
    sync = SPECULATIVE if options["sync"] == "late" else options["sync"]
    return {**options, "sync": sync, "mode": mode}


def _choices(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy choices, with None in place of the resolved defaults that schema 3 recorded."""
    config = content["config"]
    choices = {name: config[name] for name in OPTION_FLAGS if name not in _NOT_RECORDED}
    resolved = {"first_threshold", "gate_thresholds"} - _explicit(content)
    if config["cascade"] is not None:
        resolved |= {"frames"} - _explicit(content)
    if config["budget_ms"] is not None:
        resolved |= {"frames"}
    return {**choices, **dict.fromkeys(resolved)}


def _explicit(content: Mapping[str, Any]) -> set[str]:
    """Return the names of the choices made on the command line; all names if it is not a vbench command line."""
    try:
        words = shlex.split(content["command"])
    except ValueError:
        words = []
    flags = {word.partition("=")[0] for word in words}
    return {name for name, flag in OPTION_FLAGS.items() if words[:2] not in _COMMANDS or flag in flags}


def _policy_sources(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the sources of FrameExit's thresholds; {} for an explicit policy, a trace or another network."""
    config, explicit = content["config"], _explicit(content)
    if content["policy"]["kind"] != "frameexit" or config["policy"] is not None:
        return {}
    first = first_threshold_source(content["dataset"], content["policy"]["first_threshold"])
    defaults = {"first_threshold": first, "gate_thresholds": "the bundle"}
    return {name: OPTION_FLAGS[name] if name in explicit else source for name, source in defaults.items()}


def _step_frames(policy: Policy) -> tuple[int, ...] | None:
    return policy.frame_counts if isinstance(policy, FrameCount | Cascade) else None


def _variant(run: Path, content: Mapping[str, Any]) -> str | None:
    """Return the variant name of a run, which schema 3 did not record.

    Runs that one command started at several frame counts have sibling folders, each named after its frame count.
    """
    run = run.resolve()
    if not _named_after_count(run, content):
        return None
    for other in runs_in(run.parent):
        if other.name != run.name and _VARIANT.fullmatch(other.name):
            try:
                found = read_content(other)
            except RunError:
                continue
            if found.get("command") == content["command"] and _named_after_count(other, found):
                return run.name
    return None


def _named_after_count(run: Path, content: Mapping[str, Any]) -> bool:
    policy = content.get("policy")
    frames = policy.get("frames") if isinstance(policy, Mapping) else None
    return isinstance(frames, int) and run.name == frames_part(frames)


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {RENAMED_COLUMNS.get(name, name): value for name, value in metrics.items()}
    return {**renamed, "frames": {_RENAMED_FRAMES.get(name, name): count for name, count in metrics["frames"].items()}}
