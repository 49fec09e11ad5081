"""The report is a self-contained, accessible page that shows hostile names literally."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from tests.compared_runs import CONFIG, MACHINE, failed, make_run
from tests.reported_runs import default_and_whole, early
from vbench import __version__
from vbench.bench.datasets.options import DataOptions
from vbench.plots.report.page import report_html
from vbench.plots.report.svg import inline_svg

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script>&\"'$x"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Parsed(HTMLParser):
    """A parsed page: elements with attributes, and text by element; asserts that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag != "style").split())


COMMAND = "vbench report runs/all_frames runs/default --title 'Early exits'"


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return default_and_whole(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def html(two_runs: list[Path]) -> str:
    return report_html(two_runs, COMMAND, "Early exits")


def test_the_page_loads_and_runs_nothing(html: str) -> None:
    page = Parsed(html)
    assert not {name for name, _ in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "base"}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action", "data", "poster"}
            if name.endswith("href"):
                assert value.startswith("#")
    urls = re.findall(r"url\(([^)]*)\)", html)
    assert urls
    assert all(url.startswith("#") for url in urls)
    assert "@import" not in html
    # The only remaining addresses are XML namespace names, which are never fetched.
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_page_is_accessible(html: str) -> None:
    page = Parsed(html)
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(each["scope"] in {"col", "row"} for each in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(page.all("svg")) == 5
    assert all(each["role"] == "img" and each["viewbox"] for each in page.all("svg"))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_no_two_figures_share_an_identifier(html: str) -> None:
    page = Parsed(html)
    given = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(given) == len(set(given))
    used = re.findall(r'(?:url\(#|href="#|aria-labeledby=")([^")]+)', html)
    assert set(used) == set(given)


def test_the_order_of_the_headings(html: str) -> None:
    page = Parsed(html)
    assert [text for tag, text in page.texts if tag == "h1"] == ["Early exits"]
    assert [text for tag, text in page.texts if tag == "h2"] == [
        "Question",
        "Runs",
        "Figures",
        "Paired comparisons",
        "Videos without an answer",
        "Measurement",
        "Commands",
    ]
    assert [text for tag, text in page.texts if tag == "h3"] == [
        "Accuracy against compute",
        "Exit steps",
        "Accuracy against latency",
        "Latency by exit step",
        "Realized speed-up",
    ]


def test_equal_runs_give_an_equal_page_of_moderate_size(two_runs: list[Path], html: str) -> None:
    assert report_html(two_runs, COMMAND, "Early exits") == html
    assert len(html) < 200_000


def test_names_from_files_are_shown_literally(tmp_path: Path) -> None:
    hostile = {"name": HOSTILE, "network": HOSTILE, "sha256": "0"}
    rows = [*early(), replace(failed(98), video=HOSTILE, error=HOSTILE)]
    runs = [
        make_run(
            tmp_path / name,
            rows,
            bundle=hostile,
            command=HOSTILE,
            machine={**MACHINE, "processor": HOSTILE},
            versions={HOSTILE: HOSTILE},
            policy_label=HOSTILE,
            left_out=({"video": HOSTILE, "reason": HOSTILE},),
            config=replace(CONFIG, data=DataOptions(HOSTILE)),
        )
        for name in ("one", "<b>two")
    ]
    html = report_html(runs, HOSTILE)
    page = Parsed(html)
    assert not {name for name, _ in page.elements} & {"script", "b"}
    shown_in = {tag for tag, text in page.texts if HOSTILE in text}
    assert shown_in >= {"title", "h1", "p", "th", "td", "code", "text"}
    assert [text for tag, text in page.texts if tag == "caption" and "<b>two" in text]
    assert all(HOSTILE not in str(attributes.keys()) for _, attributes in page.elements)


def test_a_figure_is_inlined() -> None:
    figure = Figure()
    axes = figure.add_subplot(title='<b> id="x" url(#y) &')
    axes.plot([1, 2], [3, 4], marker="s")
    svg = inline_svg(figure, "one-", "<i>")
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert texts[0] == "<i>"
    assert '<b> id="x" url(#y) &' in texts
    assert all(element.get("id", "one-").startswith("one-") for element in root.iter())
    assert not [element for element in root.iter() if element.tag.endswith(("style", "metadata"))]


def test_the_commands_appear_once(html: str) -> None:
    commands = [text for tag, text in Parsed(html).texts if tag == "code"]
    assert commands[:3] == ["vbench run b --first-threshold=1", "vbench run b --dataset folder --limit 80", COMMAND]
    assert commands[3:] == ["$ vbench --version", f"vbench {__version__}"]


def test_templates_are_packaged() -> None:
    patterns = re.search(r'"vbench\.plots\.report" = \[(.*)\]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert patterns is not None
    packaged = {
        path for each in re.findall(r'"([^"]+)"', patterns[1]) for path in (ROOT / "plots" / "report").glob(each)
    }
    files = {path for path in (ROOT / "plots" / "report").iterdir() if path.is_file() and path.suffix != ".py"}
    assert packaged == files
    assert {path.name for path in files} >= {"page.html.j2", "table.html.j2", "page.css"}
