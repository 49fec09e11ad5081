"""Exit rules: single clips and arrays decide equally, NaN continues, out-of-range numbers fail; and policy files."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay import random_trace
from vbench.errors import MissingError, UsageError
from vbench.runtime.policies.base import Evidence, Policy
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import POLICIES, policy_of, read_policy, write_policy
from vbench.runtime.policies.rules import (
    Confidence,
    Entropy,
    Fixed,
    Patience,
    PerVideo,
    Random,
    RecordStates,
    RunAll,
    draw,
)

STEPS = 5
RULES: list[Policy] = [
    FrameExitPolicy(0.75, (0.5,)),
    FrameExitPolicy(0.25, (0.0, 0.5, 1.0)),
    *map(Confidence, (0.0, 0.5, 1.0)),
    *map(Entropy, (0.0, 0.5, 1.0)),
    *map(Patience, (1, 2, 3)),
    *map(Fixed, (1, 3, 5)),
    Random((0.2, 0.3, 0.0, 0.5, 0.0), seed=7),
    PerVideo({"a": 1, "b": 3}),
    RunAll(),
    RecordStates(),
    Cascade((4, 8), 0.5),
]
RECORDED: list[Policy] = [*RULES, FrameCount(8)]

scores = st.sampled_from([0.0, 0.25, 0.5, float(np.nextafter(0.5, 1)), 0.75, 1.0, float("nan")])
clips = st.tuples(scores, scores, scores, st.lists(st.integers(0, 2), min_size=STEPS, max_size=STEPS))


def evidence_of(step: int, clip: tuple[float, float, float, list[int]], video: str) -> Evidence:
    gate, confidence, entropy, labels = clip
    return Evidence(step, gate, confidence, entropy, tuple(labels[:step]), video)


@settings(max_examples=100)
@given(st.lists(clips, min_size=1, max_size=6), st.integers(1, STEPS - 1))
def test_single_clips_and_arrays_decide_equally(drawn: list[tuple[float, float, float, list[int]]], step: int) -> None:
    names = [chr(ord("a") + place) for place in range(len(drawn))]
    gates, confidences, entropies = (np.array([clip[place] for clip in drawn]) for place in range(3))
    labels = np.array([clip[3] for clip in drawn]).T
    together = Evidence(step, gates, confidences, entropies, tuple(labels[:step]), tuple(names))
    for policy in RULES:
        alone = [bool(policy.exits(evidence_of(step, clip, name))) for clip, name in zip(drawn, names)]
        assert np.broadcast_to(policy.exits(together), len(drawn)).tolist() == alone, policy


@pytest.mark.parametrize(
    ("policy", "evidence", "exits"),
    [
        (Confidence(0.5), Evidence(2, confidence=0.5), False),
        (Confidence(0.5), Evidence(2, confidence=0.5 + 1e-9), True),
        (Confidence(0.0), Evidence(2, confidence=float("nan")), False),
        (Confidence(0.0), Evidence(2, gate=1.0), False),
        (Entropy(0.5), Evidence(2, entropy=0.5), False),
        (Entropy(0.5), Evidence(2, entropy=0.5 - 1e-9), True),
        (Entropy(1.0), Evidence(2, entropy=float("nan")), False),
        (Entropy(1.0), Evidence(2, confidence=1.0), False),
        (Patience(1), Evidence(1, labels=(3,)), True),
        (Patience(2), Evidence(1, labels=(3,)), False),
        (Patience(2), Evidence(3, labels=(1, 3, 3)), True),
        (Patience(2), Evidence(3, labels=(3, 3, 1)), False),
        (Patience(3), Evidence(3, labels=(1, 3, 3)), False),
        (Fixed(2), Evidence(1), False),
        (Fixed(2), Evidence(2), True),
        (PerVideo({"a": 2}), Evidence(1, video="a"), False),
        (PerVideo({"a": 2}), Evidence(2, video="a"), True),
        (PerVideo({"a": 2}), Evidence(9, video="b"), False),
        (Random((0.0, 1.0)), Evidence(1, video="a"), False),
        (Random((1.0, 0.0)), Evidence(1, video="a"), True),
        (RunAll(), Evidence(9, 1.0, 1.0, 0.0, (1,) * 9), False),
    ],
)
def test_decisions(policy: Policy, evidence: Evidence, exits: bool) -> None:
    assert bool(policy.exits(evidence)) is exits


def test_requested_evidence() -> None:
    with_logits = (Confidence(0.5), Entropy(0.5), Patience(2), RunAll())
    assert all(policy.needs_logits(step) for policy in with_logits for step in range(1, STEPS))
    without = (Fixed(2), Random((1.0,)), PerVideo({}))
    assert not any(policy.needs_logits(step) for policy in without for step in range(1, STEPS))
    assert [RunAll().needs_gate(step) for step in (1, 2, 3)] == [False, True, True]
    assert not any(policy.needs_gate(step) for policy in (*with_logits[:-1], *without) for step in range(1, STEPS))


@pytest.mark.parametrize("outside", [-0.01, 1.01, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "rule", [Confidence, Entropy, lambda share: Random((share, 0.5)), lambda share: Cascade((4, 8), share)]
)
def test_numbers_out_of_range(rule: Any, outside: float) -> None:
    with pytest.raises(UsageError, match=r"outside \[0, 1\]; choose a value from 0 to 1$") as caught:
        rule(outside)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda: Patience(0), "^patience must be 1 or more, got 0; choose 1 or more$"),
        (lambda: Fixed(0), "^steps must be 1 or more, got 0; choose 1 or more$"),
        (lambda: Random((0.5, 0.4)), "^shares must sum to 1, got 0.9; pass shares that sum to 1$"),
        (lambda: Random(()), "^shares must sum to 1, got 0;"),
        (
            lambda: Random((0.5, 0.5)).route((1, 1, 1)),
            "^got 2 shares for a network with 3 steps; pass one share for each step$",
        ),
        (
            lambda: Fixed(4).route((1, 1, 1)),
            "^fixed exits at step 4, but the network has 3 steps; choose a step from 1 to 3$",
        ),
    ],
)
def test_invalid_rules(rule: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rule()


def test_valid_routes() -> None:
    assert Fixed(3).route((1, 1, 1)) == (1, 2, 3)
    assert Random((0.3, 0.3, 0.4 + 1e-9)).route((1, 1, 1)) == (1, 2, 3)
    for policy in (Confidence(0.5), Entropy(0.5), Patience(9), PerVideo({"a": 9}), RunAll()):
        assert policy.route((1,)) == (1,)


def test_random_exits_have_the_given_shares() -> None:
    shares, videos = (0.05, 0.25, 0.0, 0.4, 0.3), 20_000
    trace = random_trace(videos, steps=STEPS)
    for seed in (0, 1):
        exits = trace.tally(Random(shares, seed)).exits
        assert exits[2] == 0
        expected = np.array(shares) * videos
        chi_square = ((exits - expected) ** 2)[expected > 0] / expected[expected > 0]
        assert chi_square.sum() < 16.3  # 99.9th percentile at 3 degrees of freedom


def test_a_draw_depends_only_on_name_and_seed() -> None:
    names = [f"folder/{number}.mp4" for number in range(500)]
    assert draw(0, "a") == pytest.approx(0.7926264, abs=1e-6)  # the same on every machine
    assert len({draw(0, name) for name in names}) == len({draw(seed, "a") for seed in range(500)}) == 500
    policy = Random((0.5, 0.5), seed=3)
    forth, back = (policy.exits(Evidence(1, video=order)) for order in (tuple(names), tuple(reversed(names))))
    assert np.asarray(forth).tolist() == np.asarray(back).tolist()[::-1]
    other = Random((0.5, 0.5), seed=4).exits(Evidence(1, video=tuple(names)))
    assert 150 < np.count_nonzero(np.asarray(forth) != other) < 350  # independent draws differ for half of the videos


@pytest.mark.parametrize("policy", RECORDED, ids=lambda policy: json.dumps(policy.record())[:60])
def test_records_and_files_round_trip(policy: Policy, tmp_path: Path) -> None:
    assert policy_of(json.loads(json.dumps(policy.record())), "here") == policy
    write_policy(tmp_path / "new" / "policy.json", policy, {"tuned_on": {"videos": 3}})
    assert read_policy(tmp_path / "new" / "policy.json") == policy
    content = json.loads((tmp_path / "new" / "policy.json").read_text(encoding="utf-8"))
    assert content == {"schema_version": 1, "policy": policy.record(), "tuned_on": {"videos": 3}}


def test_every_kind_is_covered() -> None:
    assert {policy.record()["kind"] for policy in RECORDED} == set(POLICIES)
    assert {policy.kind: type(policy) for policy in RECORDED} == POLICIES.members()


@pytest.mark.parametrize("record", ["fixed", 1.5, [], True])
def test_a_record_is_an_object(record: Any) -> None:
    with pytest.raises(UsageError, match=r"run\.json: unknown policy kind None"):
        policy_of(record, "run.json")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"kind": "wish"}, "unknown policy kind 'wish'; choose one of frameexit, confidence, "),
        ({}, "unknown policy kind None"),
        ({"kind": ["fixed"]}, "unknown policy kind"),
        ({"kind": "confidence", "threshold": 0.5, "extra": 1}, "policy confidence has no parameter extra"),
        ({"kind": "confidence"}, "confidence: threshold: "),
        ({"kind": "confidence", "threshold": "high"}, "confidence: threshold: "),
        ({"kind": "confidence", "threshold": None}, "confidence: threshold: "),
        ({"kind": "confidence", "threshold": 1.5}, r"confidence 1.5 is outside \[0, 1\]; choose a value from 0 to 1"),
        ({"kind": "patience", "times": 1.5}, "patience: times: "),
        ({"kind": "frameexit", "first_threshold": 0.5, "gate_thresholds": 0.5}, "frameexit: gate_thresholds: "),
        ({"kind": "frameexit", "first_threshold": 0.5, "gate_thresholds": [0.5, []]}, r"gate_thresholds\.1: "),
        ({"kind": "frameexit", "first_threshold": 0.5, "gate_thresholds": []}, "no gate thresholds were given"),
        ({"kind": "planned", "steps": {"a": "soon"}}, "planned: steps.a: "),
        ({"kind": "planned", "steps": [3]}, "planned: steps: "),
        ({"kind": "random", "shares": [0.5]}, "shares must sum to 1, got 0.5"),
        ({"kind": "cascade", "counts": [8, 4], "threshold": 0.5}, "are not ascending"),
        ({"kind": "frames", "frames": [8]}, "frames: frames: "),
        ({"kind": "everything", "threshold": 0.5}, "policy everything has no parameter threshold"),
    ],
)
def test_invalid_records(record: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"schema_version": 1, "policy": record}))
    with pytest.raises(UsageError, match=words) as caught:
        read_policy(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"not valid JSON \(.*\)"),
        ("", r"not valid JSON \(.*\)"),
        (b"\xff\xfe\x00", r"not valid JSON \(.*\)"),
        ('{"schema_version": 1, "policy": {"kind": "confidence", "threshold": NaN}}', r"JSON \(it contains NaN\)"),
        ("[]", "holds a list, not an object"),
        ('{"policy": {"kind": "everything"}}', "not a policy of schema version 1"),
        ('{"schema_version": 2, "policy": {"kind": "everything"}}', "not a policy of schema version 1"),
        ('{"schema_version": 1}', "does not contain a policy"),
        ('{"schema_version": 1, "policy": "everything"}', "does not contain a policy"),
    ],
)
def test_invalid_policy_files(content: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=f"{words}; pass a file written by vbench tune$"):
        read_policy(path)


def test_unreadable_policy_files(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cannot read .*policy\.json: No such file.*; pass a file written by vbench tune"
    ):
        read_policy(tmp_path / "policy.json")
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        read_policy(tmp_path)


def test_a_full_disk_keeps_the_old_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy(path, Fixed(3), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(MissingError, match=r"policy\.json: no space left on the disk"):
            write_policy(path, PerVideo({f"video{number}": 1 for number in range(99)}), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.json"]
    assert read_policy(path) == Fixed(3)


def test_unwritable_paths(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_policy(tmp_path / "file" / "policy.json", Fixed(3), {})
    with pytest.raises(UsageError, match=r"cannot write .*: Is a directory"):
        write_policy(tmp_path, Fixed(3), {})
    with pytest.raises(UsageError, match=r"^\. is a folder, not a file; name the file to write$"):
        write_policy(Path(), Fixed(3), {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
