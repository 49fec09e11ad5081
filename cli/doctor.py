"""``vbench doctor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MissingError
from .common.output import aligned, print_json, print_lines

if TYPE_CHECKING:
    from ..runtime.doctor.finding import Finding


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON document.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder with one subfolder per data set; default: $VBENCH_DATA."),
    ] = None,
) -> None:
    """Check which engines and devices work on this machine. Exit with code 3 if no engine works.

    Every engine runs one layer in a separate process. Absent components are optional; every problem has a remedy.

    Example: vbench doctor
    """
    from ..bench.doctor.diagnose import diagnose
    from ..runtime.doctor.engines import any_engine_works
    from ..runtime.engines.install_hint import install

    found = diagnose(data)
    works = any_engine_works(found)
    if as_json:
        print_json({"works": works, "findings": [one._asdict() for one in found]})
    else:
        print_lines(_lines(found))
    if not works:
        raise MissingError("no engine works on this machine", install("cpu"))


def _lines(found: Sequence[Finding]) -> Iterator[str]:
    rows = aligned([(one.state, one.what, one.detail) for one in found], left=3).splitlines()
    for topic, group in groupby(zip(found, rows), key=lambda pair: pair[0].topic):
        yield topic
        for one, row in group:
            get = f" ({one.remedy})" if one.remedy and one.state == "absent" else ""
            yield f"  {row}{get}"
            if one.remedy and one.state == "problem":
                yield f"           remedy: {one.remedy}"
    problems = sum(one.state == "problem" for one in found)
    yield f"problems: {problems}" if problems else "no problems"
