"""Sweeps of several gate sets from one trace: points, envelope, tuned policies and figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.replay import random_trace
from vbench.bench.sweep.envelope import envelope
from vbench.bench.sweep.operating_points import ReplaySource, evaluate
from vbench.bench.sweep.selection import subset
from vbench.bench.sweep.sweep import sweep
from vbench.bench.sweep.sweep_file import make_sweep, read_sweep, write_sweep
from vbench.bench.sweep.target import Target
from vbench.bench.sweep.tune import tune
from vbench.bench.trace.replay import exit_steps
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.bench.trace.trace_file import read_trace, write_trace_table
from vbench.errors import RunError, UsageError
from vbench.plots.figures.efficiency import efficiency_figure
from vbench.plots.figures.sweep import sweep_figure
from vbench.plots.runs.operating_point import OperatingPoint
from vbench.runtime.policies.base import Candidate
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import policy_of

NAMES = ("beta_1e-04", "beta_1e-03", "beta_1e-02")
THRESHOLDS = (0.95, 0.9, 0.8)


def trace_of_sets(videos: int = 200) -> Trace:
    """A trace whose default set is the first; the third has gates that tell right steps from wrong ones."""
    trace = random_trace(videos)
    policies = [FrameExitPolicy(first, (0.5,), name) for name, first in zip(NAMES, THRESHOLDS)]
    gates = np.where(trace.hits, 0.9, 0.1) + np.random.default_rng(1).uniform(-0.1, 0.1, trace.gates.shape)
    good = np.where(np.isnan(trace.gates), np.nan, gates)
    header = replace(
        trace.header,
        default_policy=policies[0].record(),
        gate_sets={name: policy.record() for name, policy in zip(NAMES, policies)},
    )
    return replace(trace, header=header, other_gates={NAMES[1]: 1 - trace.gates, NAMES[2]: good})


@pytest.fixture(scope="module")
def source() -> ReplaySource:
    trace = trace_of_sets()
    return ReplaySource("run", trace, trace_step_times(trace, "run"))


def test_policies_see_the_gates_of_their_set(source: ReplaySource) -> None:
    trace = source.trace
    for name, gates in ((None, trace.gates), (NAMES[0], trace.gates), *trace.other_gates.items()):
        found = trace.evidence(FrameExitPolicy(0.9, (0.5,), name))
        np.testing.assert_array_equal(found[3].gate, gates[3])
    different = {tuple(exit_steps(FrameExitPolicy(1.0, (0.5,), name), trace)) for name in NAMES}
    assert len(different) == 3
    with pytest.raises(UsageError, match=r"the trace has no gate set 'beta_1'; .* the sets are: beta_1e-04, beta"):
        exit_steps(FrameExitPolicy(0.9, (0.5,), "beta_1"), trace)


def test_every_set_is_swept_densely(source: ReplaySource) -> None:
    points = sweep([source], points=100)
    dense = Counter(point.policy.get("gate_set") for point in points if point.family == "gates")
    assert set(dense) == set(NAMES)
    assert min(dense.values()) >= 90
    assert {point.policy["gate_set"] for point in points if point.family == "searched"} == set(NAMES)
    each = [point for point in points if point.family == "gate_sets"]
    assert [policy_of(point.policy, "") for point in each] == list(source.trace.set_policies.values())
    assert not any(point.pareto for point in points if point.family == "envelope")


def test_the_envelope_is_chosen_and_measured_on_different_videos(source: ReplaySource) -> None:
    points = envelope(source, 100)
    videos = {sum(point.exits) for point in points}
    assert videos == {100}
    assert [point.gmacs for point in points] == sorted(point.gmacs for point in points)
    assert any(point.policy.get("gate_set") == NAMES[2] for point in points)
    order = np.random.default_rng(0).permutation(200)
    held_out = subset(source, order[100:])
    again = evaluate(held_out, [Candidate("envelope", policy_of(point.policy, "")) for point in points])
    assert [point.accuracy for point in again] == [point.accuracy for point in points]


def test_one_set_or_requested_groups_have_no_envelope(source: ReplaySource) -> None:
    plain = random_trace(40)
    assert envelope(ReplaySource("run", plain, trace_step_times(plain, "run")), 50) == []
    assert not [point for point in sweep([source], ("gates",), 50) if point.family == "envelope"]


def test_a_tuned_policy_names_its_set(source: ReplaySource) -> None:
    found = tune(source, Target(gflops=4.2 * 4), ("gates", "gate_sets"), 100)
    assert found.policy.gate_set == NAMES[2]
    assert policy_of(found.policy.record(), "") == found.policy


def test_a_trace_file_keeps_every_set(source: ReplaySource, tmp_path: Path) -> None:
    import polars

    trace = source.trace
    rows = len(trace.videos)

    def column(values: np.ndarray) -> list[object]:
        return [values[step, place] for place in range(rows) for step in range(trace.steps)]

    table = polars.DataFrame(
        {
            "video": [video for video in trace.videos for _ in range(trace.steps)],
            "label": [list(label or ()) for label in trace.labels for _ in range(trace.steps)],
            "step": [step for _ in range(rows) for step in range(1, trace.steps + 1)],
            "gate": column(trace.gates),
            "prediction": column(trace.predictions),
            "confidence": column(trace.confidences),
            "entropy": column(trace.entropies),
            "logits": polars.Series(np.array(column(trace.logits)), dtype=polars.Array(polars.Float32, 5)),
            "elapsed_ms": column(trace.elapsed_ms),
            "latency_ms": column(trace.latency_ms),
            **{f"gate_{name}": column(values) for name, values in trace.other_gates.items()},
        }
    )
    write_trace_table(tmp_path / "trace.parquet", table, trace.header)
    found = read_trace(tmp_path)
    assert list(found.set_policies) == list(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(found.gate_values(name), trace.gate_values(name))
    write_trace_table(tmp_path / "trace.parquet", table.drop("gate_beta_1e-02"), trace.header)
    with pytest.raises(RunError, match="column gate_beta_1e-02 is missing"):
        read_trace(tmp_path)


def test_figures_mark_the_sets_and_draw_their_envelope(source: ReplaySource, tmp_path: Path) -> None:
    made = make_sweep([source], sweep([source], points=60))
    write_sweep(tmp_path / "sweep.parquet", made)
    again = read_sweep(tmp_path / "sweep.parquet")
    runs: list[OperatingPoint] = []
    for figure in (efficiency_figure(runs, published=published(), sweeps=[again]), sweep_figure([again])):
        labels = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
        sets = next(line for label, line in labels.items() if label.endswith("gate sets, each as fitted"))
        assert len(np.atleast_1d(sets.get_xdata())) == 3
        assert sets.get_linestyle() == "None"
        line = next(line for label, line in labels.items() if "envelope of gate sets" in label)
        assert len(np.atleast_1d(line.get_xdata())) > 1


def published() -> object:
    from vbench.plots.published.frameexit import published_overlay

    return published_overlay("minikinetics")
