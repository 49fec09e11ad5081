"""What decodes videos and pictures."""

from __future__ import annotations

from functools import partial

from .finding import Fact, Finding, findings, ok, trouble
from .probe_client import Answer, Answers


def check(answers: Answers) -> list[Finding]:
    """Return what PyAV and Pillow can read; both come with vbench, so that none of them may be absent."""
    return findings("decoders", {"PyAV": partial(_av, answers["av"]), "Pillow": partial(_pillow, answers["pillow"])})


def _av(answer: Answer) -> Fact:
    if not answer.works:
        return trouble(answer.error or "not installed", "pip install --force-reinstall av")
    if answer.get("lacks"):
        return trouble(
            f"{answer.get('version')}, cannot decode {answer.get('lacks')}",
            "pip install --force-reinstall --only-binary av av",
        )
    return ok(f"{answer.get('version')}: {answer.get('codecs')}")


def _pillow(answer: Answer) -> Fact:
    if not answer.works:
        return trouble(answer.error or "not installed", "pip install --force-reinstall pillow")
    if not answer.get("turbo"):
        remedy = "pip install --force-reinstall --only-binary pillow pillow"
        return trouble(f"{answer.get('version')}: JPEG without libjpeg-turbo, which is slow", remedy)
    return ok(f"{answer.get('version')}: JPEG by libjpeg-turbo {answer.get('turbo')}")
