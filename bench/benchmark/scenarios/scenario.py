"""Run an MLPerf LoadGen scenario on a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....errors import DatasetError, RunError
from ....files import disk_error
from ....option_fields import option_record
from ....runtime.networks.base import Network
from ....runtime.telemetry.host_monitor import HostMonitor
from ....runtime.telemetry.stability import problems
from ...datasets.base import Video
from .answering import answer_queries, clips_per_second, least_latency_ms
from .early_stopping import queries_needed
from .loadgen_client import require_loadgen
from .loadgen_log import LoadGenRun, read_run
from .loadgen_settings import loadgen_test
from .options import OFFLINE, SERVER, ScenarioOptions
from .search import find_rate

UNITS = {OFFLINE: "clips/s", SERVER: "clips/s"}


@dataclass(frozen=True)
class ScenarioResult:
    """Result of a scenario.

    Attributes:
        options: the options, with their defaults filled in.
        value: single-stream: latency at the percentile, in ms; offline: clips per second; server: highest rate at which
            the bound holds, in clips per second, or None if it holds at none.
        run: the LoadGen test that the value comes from; None if there is no value.
        runs: all LoadGen tests, in order.
        note: why there is no value; else "".
        disturbances: what disturbed the machine during a test, one line each; if there are any, the value is UNSTABLE.
    """

    options: ScenarioOptions
    value: float | None
    run: LoadGenRun | None
    runs: tuple[LoadGenRun, ...]
    note: str = ""
    disturbances: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether LoadGen's verdict on the test behind the value is VALID."""
        return self.run is not None and self.run.valid

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "options": option_record(self.options),
            "value": self.value,
            "unit": UNITS.get(self.options.scenario, "ms"),
            "verdict": "VALID" if self.valid else "INVALID",
            "note": self.note,
            "disturbances": list(self.disturbances),
            "runs": [run.as_dict() for run in self.runs],
        }


def run_scenario(
    network: Network,
    videos: Sequence[Video],
    options: ScenarioOptions,
    log_folder: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> ScenarioResult:
    """Run a scenario over ``videos`` in the order that LoadGen chooses; latencies include decoding.

    Args:
        log_folder: receives a folder with LoadGen's logs for each test.
        progress: receives a line before each test.

    Raises:
        UsageError: an option is out of range.
        MissingError: LoadGen is not installed.
        DatasetError: there are no clips.
        RunError: a clip or LoadGen failed, or ``log_folder`` already contains such logs.
        VbenchError: the engine failed.
    """
    options = options.resolve()
    require_loadgen()
    if not videos:
        raise DatasetError("there are no clips to run", "choose a data set or folder with at least one clip")
    network.warm_up(options.stream())
    tester = _Tester(network, videos, options, log_folder, progress)
    return replace(_result(tester), disturbances=tuple(tester.disturbances))


def _result(tester: _Tester) -> ScenarioResult:
    options = tester.options
    if options.target_qps is not None:
        run = tester.test(options.target_qps)
        return ScenarioResult(options, options.target_qps if run.holds else None, run, (run,), _missed(run, options))
    throughput = clips_per_second(tester.network, tester.videos, options.stream())
    if options.scenario == SERVER:
        return _search(tester, throughput)
    run = tester.test(throughput)
    return ScenarioResult(options, _value(run, options), run, (run,))


class _Tester:
    """Runs LoadGen tests, each with its own folder."""

    def __init__(
        self,
        network: Network,
        videos: Sequence[Video],
        options: ScenarioOptions,
        log_folder: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.network, self.videos, self.options = network, videos, options
        self._folder, self._progress, self._count = log_folder, progress, 0
        self.disturbances: dict[str, None] = {}  # in the order in which they were seen

    def test(self, rate: float) -> LoadGenRun:
        """Run one test; ``rate`` is the arrival rate or the expected throughput, in clips per second."""
        self._count += 1
        name = f"{self._count:02d}-{self.options.scenario}"
        name = f"{name}-{rate:.2f}-per-s" if self.options.scenario == SERVER else name
        folder = self._folder / name
        _make(folder)
        self._progress(f"LoadGen: {name}, at least {self.options.min_duration_s:g} s")
        test = loadgen_test(self.options, rate, len(self.videos), str(folder.absolute()))
        with HostMonitor() as host:
            rejected = answer_queries(self.network, self.videos, test, self.options.stream())
        self.disturbances |= {problem.text: None for problem in problems(host.record())}
        return read_run(test, rejected, queries_needed(self.options.percentile / 100, misses=0))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise RunError(f"{folder} already exists", "choose another folder for LoadGen's logs") from None
    except OSError as error:
        raise disk_error(folder, error) from error


def _search(tester: _Tester, throughput: float) -> ScenarioResult:
    options = tester.options
    least_ms = least_latency_ms(tester.network, tester.videos, options.stream())
    if least_ms > options.latency_ms:
        note = f"a clip that runs alone takes {least_ms:.0f} ms or more, which exceeds {options.latency_ms:g} ms"
        return ScenarioResult(options, None, None, (), note)
    found = find_rate(tester.test, throughput)
    if found.best is None:
        return ScenarioResult(
            options,
            None,
            None,
            found.probes,
            f"no rate was found at which p{options.percentile:g} is within {options.latency_ms:g} ms",
        )
    return ScenarioResult(options, found.best.target_qps, found.best, found.probes)


def _missed(run: LoadGenRun, options: ScenarioOptions) -> str:
    if run.holds:
        return ""
    missed = f"{run.missed} of {run.queries} clips exceeded {options.latency_ms:g} ms"
    return f"p{options.percentile:g} is not within the bound at {run.target_qps:g} clips/s: {missed}"


def _value(run: LoadGenRun, options: ScenarioOptions) -> float | None:
    if options.scenario == OFFLINE:
        return run.samples_per_s
    return run.early_stopping_ms or run.latencies_ms.get(options.percentile)
