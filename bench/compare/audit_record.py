"""Record an audit with the bundle's measurements, where ``--precision auto`` finds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...runtime.bundle.bundle import open_bundle
from ...runtime.engine_choice.audits import record_audit
from ...runtime.engine_choice.candidates import EXACT, LOWER, Candidate
from ...runtime.engines.device import CPU
from ..records.run_file import Entries, read_run
from ..records.tables import read_predictions
from .audit import AuditedRun


def _layers(record: Entries, unknown: str) -> str:
    """Return the engine's layer counts by compute precision; ``unknown`` if the engine does not report them."""
    return str(record.object("engine_details").content.get("layers", unknown)).replace("i8", "int8")


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
    if one.precision not in _layers(record, one.precision):
        return f"not recorded for --precision auto: {one.engine} ran no layer in {one.precision}"
    if record_audit(open_bundle(bundle), candidate, dataset, changed_percent, len(videos)):
        return f"recorded for --precision auto: {candidate} changed {changed_percent:.2f} % of {len(videos)} videos"
    return f"not recorded for --precision auto: {bundle} is not writable"
