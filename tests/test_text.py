"""Text from files is escaped for every sink that shows it."""

from __future__ import annotations

import unicodedata

import pytest

from vbench.errors import UsageError
from vbench.text import markdown_text, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("Größe 動画 🎬.mp4", "Größe 動画 🎬.mp4"),
        ("wide\u3000space", "wide\u3000space"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\t", r"two\x0alines\x0d\x09"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\u2066x\u2069\u200b\ufeff", r"\u2066x\u2069\u200b\ufeff"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("byte \udcff", r"byte \xff"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("nul \0", r"nul \x00"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_or_format_character_remains() -> None:
    everything = "".join(map(chr, range(0x110000)))
    shown = printable(everything)
    assert {unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"} == set()
    shown.encode("utf-8")


def test_lines_are_kept_for_blocks() -> None:
    assert printable_lines("a\x1b\nb\r\n") == "a\\x1b\nb\\x0d\n"


def test_markdown_has_no_cells_or_tags_of_its_own() -> None:
    assert markdown_text("a|b <img> `c` \n[x](y)\x1b") == r"a\|b &lt;img&gt; \`c\` \[x\](y)\\x1b"


def test_an_error_is_one_line_and_keeps_names_exactly() -> None:
    error = UsageError("no file a\nb\x1b[2J", "rename \u2028")
    assert str(error) == r"no file a\x0ab\x1b[2J; rename \u2028"
    assert error.message == "no file a\nb\x1b[2J"
