"""Every TensorRT name in our source exists in both major releases."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import VERSIONS, load_api, names_used
from tests.fakes.names import names_in

ROOT = Path(__file__).resolve().parents[3]

# Names missing in one release that our source uses only after checking for them, with the reason.
ALLOWED: dict[tuple[str, str], str] = {}

SAMPLE = """
import tensorrt as rt
from tensorrt import Refitter
def build(trt, self, other):
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    builder.platform_has_fast_fp16
    other.Builder
    flag = self._trt.BuilderFlag.FP16
    return rt.IInt8Calibrator, hasattr(trt.BuilderFlag, "BF16"), flag
"""


def missing(names: set[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Return the missing names by major release."""
    apis = {flavor: load_api(version) for flavor, version in VERSIONS.items()}
    return {flavor: {name for name in names if not api.has(*name)} for flavor, api in apis.items()}


def test_names_in_our_source_exist_in_both_releases() -> None:
    sources = [
        path for path in ROOT.rglob("*.py") if not {"tests", "build", ".venv"} & set(path.relative_to(ROOT).parts)
    ]
    assert sources
    for lacking in missing(names_used(sources)).values():
        assert lacking <= set(ALLOWED)


def test_names_are_found(tmp_path: Path) -> None:
    found = names_in(SAMPLE)
    plain = {"Builder", "Logger", "BuilderFlag", "IInt8Calibrator", "Refitter"}
    assert found == {("", name) for name in plain} | {("Logger", "WARNING"), ("BuilderFlag", "FP16")}
    (tmp_path / "sample.py").write_text(SAMPLE)
    assert names_used([tmp_path / "sample.py"]) == found
    assert missing(found) == {"10": set(), "11": {("BuilderFlag", "FP16"), ("", "IInt8Calibrator")}}
    assert missing({("", "Typo"), ("DataType", "FLOT"), ("Refitter", "release_refit_resources")})["10"] == {
        ("", "Typo"),
        ("DataType", "FLOT"),
        ("Refitter", "release_refit_resources"),
    }
