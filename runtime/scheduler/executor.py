"""Run a batch: load inputs, compute the tick, and resolve decisions.

A tick is one backbone call. With ``sync="step"``, its decisions are resolved immediately. With ``speculative``, they
are resolved after the next tick's backbone call, which may have processed another frame of a clip that turns out to
have ended. This hides the device-to-host round trip; wasted computation is counted. A frame is started before the
decision only if its pixels are ready: the executor never blocks on decoding while a decision is pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...errors import VbenchError
from .active_clip import Clock
from .decision import StepDecision
from .finite import checked
from .program import PendingDecisions, StepProgram
from .scheduler import Batch, BatchResult, Row


class _Launched(NamedTuple):
    """Pending decisions, and the rows at launch time, by slot."""

    rows: Mapping[int, Row]
    decisions: PendingDecisions


class StepExecutor:
    """Runs batches on a program. Owned by one thread."""

    def __init__(self, program: StepProgram, clock: Clock, *, speculative: bool) -> None:
        self._program, self._clock, self._speculative = program, clock, speculative
        self._pending: _Launched | None = None

    def run(self, batch: Batch) -> BatchResult:
        """Run a batch or, if that would delay a pending decision, only resolve the decision."""
        for slot in batch.begins:
            self._program.begin(slot)
        for move, with_input in batch.moves:
            self._program.move(move, loaded=with_input)
        if self._pending is not None and not (batch.active and all(row.ready for row in batch.active)):
            begin = self._clock()
            decisions = self._resolve()
            return BatchResult(computed=False, decisions=decisions, head_s=self._clock() - begin)
        begin = self._clock()
        loaded, failed = self._load(batch)
        wait_s = self._clock() - begin
        if failed or not batch.active:
            return BatchResult(computed=False, loaded=loaded, failed=failed, wait_s=wait_s)
        return self._tick(batch, loaded, wait_s)

    def _load(self, batch: Batch) -> tuple[list[int], dict[int, VbenchError]]:
        """Load all missing inputs; return the clips that were loaded and the errors of those that failed."""
        loaded, failed = list[int](), dict[int, VbenchError]()
        for row in batch.active:
            if row.loaded or row.source is None:
                continue
            try:
                self._program.load(row.request.slot, row.request.step, row.source)
                loaded.append(row.clip)
            except VbenchError as error:
                failed[row.clip] = error
        return loaded, failed

    def _tick(self, batch: Batch, loaded: list[int], wait_s: float) -> BatchResult:
        begin = self._clock()
        self._program.backbone([row.request for row in batch.rows])
        middle = self._clock()
        previous = self._resolve()  # the previous tick's decisions; empty unless speculative
        ended = [clip for clip, decision in previous.items() if decision.ends]
        continuing = [row for row in batch.active if row.clip not in ended]
        if continuing:
            self._launch(continuing, len(batch.rows))
        decisions = previous if self._speculative else self._resolve()
        end = self._clock()
        middle = middle if self._program.has_heads else end
        return BatchResult(
            computed=True,
            loaded=loaded,
            launched={row.clip: row.request.step for row in continuing},
            pending=self._speculative,
            decisions=decisions,
            wasted=[row.clip for row in batch.active if row.clip in ended],
            row_macs=self._program.backbone_macs + (self._program.launch_macs if continuing else 0),
            wait_s=wait_s,
            backbone_s=middle - begin,
            head_s=end - middle,
        )

    def _launch(self, continuing: list[Row], rows: int) -> None:
        decisions = self._program.launch([row.request for row in continuing], rows)
        self._pending = _Launched({row.request.slot: row for row in continuing}, decisions)

    def _resolve(self) -> dict[int, StepDecision]:
        """Wait for the pending decisions, if any, and return them by clip."""
        pending, self._pending = self._pending, None
        if pending is None:
            return {}
        decisions = pending.decisions.resolve()
        rows = ((pending.rows[slot], decision) for slot, decision in decisions.items())
        return {row.clip: checked(decision, row.request.step) for row, decision in rows}
