"""The section of a report on a benchmark, alone or with runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plots.report.test_report_page import HOSTILE, Parsed
from tests.plotted_benches import SPECS, Spec, make_bench, write_bench
from tests.reported_runs import default_and_whole
from vbench.bench.benchmark.matrix import Absent
from vbench.errors import RunError
from vbench.plots.report.page import report_html

FIGURES = ["Speed against answers", "Efficiency of the saved compute", "Shares of time"]


def headings(page: Parsed, level: str) -> list[str]:
    return [text for tag, text in page.texts if tag == level]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bench(tmp_path_factory.mktemp("benches") / "bench", make_bench())


def test_a_page_with_only_a_benchmark(bench: Path) -> None:
    html = report_html([bench], "vbench report bench")
    page = Parsed(html)
    assert headings(page, "h1") == ["tiny on demo"]
    assert headings(page, "h2") == ["Benchmark of tiny", "Commands"]
    assert headings(page, "h3") == FIGURES
    captions = headings(page, "caption")
    assert captions == [
        *("Speed and answers", "Latency and resources", "Shares of time", "Reasons for the verdicts", "Not measured"),
        "Machine and versions",
    ]
    assert "For throughput: ort int8, inflight 8" in page.text
    assert "changes 3 of 20 classes" in page.text
    assert "8\N{NO-BREAK SPACE}contenders" in html
    assert "killed by SIGKILL" in page.text
    assert "no GPU" in page.text
    assert headings(page, "code")[:2] == ["vbench bench bundles/tiny", "vbench report bench"]
    assert "was interrupted" not in page.text


def test_runs_and_benchmarks_on_one_page(bench: Path, tmp_path: Path) -> None:
    html = report_html([*default_and_whole(tmp_path), bench, bench], "vbench report", "Everything")
    page = Parsed(html)
    assert headings(page, "h1") == ["Everything"]
    assert headings(page, "h2").count("Benchmark of tiny") == 2
    assert headings(page, "h2")[:3] == ["Question", "Runs", "Figures"]
    given = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(given) == len(set(given))
    assert set(re.findall(r'(?:url\(#|href="#|aria-labeledby=")([^")]+)', html)) == set(given)
    assert len(page.all("svg")) == 5 + 2 * len(FIGURES)


def test_an_interrupted_or_invalid_benchmark_is_reported(tmp_path: Path) -> None:
    interrupted = make_bench((Spec("ort fp32, sequential", 40.0, failure="no memory"),))
    interrupted.complete = False
    page = Parsed(report_html([write_bench(tmp_path / "bench", interrupted)], ""))
    assert "The benchmark was interrupted" in page.text
    assert "no contender of the benchmark is valid (ort fp32, sequential: no memory)" in page.text
    assert page.all("svg") == []


def test_names_of_a_benchmark_are_shown_literally(tmp_path: Path) -> None:
    specs = (replace(SPECS[0], name=HOSTILE), replace(SPECS[1], name=f"{HOSTILE}2", failure=HOSTILE))
    hostile = make_bench(
        specs,
        bundle=f"bundles/{HOSTILE.replace('/', '')}",
        network=HOSTILE,
        command=HOSTILE,
        machine={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        absent=(Absent(HOSTILE, HOSTILE),),
    )
    page = Parsed(report_html([write_bench(tmp_path / "bench", hostile)], HOSTILE))
    assert not {name for name, _ in page.elements} & {"script", "b"}
    assert {tag for tag, text in page.texts if HOSTILE in text} >= {"p", "th", "td", "code", "text"}


def test_a_damaged_benchmark_is_an_error(tmp_path: Path) -> None:
    folder = write_bench(tmp_path / "bench", make_bench(SPECS[:1]))
    (folder / "bench.json").write_text("{}")
    with pytest.raises(RunError, match="schema version"):
        report_html([folder], "")
