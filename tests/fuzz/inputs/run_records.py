"""``run.json``: the records of finished and unfinished runs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.samples import Samples, link_tree, rewrite


@cache
def _content(run: Path) -> Any:
    return json.loads((run / "run.json").read_bytes())


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    finished = rng.random() < 0.6
    source = samples.run if finished else samples.unfinished
    run = link_tree(source, folder / "run")
    found = mutate_json(rng, _content(source), rng.choice((None, 1)))
    rewrite(run / "run.json", found.data)
    if not finished:
        command = rng.choice((("run", "--resume", "run", "--json"), ("migrate", "run")))
        return Case(found.what, lambda: _resume(run), command, output="run")
    other = str(samples.run)
    commands = (
        ("report", "run", other, "-o", "out.html"),
        ("compare", "run", other, "--json"),
        ("compare", other, "run", "--markdown"),
        ("plot", "efficiency", "run", "-o", "out.png"),
        ("plot", "exits", "run", "-o", "out.png"),
        ("plot", "latency", "run", "-o", "out.png"),
        ("plot", "speedup", "run", "-o", "out.png"),
        ("migrate", "run"),
    )
    thorough = rng.random() < 0.02
    return Case(found.what, lambda: _read(run, samples, thorough), rng.choice(commands), output="out")


def _resume(run: Path) -> object:
    from vbench.bench.records.run_folder import open_unfinished

    unfinished = open_unfinished(run)
    with unfinished.folder:
        return unfinished.policy.label()


def _read(run: Path, samples: Samples, thorough: bool) -> object:
    from vbench.bench.compare.compare import compare
    from vbench.bench.records.run_file import read_run
    from vbench.plots.runs.operating_point import operating_point

    read_run(run, finished=True)
    point = operating_point(run)
    if thorough:
        compare(run, samples.run)
    return [point.accuracy, point.gmacs, point.mean_frames, point.gflops_paper]
