"""Text from files is escaped for every sink that shows it."""

from __future__ import annotations

import unicodedata

import pytest
from rich.text import Text

from vbench.text import markdown, printable, printable_lines, rich_markup


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
        ("byte \udcff", r"byte \udcff"),
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


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/]", "back\\slash\\", "[bold", "\\[link=http://x]y", "a\x1b[0m"])
def test_rich_shows_markup_literally(name: str) -> None:
    assert Text.from_markup(f"{rich_markup(name)} 3").plain == f"{printable(name)} 3"


def test_markdown_has_no_cells_or_tags_of_its_own() -> None:
    assert markdown("a|b <img> `c` \n[x](y)") == r"a\|b \<img\> \`c\` \\x0a\[x\](y)"
