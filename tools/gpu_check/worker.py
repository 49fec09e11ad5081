"""One contender in a separate process, which may crash or hang; it serves requests until its input ends.

A request is a line of JSON on stdin, its reply a line on the original stdout; output printed by libraries goes to
stderr. The process exits without shutdown, so a library that crashes on unload does no harm.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from vbench.runtime.doctor.finding import first_line
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.cascade import FrameCount
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import SPECULATIVE, STEP, StreamOptions
from vbench.runtime.scheduler.results import ClipResult
from vbench.runtime.telemetry.gpu_monitor import Telemetry

from .answers import ClipAnswers, Pass, WorkerRequest
from .clips import Drawn, read
from .contenders import Contender
from .settings import WorkerConfig

_NEVER = FrameExitPolicy(1.0)  # no confidence exceeds one
_OPTIONS = "options"


def main() -> None:
    """Serve requests until the input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            _serve(sys.stdin, out)
        except BaseException as error:  # including SystemExit, which a package may raise on import
            _send(out, {"error": first_line(error)})
        os._exit(0)


def _serve(requests: TextIO, out: TextIO) -> None:
    task = json.loads(requests.readline())
    config = WorkerConfig(Path(task["bundle"]), Path(task["clips"]), task["slots"])
    options = {**task["contender"], _OPTIONS: tuple((name, value) for name, value in task["contender"][_OPTIONS])}
    contender = Contender(**options)
    module, function = contender.loader.split(":")
    handler = _RequestHandler(getattr(import_module(module), function)(contender, config), config)
    _send(out, {"reply": handler.network.engine.describe()})
    for line in requests:
        try:
            _send(out, {"reply": handler.answer(WorkerRequest(**json.loads(line)))})
        except Exception as error:
            _send(out, {"error": first_line(error)})


def _send(out: TextIO, reply: dict[str, Any]) -> None:
    out.write(json.dumps(reply) + "\n")
    out.flush()


class _RequestHandler:
    """Runs the requests on one network."""

    def __init__(self, network: Network, config: WorkerConfig) -> None:
        self.network = network
        self._config = config
        self._clips: dict[str, list[Drawn]] = {}

    def answer(self, request: WorkerRequest) -> Any:
        kinds: dict[str, Callable[[WorkerRequest], Any]] = {
            "answers": self._answers,
            "latency": self._latency,
            "pass": self._pass,
        }
        return kinds[request.kind](request)

    def _drawn(self, request: WorkerRequest) -> Iterator[Drawn]:
        if request.clips not in self._clips:
            self._clips[request.clips] = read(self._config.clips, request.clips)
        return islice(cycle(self._clips[request.clips]), request.videos)

    def _network(self, request: WorkerRequest) -> Network:
        """Return the network with the policy of a request."""
        if not self.network.family.cumulative:
            return self.network.with_policy(FrameCount(request.frames))
        if request.exit_step:
            return self.network.with_policy(ending_at(request.exit_step, self.network.steps))
        return self.network.with_policy(_NEVER) if request.schedule == "all" else self.network

    def _answers(self, request: WorkerRequest) -> dict[str, Any]:
        results = sorted(
            self._network(request).stream(self._drawn(request), _options(request)), key=lambda result: result.clip
        )
        found = [result.unwrap() for result in results]
        logits = tuple(tuple(map(float, one.logits)) for one in found)
        return asdict(ClipAnswers(tuple(o.label for o in found), tuple(o.exit_step for o in found), logits))

    def _latency(self, request: WorkerRequest) -> list[float]:
        """Return the milliseconds from pixels in host memory to the prediction, per clip."""
        network = self._network(request)
        taken = []
        for clip in self._drawn(request):
            begin = perf_counter()
            found = network.predict(clip)
            taken.append(1e3 * (perf_counter() - begin))
            if found.exit_step != request.exit_step:
                raise RuntimeError(f"a clip exited at step {found.exit_step} instead of {request.exit_step}")
        return taken

    def _pass(self, request: WorkerRequest) -> dict[str, Any]:
        network = self._network(request)
        with Telemetry(network.engine.describe()) as telemetry:
            begin = perf_counter()
            results = list(network.stream(self._drawn(request), _options(request)))
            seconds = perf_counter() - begin
        for result in results:
            result.unwrap()
        return asdict(_passed(seconds, results, telemetry))


def _options(request: WorkerRequest) -> StreamOptions:
    schedule = "inflight" if request.schedule in ("all", SPECULATIVE) else request.schedule
    sync = SPECULATIVE if request.schedule == SPECULATIVE else STEP
    return StreamOptions(schedule, request.slots, prefetch=1, sync=sync)


def ending_at(step: int, steps: int) -> FrameExitPolicy:
    """Return the policy under which every clip exits at ``step``; all earlier gates run as usual."""
    gates = tuple(0.0 if gate == step else 1.0 for gate in range(2, steps))
    return FrameExitPolicy(0.0 if step == 1 else 1.0, gates or (1.0,))


def _passed(seconds: float, results: list[ClipResult], telemetry: Telemetry) -> Pass:
    seen, costs = telemetry.record(len(results)), [result.cost for result in results]
    return Pass(
        seconds,
        len(results),
        macs=float(sum(cost.macs for cost in costs)),
        engine_s=sum(cost.backbone_s + cost.head_s for cost in costs),
        scheduling_s=sum(cost.scheduling_s for cost in costs),
        gpu=None if seen is None else seen.as_dict(),
    )
