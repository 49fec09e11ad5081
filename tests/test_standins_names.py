"""Every name of TensorRT in our source exists in both major releases."""

from __future__ import annotations

from pathlib import Path

from tests.standins import VERSIONS, load_api, names_used
from tests.standins.names import names_in

ROOT = Path(__file__).resolve().parents[1]

# Names that one release lacks and that our source only touches where it has found them, with the reason.
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
    """By major release, the names that it lacks."""
    apis = {flavour: load_api(version) for flavour, version in VERSIONS.items()}
    return {flavour: {name for name in names if not api.has(*name)} for flavour, api in apis.items()}


def test_our_names_exist_in_both_releases() -> None:
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
