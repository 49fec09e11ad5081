"""Time breakdown and latencies of a run, derived from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .video_row import TIMES, VideoRow

# Minimum number of values for each percentile (MLPerf's rule).
ENOUGH = {50: 1, 90: 64, 99: 662}
_SPLIT = [name for name in TIMES if name != "latency_ms"]


def timing(answered: Sequence[VideoRow], rows: Sequence[VideoRow]) -> dict[str, Any]:
    """Return throughput, latency and the time breakdown.

    ``videos_per_s`` counts predictions over the wall-clock time of the whole run, including failed videos and writing.
    ``time_ms`` is per video: on the engine's thread, waiting, backbone, head and scheduling add up to ``elapsed``. With
    read-ahead, decoding and preprocessing run in parallel with these; otherwise they are part of waiting. A percentile
    is None if there are too few videos for it.
    """
    elapsed_s = sum(row.elapsed_ms for row in rows) / 1e3
    count = max(len(rows), 1)
    steps = sorted({row.exit_step for row in answered if row.exit_step is not None})
    return {
        "videos_per_s": len(answered) / elapsed_s if elapsed_s else None,
        "latency_ms": _percentiles(answered),
        "latency_by_exit_step_ms": {
            str(step): _percentiles([row for row in answered if row.exit_step == step]) for step in steps
        },
        "time_ms": {name.removesuffix("_ms"): sum(getattr(row, name) for row in rows) / count for name in _SPLIT},
    }


def frames(rows: Sequence[VideoRow]) -> dict[str, int]:
    """Return the numbers of frames used, read, read but unused, decoded only as references, and replaced."""
    used = sum(row.frames_used or 0 for row in rows)
    read, decoded = (sum(getattr(row, name) for row in rows) for name in ("frames_read", "frames_decoded"))
    unused = sum(row.frames_read - row.frames_used for row in rows if row.frames_used is not None)
    forced, replaced = max(decoded - read, 0), sum(row.frames_replaced for row in rows)
    return {
        "used": used,
        "read": read,
        "unused": unused,
        "decoded": decoded,
        "forced": forced,
        "replaced": replaced,
    }


def _percentiles(rows: Sequence[VideoRow]) -> dict[str, float | int | None]:
    values = [row.latency_ms for row in rows if row.latency_ms is not None]
    percentiles = {
        f"p{percent}": float(np.percentile(values, percent)) if len(values) >= enough else None
        for percent, enough in ENOUGH.items()
    }
    return {**percentiles, "count": len(values)}
