"""Every TensorRT name in our source exists in both major releases and in TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import MODULES, load_api, names_used
from tests.fakes.names import names_in

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("bench", "cli", "export", "fit", "models", "plots", "runtime", "tools")
RTX_ONLY = "only used with TensorRT-RTX"
# Names missing in a flavor that our source uses only after checking for them, with the reason.
ALLOWED: dict[tuple[str, str], str] = {
    ("", "ComputeCapability"): RTX_ONLY,
    ("", "EngineInvalidityDiagnostics"): RTX_ONLY,
}

SAMPLE = """
import tensorrt as rt
import tensorrt_rtx as rtx
from tensorrt import Runtime
def build(trt, self, other):
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    builder.platform_has_fast_fp16
    other.Builder
    flag = self._trt.BuilderFlag.FP16
    return rt.ICudaEngine, hasattr(trt.BuilderFlag, "BF16"), flag, rtx.ComputeCapability.SM86
"""


def missing(names: set[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Return the missing names by flavor."""
    return {flavor: {name for name in names if not load_api(flavor).has(*name)} for flavor in MODULES}


def test_names_in_our_source_exist_in_every_flavor() -> None:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert sources
    for lacking in missing(names_used(sources)).values():
        assert {(owner, name) for owner, name in lacking if ("", owner) not in ALLOWED} <= set(ALLOWED)


def test_allowed_names_exist_in_one_flavor() -> None:
    for name in ALLOWED:
        assert any(load_api(flavor).has(*name) for flavor in MODULES), name


def test_names_are_found(tmp_path: Path) -> None:
    found = names_in(SAMPLE)
    plain = {"Builder", "Logger", "BuilderFlag", "ICudaEngine", "Runtime", "ComputeCapability"}
    members = {("Logger", "WARNING"), ("BuilderFlag", "FP16"), ("ComputeCapability", "SM86")}
    assert found == {("", name) for name in plain} | members
    (tmp_path / "sample.py").write_text(SAMPLE)
    assert names_used([tmp_path / "sample.py"]) == found
    rtx, half = {("", "ComputeCapability"), ("ComputeCapability", "SM86")}, {("BuilderFlag", "FP16")}
    assert missing(found) == {"10": rtx, "11": rtx | half, "rtx": half}
    typos = {("", "Typo"), ("DataType", "FLOT"), ("Runtime", "get_engine_validty")}
    assert set(map(frozenset, missing(typos).values())) == {frozenset(typos)}
