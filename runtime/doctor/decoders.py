"""Video and image decoder checks."""

from __future__ import annotations

from functools import partial

from .finding import CheckResult, Finding, findings, ok, problem
from .probe_client import ProbeResult, ProbeResults


def check(results: ProbeResults) -> list[Finding]:
    """Return findings about PyAV and Pillow, which are dependencies of vbench and must both be present."""
    return findings("decoders", {"PyAV": partial(_av, results["av"]), "Pillow": partial(_pillow, results["pillow"])})


def _av(result: ProbeResult) -> CheckResult:
    if not result.works:
        return problem(result.error or "not installed", "pip install --force-reinstall av")
    if result.get("lacks"):
        return problem(
            f"{result.get('version')}, cannot decode {result.get('lacks')}",
            "pip install --force-reinstall --only-binary av av",
        )
    return ok(f"{result.get('version')}: {result.get('codecs')}")


def _pillow(result: ProbeResult) -> CheckResult:
    if not result.works:
        return problem(result.error or "not installed", "pip install --force-reinstall pillow")
    if not result.get("turbo"):
        remedy = "pip install --force-reinstall --only-binary pillow pillow"
        return problem(f"{result.get('version')}: JPEG without libjpeg-turbo, which is slow", remedy)
    return ok(f"{result.get('version')}: JPEG via libjpeg-turbo {result.get('turbo')}")
