"""Journals of unfinished runs: lines that are cut off, repeated, mixed up, or hold other fields."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.samples import CLASSES, VIDEOS_PER_CLASS, Samples, link_tree, rewrite

VIDEOS = CLASSES * VIDEOS_PER_CLASS


@cache
def _lines(run: Path) -> tuple[bytes, ...]:
    return tuple((run / "journal.jsonl").read_bytes().splitlines(keepends=True))


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    run = link_tree(samples.unfinished, folder / "run")
    lines = list(_lines(samples.unfinished))
    what = rng.choice((_value, _value, _value, _repeated, _joined, _cut, _unknown, _not_finite, _array))(rng, lines)
    rewrite(run / "journal.jsonl", b"".join(lines))
    complete = rng.random() < 0.2
    use = (lambda: _resume(run)) if complete else (lambda: _open(run))
    command = ("run", "--resume", "run", "--json")
    return Case(what, use, command, wrong=lambda _: _wrong(run), output="run")


def _open(run: Path) -> object:
    from vbench.bench.records.run_folder import open_unfinished

    unfinished = open_unfinished(run)
    with unfinished.folder:
        return len(unfinished.done)


def _resume(run: Path) -> object:
    from vbench.bench.run.run import resume_run

    return resume_run(run).metrics["accuracy"]


def _wrong(run: Path) -> str | None:
    """Check the table of a run that was finished."""
    import polars

    if not (run / "predictions.parquet").exists():
        return None
    table = polars.read_parquet(run / "predictions.parquet")
    if len(table) != VIDEOS or table["video"].n_unique() != VIDEOS:
        return f"{len(table)} rows for {table['video'].n_unique()} of {VIDEOS} videos"
    answered = table.filter(polars.col("error").is_null())
    if not answered["probability"].is_finite().all():
        return "a probability is not finite"
    return None


def _value(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    found = mutate_json(rng, json.loads(lines[place]))
    lines[place] = found.data + b"\n"
    return f"line {place + 1}: {found.what}"


def _repeated(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines) + 1), lines[place])
    return f"line {place + 1} twice"


def _joined(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    lines[place] = lines[place].rstrip(b"\n") + rng.choice((b"", b" ", b"\r", b"\x00"))
    return f"line {place + 1} without an end"


def _cut(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    cut = rng.randrange(len(lines[place]))
    lines[place] = lines[place][:cut] + rng.choice((b"", b"\n"))
    return f"line {place + 1} cut off"


def _unknown(rng: Random, lines: list[bytes]) -> str:
    row: dict[str, Any] = json.loads(lines[0])
    row["video"] = rng.choice(("class_9/gone", "", "../x", "\x1b[31m", "a\nb", "class_0/\udcff"))
    lines.append(json.dumps(row).encode() + b"\n")
    return f"a line for the video {row['video']!r}"


def _array(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    row = json.loads(lines[place])
    values = np.frombuffer(b64decode(row["probabilities"]["float32"]), np.float32).copy()
    kind = rng.randrange(3)
    if kind == 0:
        values = values[: rng.randrange(len(values))]
    elif kind == 1:
        values = np.append(values, np.float32(0))
    else:
        values[rng.randrange(len(values))] = rng.choice((np.nan, np.inf, -1))
    row["probabilities"]["float32"] = b64encode(values.tobytes()).decode()
    lines[place] = json.dumps(row).encode() + b"\n"
    return f"line {place + 1}: probabilities {values}"


def _not_finite(rng: Random, lines: list[bytes]) -> str:
    place = rng.randrange(len(lines))
    row = json.loads(lines[place])
    name = rng.choice([name for name, value in row.items() if isinstance(value, float)])
    row[name] = rng.choice((float("nan"), float("inf"), -1.0, -float("inf"), 1e300))
    lines[place] = json.dumps(row).encode() + b"\n"
    return f"line {place + 1}: {name} is {row[name]}"
