"""Write a page of benchmarks as Markdown: two templates, filled from the raw samples of one benchmark per network."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from vbench.bench.benchmark.recommend import recommendation
from vbench.bench.benchmark.results import Bench
from vbench.bench.benchmark.rows import bench_rows
from vbench.bench.benchmark.table import MARK, TextTable, notes, tables
from vbench.runtime.doctor.finding import Finding
from vbench.runtime.telemetry.host_record import HostRecord
from vbench.runtime.telemetry.stability import problems

from .machine import without_folders

_PAGE, _SECTION = (Template(Path(__file__).with_name(name).read_text()) for name in ("page.md", "section.md"))
_ESCAPED = str.maketrans({"|": "\\|", "\n": " "})
_MEGABYTE = 1e6


def page(title: str, origin: str, benches: Mapping[str, Bench], findings: Sequence[Finding] = ()) -> str:
    """Return the page of benchmarks, by the title of their sections.

    Args:
        origin: which command writes the page.
        findings: of the doctor, to describe the machine in more detail.
    """
    sections = "\n".join(_section(name, bench) for name, bench in benches.items())
    machine = _machine(next(iter(benches.values()), None), findings)
    text = _PAGE.substitute(title=title, origin=origin, machine=machine, sections=sections)
    return without_folders(text).rstrip("\n") + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns are aligned in the source too."""
    lines = [[cell.translate(_ESCAPED) for cell in line] for line in (head, *rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines) + "\n"


def without_empty_columns(table: TextTable) -> TextTable:
    """Return a table without its empty columns, and with the best of a kind in bold."""
    filled = [number for number in range(1, len(table.head)) if any(row[number] for row in table.rows)]
    rows = tuple((_contender(row[0]), *(row[number] for number in filled)) for row in table.rows)
    return table._replace(head=(table.head[0], *(table.head[number] for number in filled)), rows=rows)


def _contender(name: str) -> str:
    """Show the best of a kind, which the table marks with an asterisk, in bold."""
    name, mark, kind = name.partition(f" {MARK}")
    return f"**{name}** (best {kind})" if mark else name


def _machine(bench: Bench | None, findings: Sequence[Finding]) -> str:
    if findings:
        return markdown_table(("", "", "state", ""), [(one.topic, one.what, one.state, one.detail) for one in findings])
    if bench is None:
        return "Nothing was measured.\n"
    header = bench.header
    facts = {**header.machine, "low-precision instructions": header.low_precision}
    packages = ", ".join(f"{name} {version}" for name, version in header.versions.items())
    return markdown_table(("", ""), [(name, str(value)) for name, value in {**facts, "packages": packages}.items()])


def _section(title: str, bench: Bench) -> str:
    rows, header = bench_rows(bench), bench.header
    absent = [TextTable("not measured", ("contender", "reason"), tuple(map(tuple, header.absent)))]
    shown = [*tables(rows, header.clips.metric), *(absent if header.absent else [])]
    return _SECTION.substitute(
        title=title,
        command=header.command,
        facts="\n".join(_facts(bench)),
        recommendation=_wrapped(f"**Recommended** {recommendation(rows)}."),
        tables="\n".join(map(_titled, shown)),
        notes="\n".join(_wrapped(note.replace(MARK, "bold:", 1), "- ") for note in notes(rows)),
    )


def _titled(table: TextTable) -> str:
    shown = without_empty_columns(table)
    return f"### {table.title[0].upper()}{table.title[1:]}\n\n{markdown_table(shown.head, shown.rows)}"


def _wrapped(text: str, bullet: str = "") -> str:
    after = " " * len(bullet)
    return textwrap.fill(text, 120, initial_indent=bullet, subsequent_indent=after, break_on_hyphens=False)


def _facts(bench: Bench) -> list[str]:
    header = bench.header
    sizes = ", ".join(f"{name} {size / _MEGABYTE:.0f} MB" for name, size in header.bundle_bytes.items())
    repeats = sorted({len(one.measured) for one in bench.working})
    counts = " to ".join(map(str, dict.fromkeys((repeats[0], repeats[-1])))) if repeats else "no"
    return [
        *([] if bench.complete else ["**Incomplete: the benchmark was interrupted.**", ""]),
        f"- {header.date[:10]}; {header.network} ({sizes}; manifest {header.bundle_sha256[:12]}).",
        f"- {len(bench.results)} contenders, {counts} repetitions of {header.clips.videos} clips "
        f"({header.clips.dataset}, {'labeled' if header.clips.labeled else 'not labeled'}).",
        f"- {_load(bench)}",
    ]


def _load(bench: Bench) -> str:
    """Describe the load of other processes during the turns."""
    turns = [turn for one in bench.results for turn in one.measured.values()]
    hosts = [turn.host for turn in turns if turn.host is not None]
    others = [host.other_cpus for host in hosts if host.other_cpus is not None]
    if not others:
        return "The load of other processes is unknown."
    disturbed = sum(bool(problems(turn.host, turn.gpu)) for turn in turns)
    return (
        f"Other processes used {statistics.median(others):.2f} of {_cpus(hosts)} CPUs (median over {len(others)} "
        f"turns; at most {max(others):.2f}); {disturbed} turns were disturbed."
    )


def _cpus(hosts: Sequence[HostRecord]) -> int:
    return max(host.cpus for host in hosts)
