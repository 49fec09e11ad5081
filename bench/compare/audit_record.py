"""Record an audit with the bundle's measurements, where ``--precision auto`` finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ...runtime.bundle.bundle import open_bundle
from ...runtime.engine_choice.audits import record_audit
from ...runtime.engine_choice.candidates import EXACT, LOWER, Candidate
from ...runtime.engines.device import CPU
from ..records.run_file import read_run
from ..records.tables import read_predictions
from .audit import AuditedRun

_LAYERS = {"bf16": ("bf16:",), "int8": ("i8:", "u8:")}  # OpenVINO's names, in its description of the layers


def record_finding(one: AuditedRun, reference: AuditedRun, changed_percent: float, bundle: Path) -> str:
    """Record an audit of a lower precision on the CPU against fp32; return a note on it, "" for any other audit.

    Args:
        one: the audited run.
        changed_percent: percentage of its videos whose class or exit step differs from the reference.

    Raises:
        BundleError, RunError: the bundle, or the audited run, cannot be read.
    """
    if one.precision not in LOWER or one.device not in (None, CPU) or reference.precision != EXACT:
        return ""
    record, videos = read_run(Path(one.run)), read_predictions(Path(one.run))["video"].to_list()
    dataset = {
        "name": record.get("dataset", str),
        "videos_sha256": hashlib.sha256("\n".join(sorted(videos)).encode()).hexdigest(),
        "policy": dict(record.object("policy").content),
    }
    candidate = Candidate(one.engine, one.precision)
    if not _ran_in(one.precision, record.object("engine_details").content):
        return f"not recorded for --precision auto: {one.engine} ran no layer in {one.precision}"
    if record_audit(open_bundle(bundle), candidate, dataset, changed_percent, len(videos)):
        return f"recorded for --precision auto: {candidate} changed {changed_percent:.2f} % of {len(videos)} videos"
    return f"not recorded for --precision auto: {bundle} is not writable"


def _ran_in(precision: str, engine: Mapping[str, object]) -> bool:
    """Return whether any layer ran in a precision; True if the engine does not say, which only OpenVINO does."""
    layers = engine.get("layers")
    return layers is None or any(name in str(layers) for name in _LAYERS[precision])
