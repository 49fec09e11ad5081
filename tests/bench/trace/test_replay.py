"""A trace holds what every exit rule would have done: replayed and real runs agree video by video."""

from __future__ import annotations

import json
import resource
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars
import pytest

from tests.marks import slow_except
from tests.replay import flexible_trace, random_trace, record, save_trace
from vbench.bench.datasets import load_dataset
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import resume_run, start_run
from vbench.bench.trace import trace_file
from vbench.bench.trace.replay import exit_steps, predictions
from vbench.bench.trace.step_times import read_step_times, trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.bench.trace.trace_file import TRACE, read_trace
from vbench.errors import MissingError, RunError, UsageError
from vbench.runtime.inputs.base import NamedClip
from vbench.runtime.load import load
from vbench.runtime.policies.base import Decision, Evidence, Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, PerVideo, Random, RunAll
from vbench.runtime.scheduler.options import StreamOptions

VIDEOS = 200


@pytest.fixture(scope="module")
def bundle(demo_bundle: Path) -> Path:
    return demo_bundle


@pytest.fixture(scope="module")
def run(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(bundle, "demo", VIDEOS, tmp_path_factory.mktemp("runs") / "trace")


@pytest.fixture(scope="module")
def trace(run: Path) -> Trace:
    return read_trace(run)


@pytest.fixture(scope="module")
def clips() -> list[NamedClip]:
    found = []
    for video in load_dataset("demo", None).videos[:VIDEOS]:
        source = video.open()
        found.append(NamedClip(video.key, np.stack([source.read(place) for place in range(len(source))])))
    return found


POLICIES: list[Policy] = [
    *(FrameExitPolicy(first, (gate,)) for first in (0.5, 0.95) for gate in (0.05, 0.3, 0.5, 0.9)),
    FrameExitPolicy(0.8, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    FrameExitPolicy(1.0, (1.0,)),
    *map(Confidence, (0.3, 0.7, 0.99)),
    *map(Entropy, (0.05, 0.4, 0.8)),
    *map(Patience, (1, 2, 4)),
    *map(Fixed, (1, 6, 10)),
    Random((0.1,) * 10, seed=3),
    PerVideo({"none": 3}),
    RunAll(),
]


@pytest.mark.parametrize("videos", slow_except([30], [30, VIDEOS]))
def test_replay_equals_reality(bundle: Path, trace: Trace, clips: list[NamedClip], videos: int) -> None:
    assert len(POLICIES) >= 20
    assert len(clips) == len(trace.videos) == VIDEOS
    network, different = load(bundle, "ort", policy=RunAll()), set()
    planned = PerVideo({video: 1 + place % 10 for place, video in enumerate(trace.videos)})
    for policy in (*POLICIES, planned):
        results = list(network.with_policy(policy).stream(clips[:videos], StreamOptions()))
        steps = exit_steps(policy, trace)
        different.add(tuple(steps.tolist()))
        labels, steps = predictions(trace, steps)[:videos], steps[:videos]
        assert [result.prediction.exit_step for result in results] == steps.tolist(), policy
        assert [result.prediction.label for result in results] == labels.tolist(), policy
        macs = trace.header.costs.macs_at_exit(policy)[steps - 1]
        assert [result.prediction.macs for result in results] == macs.tolist(), policy
    assert len(different) >= 20  # or the policies would show little


def test_any_schedule_gives_the_same_exits(bundle: Path, trace: Trace, clips: list[NamedClip]) -> None:
    for policy in (Patience(2), Random((0.1,) * 10), Confidence(0.7)):
        network = load(bundle, "ort", policy=policy)
        results = list(network.stream(reversed(clips), StreamOptions("inflight", 8)))
        found = {clips[-1 - result.clip].name: result.prediction.exit_step for result in results}
        assert found == dict(zip(trace.videos, exit_steps(policy, trace).tolist()))


def test_trace_is_what_the_run_answered(run: Path, trace: Trace) -> None:
    table = polars.read_parquet(run / "predictions.parquet")
    assert trace.header.family == "frameexit"
    assert trace.default_policy == FrameExitPolicy(0.95)
    assert trace.header.default_policy_sources["first_threshold"] == "vbench's default"
    assert table["video"].to_list() == list(trace.videos)
    assert table["prediction"].to_list() == trace.predictions[-1].tolist()
    assert table["exit_step"].to_list() == [10] * VIDEOS
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    assert 100 * trace.tally(Fixed(10)).right / VIDEOS == pytest.approx(metrics["accuracy"])
    assert np.isnan(trace.gates[[0, -1]]).all()
    assert ((trace.gates[1:-1] > 0) & (trace.gates[1:-1] < 1)).all()
    assert (np.diff(trace.latency_ms, axis=0) > 0).all()
    assert trace.elapsed_ms.sum() <= table["elapsed_ms"].sum() * 1.001


def test_killed_trace_goes_on(bundle: Path, run: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(progress: object) -> None:
        if progress.done == 5:  # type: ignore[attr-defined]
            raise KilledError

    config = RunConfig(str(bundle), data=DataOptions(limit=12), trace=True)
    with pytest.raises(KilledError):
        start_run(config, tmp_path / "run", "", kill)
    resume_run(tmp_path / "run")
    whole, resumed = read_trace(run), read_trace(tmp_path / "run")
    assert resumed.videos == whole.videos[:12]
    np.testing.assert_array_equal(resumed.logits, whole.logits[:, :12])
    np.testing.assert_array_equal(resumed.gates, whole.gates[:, :12])


def test_broken_videos_are_counted(trace: Trace, tmp_path: Path) -> None:
    from vbench.bench.records.video_row import VideoRow

    trace_file.write_trace(tmp_path, [VideoRow("broken", (1,), error="it does not decode")], trace.header)
    with pytest.raises(RunError, match="contains no videos"):
        read_trace(tmp_path)


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    trace = random_trace(20, steps=4)
    trace = replace(trace, labels=(None, (), (1, 4), *trace.labels[3:]))
    found = read_trace(save_trace(trace, tmp_path))
    assert (found.header, found.videos, found.labels) == (trace.header, trace.videos, trace.labels)
    for name in ("gates", "confidences", "predictions", "logits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(trace, name))
    for name in ("entropies", "elapsed_ms", "latency_ms"):
        np.testing.assert_allclose(getattr(found, name), getattr(trace, name), rtol=1e-5)


def test_a_full_disk_leaves_no_trace(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MissingError, match=r"trace\.parquet: no space left on the disk"):
            save_trace(random_trace(50), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: {**header, "schema_version": 0}, "has schema version 0, expected 2; record it again"),
        (lambda header: {**header, "schema_version": 1}, "version 1, expected 2; run vbench migrate .*trace.parquet"),
        (lambda header: {**header, "schema_version": 3}, "has schema version 3, expected 2; update vbench"),
        (lambda _: {"schema_version": 2}, "not a valid trace: header: bundle: field required"),
        (lambda _: [], "is not a vbench trace"),
    ],
)
def test_other_schema(run: Path, tmp_path: Path, change, message: str) -> None:
    header = json.loads(polars.read_parquet_metadata(run / TRACE)["vbench.trace"])
    table = polars.read_parquet(run / TRACE)
    table.write_parquet(tmp_path / TRACE, metadata={"vbench.trace": json.dumps(change(header))})
    with pytest.raises(RunError, match=message):
        read_trace(tmp_path)


def test_damaged_trace(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no trace; record it again with vbench run --trace"):
        read_trace(tmp_path)
    (tmp_path / TRACE).write_bytes((run / TRACE).read_bytes()[:1000])
    with pytest.raises(RunError, match="not readable as Parquet"):
        read_trace(tmp_path)
    metadata = {"vbench.trace": polars.read_parquet_metadata(run / TRACE)["vbench.trace"]}
    polars.read_parquet(run / TRACE)[:-1].write_parquet(tmp_path / TRACE, metadata=metadata)
    with pytest.raises(RunError, match="damaged"):
        read_trace(tmp_path)


@pytest.mark.parametrize("column", ["logits", "confidence", "entropy"])
def test_a_trace_with_nan_is_refused(tmp_path: Path, column: str) -> None:
    path = save_trace(random_trace(9, steps=3), tmp_path) / TRACE
    table, header = polars.read_parquet(path), polars.read_parquet_metadata(path)["vbench.trace"]
    values = table[column].to_numpy().copy()
    values[4] = np.nan
    changed = table.with_columns(polars.Series(column, values, dtype=table.schema[column]))
    changed.write_parquet(path, metadata={"vbench.trace": header})
    with pytest.raises(RunError, match=f"column {column} holds a value that is not finite"):
        read_trace(tmp_path)


@pytest.mark.parametrize("label", [[5], [0, -1]])
def test_labels_and_classes_that_do_not_fit(tmp_path: Path, label: list[int]) -> None:
    path = save_trace(random_trace(9, steps=3), tmp_path) / TRACE
    table, header = polars.read_parquet(path), polars.read_parquet_metadata(path)["vbench.trace"]
    wrong = table.with_columns(label=polars.lit(label, dtype=polars.List(polars.Int32)))
    wrong.write_parquet(path, metadata={"vbench.trace": header})
    with pytest.raises(RunError, match="column label holds"):
        read_trace(tmp_path)
    more = json.dumps({**json.loads(header), "classes": 6})
    table.write_parquet(path, metadata={"vbench.trace": more})
    with pytest.raises(RunError, match=r"damaged \(the number of logits"):
        read_trace(tmp_path)


def test_time_of_a_step(run: Path, trace: Trace, bundle: Path, tmp_path: Path) -> None:
    traced = trace_step_times(trace, "trace")
    assert traced.latency_ms.sum() == pytest.approx(trace.latency_ms[-1].mean())
    assert read_step_times(run, 10).elapsed_ms == pytest.approx(traced.elapsed_ms)
    with pytest.raises(RunError, match="has 10 steps, but the trace has 4"):
        read_step_times(run, 4)
    shutil.copytree(run, tmp_path / "no_trace")
    (tmp_path / "no_trace" / TRACE).unlink()
    with pytest.raises(RunError, match="the time of a step cannot be determined from"):
        read_step_times(tmp_path / "no_trace", 10)
    with pytest.raises(RunError, match="not a finished run"):
        read_step_times(tmp_path, 10)
    plain = start_run(RunConfig(str(bundle), data=DataOptions(limit=30)), tmp_path / "plain", "").path
    fitted = read_step_times(plain, 10)
    assert (fitted.latency_ms >= 0).all()
    assert len(set(fitted.latency_ms[1:])) == 1


def test_fitted_times_are_those_of_the_rows(tmp_path: Path) -> None:
    ended = np.array([1, 2, 2, 7])
    table = {"exit_step": ended, "latency_ms": 5.0 + 3 * ended, "elapsed_ms": 4.0 * ended, "error": [None] * 4}
    polars.DataFrame(table).write_parquet(tmp_path / "predictions.parquet")
    found = read_step_times(tmp_path, 8)
    assert found.latency_ms == pytest.approx([8, *[3] * 7])
    assert found.elapsed_ms == pytest.approx([4] * 8)


def test_cost_of_a_policy() -> None:
    costs = random_trace(3, steps=4).header.costs
    gates = costs.macs_at_exit(FrameExitPolicy(0.9))
    assert gates.tolist() == [1e9 + 1e5, 2e9 + 2e5 + 1e6, 3e9 + 2e5 + 2e6, 4e9 + 2e5 + 2e6]
    assert costs.macs_at_exit(Confidence(0.9)).tolist() == [k * (1e9 + 1e5) for k in (1, 2, 3, 4)]
    assert costs.macs_at_exit(Fixed(2)).tolist() == [k * 1e9 + 1e5 for k in (1, 2, 3, 4)]


def test_a_policy_that_does_not_fit(trace: Trace) -> None:
    with pytest.raises(UsageError, match="fixed exits at step 11, but the network has 10 steps"):
        exit_steps(Fixed(11), trace)
    with pytest.raises(UsageError, match="got 2 gate thresholds for a network with 8 gates"):
        exit_steps(FrameExitPolicy(0.5, (0.1, 0.2)), trace)
    with pytest.raises(UsageError, match="no part for 4 frames"):
        exit_steps(Cascade((4,)), trace)


@dataclass(frozen=True)
class Sighted(Policy):
    """Records the evidence that it is shown: the gate of step 2 and the logits of steps 1 and 3."""

    kind = "sighted"
    seen: list[Evidence]

    def needs_gate(self, step: int) -> bool:
        return step == 2

    def needs_logits(self, step: int) -> bool:
        return step in (1, 3)

    def exits(self, evidence: Evidence) -> Decision:
        self.seen.append(evidence)
        return False


def test_a_replay_shows_what_a_policy_asks_for_and_no_more() -> None:
    trace, policy = random_trace(7, steps=4), Sighted([])
    assert trace.tally(policy).exits.tolist() == [0, 0, 0, 7]
    first, second, third = policy.seen
    assert [each.step for each in policy.seen] == [1, 2, 3]
    assert [each.gate is None for each in policy.seen] == [True, False, True]
    assert second.gate is not None
    np.testing.assert_array_equal(second.gate, trace.gates[1])
    assert (second.confidence, second.entropy, second.labels) == (None, None, ())
    np.testing.assert_array_equal(np.stack(third.labels), trace.predictions[[0, 2]])
    np.testing.assert_array_equal(np.stack([first.confidence, third.confidence]), trace.confidences[[0, 2]])


def test_steps_of_a_route_are_numbered_along_it() -> None:
    class Noting(Cascade):
        seen: ClassVar[list[int]] = []

        def exits(self, evidence: Evidence) -> Decision:
            self.seen.append(evidence.step)
            return super().exits(evidence)

    trace = flexible_trace(9)
    exits = trace.tally(Noting((8, 16), 1.0)).exits
    assert (Noting.seen, exits.tolist()) == ([1], [0, 0, 9])


def test_unlabeled_videos_do_not_count() -> None:
    trace = random_trace(50)
    partly = replace(trace, labels=(None, (), *trace.labels[2:]))
    assert partly.labeled.sum() == 48
    assert partly.tally(Fixed(10)).right == trace.hits[-1][2:].sum()
    assert partly.tally(Fixed(10)).exits.sum() == 50
