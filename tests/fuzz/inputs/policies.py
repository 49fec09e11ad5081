"""Policy files of every kind of policy."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.samples import Samples

_RECORDS: tuple[dict[str, Any], ...] = (
    {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]},
    {"kind": "frameexit", "first_threshold": 0.9, "gate_thresholds": [0.5, 0.4, 0.3, 0.2, 0.5, 0.6, 0.7, 0.8]},
    {"kind": "confidence", "threshold": 0.9},
    {"kind": "entropy", "threshold": 0.4},
    {"kind": "patience", "steps": 2},
    {"kind": "fixed", "step": 3},
    {"kind": "random", "shares": [0.1] * 10, "seed": 3},
    {"kind": "video", "steps": {"class_0/video_00": 3}},
    {"kind": "frames", "frames": 4},
    {"kind": "cascade", "frames": [2, 4], "threshold": 0.8},
)
_FRAMES = (1,) * 10, (2, 4)


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    record = rng.choice(_RECORDS)
    found = mutate_json(rng, {"schema_version": 1, "policy": record, "dataset": "folder", "videos": 10})
    path = folder / "policy.json"
    path.write_bytes(found.data)
    command = (
        *("run", str(samples.bundle), "--policy", "policy.json", "--dataset", "folder"),
        *("--data", str(samples.data), "--limit", "2", "-o", "out", "--json"),
    )
    return Case(f"{record['kind']}: {found.what}", lambda: _use(path), command)


def _use(path: Path) -> object:
    from vbench.errors import UsageError
    from vbench.runtime.policies.registry import policy_of, read_policy

    policy = read_policy(path)
    assert policy_of(json.loads(json.dumps(policy.record())), "itself") == policy
    label = policy.label()
    assert label.isprintable(), label
    for frames in _FRAMES:
        try:
            policy.route(frames)
        except UsageError:
            continue
    return policy.record()
