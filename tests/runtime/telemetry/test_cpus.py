"""The number of usable CPUs, and that ONNX Runtime's threads stay on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.telemetry import cpus

THREADS = """
import json, os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from types import SimpleNamespace
from vbench.runtime.bundle.manifest import PartSpec, TensorSpec
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.engines.ort.session import host_session
from pathlib import Path

def tensor(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64])

weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
node = helper.make_node("MatMul", ["x", "w"], ["y"])
graph = helper.make_graph([node], "part", [tensor("x")], [tensor("y")], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
path = Path(sys.argv[2], "part.onnx")
path.write_bytes(model.SerializeToString())
x, y = (TensorSpec(name=name, dtype="float32", shape=("n", 64)) for name in "xy")
spec = PartSpec(inputs=(x,), output=y, macs=10**9, parameters=0, files={})
bundle = SimpleNamespace(path=path, manifest=SimpleNamespace(parts={"part": spec}))

def masks():
    return {task: os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}

before = masks()
session = host_session(bundle, "part", path, EngineOptions().thread_count())
session.run(None, {"x": np.ones((512, 64), np.float32)})
print(json.dumps({"new": len(masks()) - len(before), "cpus": sorted(set().union(*masks().values()))}))
"""


def test_the_smaller_of_mask_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "affinity_cpus", lambda: 8)
    for quota, expected in ((None, 8), (16.0, 8), (8.0, 8), (2.5, 2), (0.5, 1)):
        monkeypatch.setattr(cpus, "cpu_quota", lambda quota=quota: quota)
        assert cpus.usable_cpus() == expected


def test_explicit_threads_win_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench.runtime.engines.options.usable_cpus", lambda: 2)
    said: list[str] = []
    assert EngineOptions(say=said.append).thread_count() == 2
    assert EngineOptions(threads=1, say=said.append).thread_count() == 1
    assert not said
    assert EngineOptions(threads=3, say=said.append).thread_count() == 3
    assert said == ["--threads 3: this process may use only 2 CPUs"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs a second CPU")
def test_no_thread_leaves_the_mask(tmp_path: object) -> None:
    pytest.importorskip("onnxruntime")
    cpu = min(os.sched_getaffinity(0))
    command = [sys.executable, "-c", THREADS, str(cpu), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(ended.stdout) == {"new": 0, "cpus": [cpu]}
