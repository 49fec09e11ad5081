"""Output of ``vbench bench --scenario``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common.output import aligned, number, print_json, print_lines, stages

if TYPE_CHECKING:
    from ..bench.benchmark.scenarios import LoadGenRun, ScenarioOptions, ScenarioResult
    from ..bench.benchmark.start import BenchConfig
_HEAD = ("rate", "clips", "clips/s", "p50 ms", "p90 ms", "p99 ms", "missed", "rejected", "LoadGen", "logs")


def bench_scenario(config: BenchConfig, scenario: ScenarioOptions, out: Path | None, *, as_json: bool) -> None:
    """Run a LoadGen scenario on one contender, keep its logs, and print its result.

    The contender uses the first of the given engines, precisions, schedules, slots and frame counts.

    Raises:
        VbenchError: see `run_scenario`.
    """
    from ..bench.benchmark.scenarios import run_scenario
    from ..bench.benchmark.start import open_contender, vacant_folder
    from ..runtime.bundle.bundle import open_bundle

    options = config.options
    chosen: dict[str, Any] = {"schedule": options.schedules, "slots": options.slots}
    scenario = replace(scenario, **{name: values[0] for name, values in chosen.items() if values}).resolve()
    bundle = open_bundle(config.bundle)
    folder = vacant_folder(bundle, out)
    with stages() as stage:
        stage("loading")
        network, videos = open_contender(config, bundle, scenario.stream())
        result = run_scenario(network, videos, scenario, folder, stage)
    if as_json:
        print_json({"logs": str(folder), **result.as_dict()})
        return
    print_lines((*scenario_lines(result), folder))


def scenario_lines(result: ScenarioResult) -> list[str]:
    """Return the result, one row per LoadGen test, and the reason why any test is INVALID."""
    lines = [_summary(result)]
    if result.runs:
        lines += aligned([_HEAD, *map(_row, result.runs)]).split("\n")
    if any(run.rejected for run in result.runs):
        wait = f"{result.options.max_wait_ms:g} ms"
        lines.append(f"rejected: clips that had waited {wait} for a slot, which is the limit; they count as missed")
    lines += [f"UNSTABLE: {reason}" for reason in result.disturbances]
    invalid = [run for run in result.runs if not run.valid]
    return lines + [f"{Path(run.folder).name}: {reason}" for run in invalid for reason in run.reasons]


def _summary(result: ScenarioResult) -> str:
    options, verdict = result.options, "VALID" if result.valid else "INVALID"
    if result.value is None:
        return f"{options.scenario}: {result.note}"
    if options.scenario == "offline":
        return f"offline: {result.value:.1f} clips/s: {verdict}"
    if options.scenario == "single-stream":
        return f"single-stream: p{options.percentile:g} {result.value:.2f} ms: {verdict}"
    bound = f"p{options.percentile:g} within {options.latency_ms:g} ms"
    return f"server: {result.value:.1f} clips/s with {bound}: {verdict}"


def _row(run: LoadGenRun) -> tuple[str, ...]:
    latencies = (number(run.latencies_ms[percentile]) for percentile in (50.0, 90.0, 99.0))
    return (
        number(run.target_qps, digits=1),
        str(run.queries),
        number(run.samples_per_s, digits=1),
        *latencies,
        str(run.missed),
        str(run.rejected),
        "VALID" if run.valid else "INVALID",
        Path(run.folder).name,
    )
