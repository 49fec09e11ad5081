"""The GPU check's command and record: selected contenders, record files, and exit without a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpu_contenders import GOOD, TINY, made_up
from tools.gpu_check import __main__ as command
from tools.gpu_check import machine
from tools.gpu_check.answers import ClipAnswers
from tools.gpu_check.contenders import CONTENDERS, select
from tools.gpu_check.goldens import compare, comparison_result
from tools.gpu_check.record import Record, free_files, write
from tools.gpu_check.run import timing_candidates
from tools.gpu_check.section import Section, Table
from tools.gpu_check.settings import QUICK, SECTIONS
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.doctor.finding import Finding

ORT = Finding("engines", "ort CPU", "ok", "1.31.1")
NO_DRIVER = Finding("gpu", "NVML", "absent", "no NVIDIA driver (libnvidia-ml.so.1) found")
CUDA = Finding("engines", "torch CUDA", "ok", "built for CUDA 13.0, NVIDIA H200")
H200 = Finding("gpu", "gpu 0", "ok", "NVIDIA H200, 0.5 of 150.7 GB used")


def record(*sections: Section, **changes: Any) -> Record:
    given = Record("2026-11-21", "NVIDIA H200", "the command", "tiny", {"numpy": "2.4"}, QUICK, (ORT,), (),
                   SECTIONS, sections)  # fmt: skip
    return replace(given, **changes)


def test_nan_is_not_identical() -> None:
    base = ClipAnswers((1, 2), (3, 4), ((0.0, 1.0), (0.0, 1.0)))
    found = compare(replace(base, logits=((np.nan, 1.0), (0.0, 1.0))), base, GOOD, "reference", ("float", "sequential"))
    assert comparison_result(found) == "**NOT identical**"
    assert '"nan"' in record(Section("goldens", measured=(found,))).as_json()
    assert comparison_result(compare(base, base, GOOD, "reference", ("float", "sequential"))) == "identical"


def test_select_contenders() -> None:
    present, absent = select(CONTENDERS, [ORT, CUDA], cpu=False)
    assert [one.name for one in present] == ["ort CPU", "torch CUDA", "torch CUDA, graphs", "torch CUDA, TF32"]
    assert {one.contender: one.why for one in absent}["trt fp32"].startswith("tensorrt: there is no finding")
    assert [one.name for one in select(CONTENDERS, [ORT, CUDA], cpu=True)[0]] == ["ort CPU"]
    assert [one.name for one in timing_candidates([GOOD, made_up("good"), made_up("good", gpu=True, name="gpu")])] == [
        "reference",
        "gpu",
    ]


def test_the_record(tmp_path: Path) -> None:
    section = Section("goldens", (Table("goldens", "a note", ("", "b"), (("x|y", "1"),)),))
    written = record(section, findings=(H200, replace_detail("see /usr/lib/deep/libcuda.so.1, pid 77")))
    files = free_files(written, tmp_path)
    assert files.markdown.name == "2026-11-21-nvidia-h200.md"
    write(written, files)
    text = files.markdown.read_text()
    assert "# GPU check: NVIDIA H200, 2026-11-21" in text
    assert "x\\|y" in text
    assert "see libcuda.so.1, a process" in text
    assert "**Incomplete: audit, latency, counts, throughput did not finish.**" in text
    plain = json.loads(files.data.read_text())
    assert plain["device"] == "NVIDIA H200"
    assert plain["sections"][0]["name"] == "goldens"
    assert free_files(written, tmp_path).data.name == "2026-11-21-nvidia-h200-2.json"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md"]


def replace_detail(detail: str) -> Finding:
    return ORT._replace(state="problem", detail=detail)


def test_without_a_gpu_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        command, "inspect_machine", lambda: [ORT, NO_DRIVER, CUDA._replace(state="absent", detail="for the CPU")]
    )
    assert command.main(["--out", str(tmp_path / "out")]) == 3
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert "no NVIDIA driver" in stderr
    assert "torch CUDA: for the CPU" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cpu", [True, False])
def test_the_command(
    cpu: bool, tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "inspect_machine", lambda: [ORT, CUDA, H200])
    monkeypatch.setattr(command, "QUICK", TINY)
    given = ["--quick", "--only", "goldens", "--slots", "1", "--limit", "300", "--out", str(tmp_path),
             "--bundle", str(tiny_bundle.path), *(["--cpu"] if cpu else [])]  # fmt: skip
    assert command.main(given, [GOOD, made_up("crashing", gpu=True)]) == 0
    stem = next(path.stem for path in tmp_path.glob("*.json"))
    assert stem.endswith("-cpu" if cpu else "-nvidia-h200")
    text = (tmp_path / f"{stem}.md").read_text()
    assert ("| crashing | --cpu was given |" in text) is cpu
    assert ("| goldens | crashing | exited with code 7: CUDA error" in text) is not cpu
    assert "Incomplete" not in text
    assert str(tmp_path) not in text
    assert json.loads((tmp_path / f"{stem}.json").read_text())["settings"]["slots"] == [1]


def test_names() -> None:
    assert machine.slug("NVIDIA GeForce RTX 4090 (Laptop)") == "nvidia-geforce-rtx-4090-laptop"
    assert machine.gpu_name([H200]) == machine.gpu_name([CUDA]) == "NVIDIA H200"
    assert machine.gpu_name([ORT]) == "unknown GPU"
    assert machine.without_folders("https://a.org/b/c and /a/b/c.so: 1/2/3") == "https://a.org/b/c and c.so: 1/2/3"
    assert machine.gpu_problem([CUDA]) == ""
