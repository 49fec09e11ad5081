"""Policy-specific behavior of every registered policy, and integration of a policy registered by a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tests.replay import flexible_trace, random_trace
from vbench.bench.explain.explain import explain
from vbench.bench.sweep.operating_points import ReplaySource
from vbench.bench.sweep.policy_grid import candidates
from vbench.bench.sweep.sweep import sweep
from vbench.bench.sweep.sweep_file import SWEEP, make_sweep, read_sweep, write_sweep
from vbench.bench.sweep.target import Target
from vbench.bench.sweep.tune import tune
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.errors import UsageError
from vbench.plots.figures.sweep import sweep_figure
from vbench.plots.figures.sweep_styles import STYLES, group_styles
from vbench.plots.film.film_strip import film_figure
from vbench.plots.report.sweeps import front_table
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.families import FAMILIES
from vbench.runtime.load import load
from vbench.runtime.policies.base import (
    Candidate,
    Decision,
    Evidence,
    Grid,
    Policy,
    StepExplanation,
    SweepTrace,
    record_label,
)
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.first_threshold import DatasetDefaults, FirstThreshold, first_threshold
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import POLICIES, check_servable, grids_for, policy_of, read_policy, write_policy
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, PerVideo, Random, RecordStates, RunAll

# One policy of each kind: its label, its explanation of EVIDENCE, and its record or why it is not servable.
EVIDENCE = Evidence(2, gate=0.75, confidence=0.75, entropy=0.25, labels=(3, 3), video="a")
NO_NAMES = "depends on the video's name, which a server does not receive"
CASES: list[tuple[Policy, str, str, Mapping[str, object] | str]] = [
    (
        FrameExitPolicy(0.95),
        "frameexit first=0.95 gate=0.5",
        "gate 0.75 > 0.5",
        {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]},
    ),
    (
        Confidence(0.7),
        "confidence threshold=0.7",
        "confidence 0.75 > 0.7",
        {"kind": "confidence", "threshold": 0.7},
    ),
    (Entropy(0.2), "entropy threshold=0.2", "entropy 0.25 ≥ 0.2", {"kind": "entropy", "threshold": 0.2}),
    (Patience(2), "patience time=2", "same answer 2 of 2", {"kind": "patience", "times": 2}),
    (Fixed(6), "fixed step=6", "step 2 of 6", {"kind": "fixed", "steps": 6}),
    (Random((0.25, 0.75)), "random share=0.25..0.75 seed=0", "draw 0.79 < 1", NO_NAMES),
    (PerVideo({"a": 3}), "planned step=1 videos", "step 2, planned 3", NO_NAMES),
    (RunAll(), "everything", "everything", {"kind": "everything"}),
    (RecordStates(), "states", "states", "records features, which a server does not store"),
    (FrameCount(8), "8 frames", "frames", {"kind": "frames", "frames": 8}),
    (
        Cascade((4, 8, 16), 0.9),
        "cascade 4, 8, 16 above 0.9",
        "confidence 0.75 ≤ 0.9",
        {"kind": "cascade", "counts": [4, 8, 16], "threshold": 0.9},
    ),
]


def test_every_kind_has_a_case() -> None:
    assert [type(policy) for policy, *_ in CASES] == list(POLICIES.members().values())
    assert {kind: each.kind for kind, each in POLICIES.members().items()} == {kind: kind for kind in POLICIES}


@pytest.mark.parametrize(("policy", "label", "said", "served"), CASES, ids=lambda case: getattr(case, "kind", ""))
def test_label_explanation_record_and_serving(
    policy: Policy, label: str, said: str, served: Mapping[str, object] | str, tmp_path: Path
) -> None:
    assert policy.label() == label
    assert policy.explain(EVIDENCE)._replace(value=None, threshold=None) == StepExplanation(
        bool(policy.exits(EVIDENCE)), said
    )
    write_policy(tmp_path / "policy.json", policy, {})
    assert read_policy(tmp_path / "policy.json") == policy_of(policy.record(), "here") == policy
    if isinstance(served, str):
        kinds = "frameexit, confidence, entropy, patience, fixed, everything"
        with pytest.raises(UsageError, match=f"^a {policy.kind} policy {served}; choose one of {kinds}$"):
            check_servable(policy)
    else:
        check_servable(policy)
        assert policy.record() == served


def test_threshold_at_applies_to_the_recorded_score() -> None:
    gates = FrameExitPolicy(0.9, (0.1, 0.2))
    assert [gates.threshold_at(step) for step in (1, 2, 3)] == [0.9, 0.1, 0.2]
    assert [FrameExitPolicy(0.9, (0.4,)).threshold_at(step) for step in (1, 2, 3)] == [0.9, 0.4, 0.4]
    assert Confidence(0.7).threshold_at(2) == Cascade((4, 8), 0.7).threshold_at(2) == 0.7
    without_threshold = (Entropy(0.2), Patience(2), Fixed(2), Random((1.0,)), PerVideo({}), RunAll(), FrameCount(8))
    assert {policy.threshold_at(1) for policy in without_threshold} == {None}


def test_a_label_abbreviates_the_numbers_of_a_record() -> None:
    many = {"kind": "frameexit", "first_threshold": 0.9, "gate_thresholds": [0.25, 0.75]}
    assert record_label(many) == "frameexit first=0.9 gate=0.25..0.75"
    assert record_label({**many, "gate_thresholds": []}) == "frameexit first=0.9"
    assert record_label({"kind": "other", "names": ["a", "b"], "none": None}) == "other name=['a', 'b']"


def test_groups_are_in_registry_order() -> None:
    gated = ["gates", "searched", "gate_sets", "confidence", "entropy", "patience", "fixed", "random", "oracle"]
    assert list(grids_for(FAMILIES.get("frameexit").accepts)) == gated
    assert list(grids_for(FAMILIES.get("frame_counts").accepts)) == ["fixed", "cascade"]


class Spec:
    """The fields of a bundle's policy that `first_threshold` reads."""

    def __init__(self, value: float | None = None, dataset: str | None = None) -> None:
        self.first_threshold, self.dataset = value, dataset


ACTIVITYNET, DEMO = DatasetDefaults("activitynet", 0.99), DatasetDefaults("demo")


@pytest.mark.parametrize(
    ("explicit", "dataset", "bundle", "expected"),
    [
        (0.5, ACTIVITYNET, Spec(0.7, "minikinetics"), FirstThreshold(0.5, "--first-threshold")),
        (0.0, None, Spec(), FirstThreshold(0.0, "--first-threshold")),
        (None, ACTIVITYNET, Spec(0.7, "minikinetics"), FirstThreshold(0.99, "the data set activitynet")),
        (None, DEMO, Spec(0.7, "minikinetics"), FirstThreshold(0.7, "the bundle's data set minikinetics")),
        (None, None, Spec(0.7, "minikinetics"), FirstThreshold(0.7, "the bundle's data set minikinetics")),
        (None, DEMO, Spec(0.7), FirstThreshold(0.7, "the bundle")),
        (None, DEMO, Spec(None, "demo"), FirstThreshold(0.95, "vbench's default")),
        (None, None, Spec(), FirstThreshold(0.95, "vbench's default")),
    ],
)
def test_precedence_of_the_first_threshold(
    explicit: float | None, dataset: DatasetDefaults | None, bundle: Spec, expected: FirstThreshold
) -> None:
    assert first_threshold(explicit, dataset, bundle) == expected  # type: ignore[arg-type]


@dataclass(frozen=True)
class Margin(Policy):
    """A toy policy: exits if the confidence exceeds the entropy by more than ``margin``."""

    kind: ClassVar[str] = "margin"

    margin: float

    def needs_logits(self, step: int) -> bool:  # noqa: ARG002
        return True

    def needs_gate(self, step: int) -> bool:  # noqa: ARG002
        return False

    def exits(self, evidence: Evidence) -> Decision:
        assert evidence.confidence is not None
        assert evidence.entropy is not None
        return evidence.confidence - evidence.entropy > self.margin

    def explain(self, evidence: Evidence) -> StepExplanation:
        return StepExplanation(bool(self.exits(evidence)), f"margin {self.margin:g}")

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"margins": _margins}


def _margins(trace: SweepTrace, points: int) -> list[Candidate]:  # noqa: ARG001
    return [Candidate("margins", Margin(value)) for value in np.linspace(-1, 1, points).tolist()]


@pytest.fixture
def margin() -> Iterator[None]:
    """Register the toy policy for one test."""
    POLICIES.register("margin", Margin)
    yield
    POLICIES._builtin.pop("margin")
    POLICIES._loaded.pop("margin", None)


def source(trace: Trace) -> ReplaySource:
    return ReplaySource("run", trace, trace_step_times(trace, "run"))


@pytest.mark.usefixtures("margin")
def test_a_toy_policy_is_swept_tuned_plotted_and_reported(tmp_path: Path) -> None:
    drawn = source(random_trace(80, steps=5))
    assert list(grids_for(FAMILIES.get("frameexit").accepts))[-1] == "margins"
    assert {each.group for each in candidates(drawn.trace, ("margins",), 9)} == {"default", "margins"}
    swept = make_sweep([drawn], sweep([drawn], ("margins", "fixed"), 9))
    write_sweep(tmp_path / SWEEP, swept)
    assert read_sweep(tmp_path / SWEEP) == swept
    labels = {point.policy_label for point in swept.points if point.family == "margins"}
    assert "margin margin=0.25" in labels
    figure = sweep_figure([swept])
    assert "margins" in [line.get_label() for line in figure.axes[0].lines]
    assert any("margin margin=" in str(row) for row in front_table(swept).rows)
    tuned = tune(drawn, Target(max_drop=50.0), ("margins",), 9)
    assert tuned.policy.kind in ("margin", "fixed", "frameexit")  # all frames and the default are always candidates
    write_policy(tmp_path / "policy.json", Margin(0.5), {})
    assert read_policy(tmp_path / "policy.json") == Margin(0.5)
    with pytest.raises(UsageError, match="a margin policy comes from a package that the repository does not contain; "):
        check_servable(Margin(0.5))


@pytest.mark.usefixtures("margin")
def test_a_toy_policy_is_explained(tiny_bundle: Bundle) -> None:
    network = load(tiny_bundle.path, "ort", policy=Margin(-1.0))
    frames = np.random.default_rng(0).integers(0, 256, (12, 40, 52, 3), dtype=np.uint8)
    explanation = explain(network, frames)
    assert (explanation.exit_step, explanation.steps[0].decision) == (1, StepExplanation(True, "margin -1"))
    assert explanation.policy_label == "margin margin=-1.0"
    texts = [text.get_text() for text in film_figure(explanation).texts]
    assert any("margin margin=-1.0" in text for text in texts)


@pytest.mark.usefixtures("margin")
def test_a_policy_that_is_not_installed_is_still_plotted(tmp_path: Path) -> None:
    drawn = source(random_trace(40, steps=4))
    write_sweep(tmp_path / SWEEP, make_sweep([drawn], sweep([drawn], ("margins",), 5)))
    kept = POLICIES._builtin.pop("margin")
    swept = read_sweep(tmp_path / SWEEP)
    POLICIES._builtin["margin"] = kept
    assert "margins" in [line.get_label() for line in sweep_figure([swept]).axes[0].lines]
    assert any("margin margin=" in str(row) for row in front_table(swept).rows)


def test_a_duplicate_group_name_is_an_error() -> None:
    class Second(Margin):
        kind = "second"

        @classmethod
        def grids(cls) -> Mapping[str, Grid]:
            return {"entropy": _margins}

    POLICIES.register("second", Second)
    try:
        with pytest.raises(
            UsageError, match=r"^two policies define the sweep group 'entropy'; rename the group of second$"
        ):
            grids_for(FAMILIES.get("frameexit").accepts)
    finally:
        POLICIES._builtin.pop("second")
        POLICIES._loaded.pop("second", None)


@pytest.mark.usefixtures("margin")
def test_a_policy_of_another_family_is_not_swept() -> None:
    assert "margins" not in grids_for(FAMILIES.get("frame_counts").accepts)
    with pytest.raises(UsageError, match=r"unknown policy group 'margins' for made_up; choose from fixed, cascade$"):
        candidates(flexible_trace(9), ("margins",), 9)


def test_unknown_groups_have_distinct_styles() -> None:
    styles = group_styles(["patience", "one", "gates", "two", "three", "four"])
    assert list(styles) == ["gates", "patience", "one", "two", "three", "four"]
    for name in ("label", "color", "marker", "stroke"):
        values = [getattr(style, name) for style in styles.values()]
        assert len(set(values)) == len(values), name
    assert not {styles["one"].color, styles["two"].color} & {style.color for style in STYLES.values()}


def test_a_renamed_bound_has_a_style() -> None:
    trace = random_trace(40, steps=4)
    swept = make_sweep([source(trace)], sweep([source(trace)], ("gates", "oracle"), 9))
    renamed = [replace(point, family="limit") if not point.runnable else point for point in swept.points]
    figure = sweep_figure([replace(swept, points=tuple(renamed))])
    assert "limit (not runnable)" in [line.get_label() for line in figure.axes[0].lines]
