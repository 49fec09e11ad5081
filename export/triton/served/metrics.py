"""Counters on the server's metrics endpoint: clips by exit step, frames used, and clips that failed."""

from __future__ import annotations

import threading
from typing import Any

import triton_python_backend_utils as pb_utils

from ....runtime.scheduler.results import Prediction
from .one_line import one_line

_FAMILIES = {
    "vbench_clips_total": "Number of clips that were classified, by exit step",
    "vbench_frames_used_total": "Number of frames that the classified clips used",
    "vbench_clips_failed_total": "Number of clips that failed",
}


class ClipMetrics:
    """Counts the clips of a model. Thread-safe."""

    def __init__(self, model: str, steps: int) -> None:
        """Create the counters of ``model``, whose clips end at one of ``steps`` steps."""
        self._labels, self._lock = {"model": model}, threading.Lock()
        self._families: dict[str, Any] = {}
        self._counters: dict[tuple[str, int], Any] = {}
        try:
            self._create(steps)
        except Exception as error:  # a server without metrics; serving does not depend on them
            self.close()
            pb_utils.Logger.log_warn(f"{model}: clips are not counted, because metrics are off: {one_line(error)}")

    def count(self, prediction: Prediction | None) -> None:
        """Count a clip; None is one that failed."""
        if prediction is None:
            self._add("vbench_clips_failed_total", 1)
            return
        self._add("vbench_clips_total", 1, prediction.exit_step)
        self._add("vbench_frames_used_total", prediction.frames_used)

    def close(self) -> None:
        """Delete the counters, and then their families, as the backend requires."""
        with self._lock:
            self._counters.clear()
            self._families.clear()

    def _create(self, steps: int) -> None:
        for name, description in _FAMILIES.items():
            kind = pb_utils.MetricFamily.COUNTER
            self._families[name] = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        exits, frames, failed = self._families.values()
        for step in range(1, steps + 1):
            labels = {**self._labels, "exit_step": str(step)}
            self._counters["vbench_clips_total", step] = exits.Metric(labels=labels)
        self._counters["vbench_frames_used_total", 0] = frames.Metric(labels=self._labels)
        self._counters["vbench_clips_failed_total", 0] = failed.Metric(labels=self._labels)

    def _add(self, name: str, value: int, step: int = 0) -> None:
        with self._lock:
            counter = self._counters.get((name, step))
            if counter is not None:
                counter.increment(value)
