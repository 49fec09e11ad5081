"""Audits of a bundle: how many answers an engine and precision changed, compared with fp32, on this kind of CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..measurements.identity import cpu_identity
from ..measurements.store import MeasurementStore
from ..policies.base import Policy
from ..telemetry.environment import versions
from .candidates import Candidate, engine_versions

MAX_FLIPS = 1.0  # percent of the videos
LEAST_VIDEOS = 300  # if one video in a hundred changes, this many contain one with a probability of 95 %


def record_audit(
    bundle: Bundle[Manifest], candidate: Candidate, dataset: Mapping[str, Any], changed_percent: float, videos: int
) -> bool:
    """Store the result of an audit against fp32 with the bundle's measurements.

    Args:
        dataset: identity of the audited videos, and the policy they were run with.
        changed_percent: percentage of the ``videos`` whose class or exit step changed.

    Returns:
        Whether the bundle's folder is writable.
    """
    setup = {**_setup(bundle, candidate), "dataset": dict(dataset)}
    return MeasurementStore(bundle).put("audits", setup, {"changed_percent": changed_percent, "videos": videos})


def objection(bundle: Bundle[Manifest], candidate: Candidate, policy: Policy, max_flips: float) -> str:
    """Return why the recorded audits do not permit a candidate; "" if they do.

    Every audit of enough videos with the same ``policy`` must be within ``max_flips`` percent, and there must be at
    least one: other thresholds or frame counts change other videos.
    """
    found = _audits(bundle, candidate, policy)
    large = [(changed, videos) for changed, videos in found if videos >= LEAST_VIDEOS]
    if not found:
        engine, precision = candidate
        return (
            f"no audit recorded with this policy: vbench audit {bundle.path} --engine {engine} --precision {precision}"
        )
    if not large:
        return f"audited on {max(videos for _, videos in found)} videos, fewer than {LEAST_VIDEOS}"
    changed, videos = max(large)
    if not changed <= max_flips:
        return f"changed {changed:.2f} % of {videos} videos, more than {max_flips:g} %"
    return ""


def _audits(bundle: Bundle[Manifest], candidate: Candidate, policy: Policy) -> list[tuple[float, int]]:
    """Return the changed percentage and the number of videos of each audit of a candidate; skip damaged entries."""
    record = json.loads(json.dumps(policy.record()))
    setup, found = _setup(bundle, candidate), list[tuple[float, int]]()
    for entry in MeasurementStore(bundle).entries("audits"):
        with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
            measured_on = entry["measured_on"]
            if setup.items() <= measured_on.items() and measured_on["dataset"]["policy"] == record:
                changed, videos = float(entry["changed_percent"]), int(entry["videos"])
                if 0 <= changed <= 100 and videos > 0:
                    found.append((changed, videos))
    return found


def _setup(bundle: Bundle[Manifest], candidate: Candidate) -> dict[str, Any]:
    engine = {"engine": candidate.engine, "precision": candidate.precision}
    packages = engine_versions({candidate.engine}, versions())
    return {"bundle": bundle.digest, **engine, "packages": packages, **cpu_identity()}
