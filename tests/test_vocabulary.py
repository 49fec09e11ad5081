"""The vocabulary of the field: words that vbench does not use, in identifiers, prose and documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each is a sequence of words; identifiers are split at `_` and at capitals first.
REJECTED = (
    "seat",
    "seats",
    "seated",
    "seating",
    "judge",
    "judges",
    "hearing",
    "ruling",
    "rulings",
    "close ranks",
    "closes ranks",
    "survivor",
    "survivors",
    "in vain",
    "came to",
    "became of",
    "are none",
    "stands there",
    "cannot be had",
    "so many",
)
BRITISH = (
    *("colour", "colours", "centre", "centres", "centred", "labelled", "normalise", "normalised", "normalises"),
    *("summarise", "summarised", "summarises", "recognise", "recognised", "recognises", "quantise", "quantised"),
    *("initialise", "initialised", "optimise", "optimised", "behaviour", "flavour", "grey", "modelled", "cancelled"),
)
# Names of other packages' interfaces and of goldens, and schema fields that files on disk already have.
ALLOWED = {"is_cancelled", "segment_centres", "utilisation_percent", "labelled_videos", "ap_labelled"}
# This list, and the conversion of old files, which has to know their names.
EXEMPT = {
    "tests/test_vocabulary.py",
    "bench/migrate/run_record.py",
    "tests/bench/migrate/test_migrate.py",
}
TEXT = (".py", ".md", ".toml", ".css", ".j2", ".yaml")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [
        name
        for name in listed.splitlines()
        if (name.endswith(TEXT) or name == "Justfile") and not name.startswith("tests/golden/") and name not in EXEMPT
    ]


def words(text: str) -> str:
    """Return the words of a text, identifiers split, in lower case and separated by single spaces."""
    for name in ALLOWED:
        text = text.replace(name, " ")
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return " " + " ".join(re.findall(r"[a-z]+", text.lower())) + " "


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def close_ranks(self):", "close ranks"),
        ("class ClipSeating:", "seating"),
        ("gmacs_in_vain", "in vain"),
        ("what it\n    came to", "came to"),
        ("judgement and theseus", None),
    ],
)
def test_words_are_found_in_identifiers_and_prose(text: str, word: str | None) -> None:
    assert [each for each in REJECTED if f" {each} " in words(text)] == ([] if word is None else [word])


@pytest.mark.parametrize("name", tracked())
def test_no_rejected_word(name: str) -> None:
    text = words((ROOT / name).read_text(encoding="utf-8"))
    found = [word for word in (*REJECTED, *BRITISH) if f" {word} " in text]
    assert not found, f"{name}: {found}"
