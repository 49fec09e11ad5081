"""Parquet tables of traces, predictions, probabilities and sweeps: other columns, types, values and metadata."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import polars

from tests.fuzz.byte_mutations import damage
from tests.fuzz.case import Case
from tests.fuzz.json_mutations import STRINGS, mutate_json
from tests.fuzz.samples import Samples, link_tree, rewrite

_METADATA = {"trace.parquet": "vbench.trace", "sweep.parquet": "vbench.sweep"}
_DTYPES = (
    polars.Int8,
    polars.Float32,
    polars.String,
    polars.Boolean,
    polars.UInt64,
    polars.Categorical,
    polars.Date,
    polars.List(polars.Int64),
    polars.List(polars.String),
    polars.Null,
)
_VALUES = (float("nan"), float("inf"), -float("inf"), -1, 0, 1, 1e300, 2**31 - 1, -(2**31), None)


@cache
def _table(path: Path) -> polars.DataFrame:
    return polars.read_parquet(path)


@cache
def _metadata(path: Path) -> str:
    return str(polars.read_parquet_metadata(path)[_METADATA[path.name]])


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    name = rng.choice(
        ("trace.parquet", "trace.parquet", "predictions.parquet", "probabilities.parquet", "sweep.parquet")
    )
    run = link_tree(samples.run, folder / "run")
    source = samples.sweep if name == "sweep.parquet" else samples.run / name
    what, must_fail = rng.choice(_MUTATIONS)(rng, source, run / name)
    use, command = _reader(rng, run, name, samples)
    return Case(f"{name}: {what}", use, command, must_fail)


def _reader(rng: Random, run: Path, name: str, samples: Samples) -> tuple[Any, tuple[str, ...]]:
    if name == "sweep.parquet":
        return (lambda: _read_sweep(run)), ("plot", "sweep", "run", "-o", "out.png")
    if name == "trace.parquet":
        commands = (
            ("sweep", "run", "-o", "out.parquet", "--points", "3"),
            ("tune", "run", "--max-drop", "5", "-o", "out.json", "--points", "3"),
        )
        return (lambda: _replay(run)), rng.choice(commands)
    other = str(samples.run)
    commands: tuple[tuple[str, ...], ...] = (
        ("compare", "run", other, "--json"),
        ("compare", other, "run"),
    )
    if name != "probabilities.parquet":  # a report of top-1 accuracy does not read them
        commands += (("report", other, "run", "-o", "out.html"),)
    thorough = rng.random() < 0.05
    return (lambda: _answers(run, samples, thorough)), rng.choice(commands)


def _read_sweep(run: Path) -> object:
    from vbench.bench.sweep.sweep_file import read_sweep

    return [(point.gmacs, point.accuracy, point.mean_frames) for point in read_sweep(run).points]


def _replay(run: Path) -> object:
    from vbench.bench.sweep.operating_points import evaluate
    from vbench.bench.sweep.policy_grid import candidates
    from vbench.bench.sweep.sweep import read_sources

    (source,) = read_sources([run])
    points = evaluate(source, candidates(source.trace, None, 1), lambda _done, _total: None)
    return [(point.accuracy, point.gmacs, point.latency_ms, point.videos_per_s) for point in points[:50]]


def _answers(run: Path, samples: Samples, thorough: bool) -> object:
    from vbench.bench.compare.compare import compare
    from vbench.bench.compare.run_pair import read_pair
    from vbench.bench.records.answers import read_answers

    interval = read_answers(run, "top1").interval
    read_answers(run, "map")
    if thorough:
        return [(each.before, each.after, each.difference) for each in compare(run, samples.run).quantities]
    pair = read_pair(run, samples.run)
    assert len(set(pair.answers[0].table["video"])) == len(pair.answers[0].table), "a video is compared twice"
    return [interval]


def _write(table: polars.DataFrame, source: Path, target: Path, metadata: str | None = None) -> None:
    target.unlink(missing_ok=True)
    key = _METADATA.get(source.name)
    text = metadata if metadata is not None else _metadata(source) if key else None
    table.write_parquet(target, metadata={key: text} if key and text is not None else None)


def _value(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    """Change one value, within the type of its column."""
    table = _table(source)
    column, row = rng.choice(table.columns), rng.randrange(len(table))
    values = table[column].to_list()
    old = values[row]
    values[row] = rng.choice(STRINGS) if isinstance(old, str) else _like(rng, old)
    try:
        changed = polars.Series(column, values, dtype=table.schema[column])
    except Exception:
        return _drop(rng, source, target)
    _write(table.with_columns(changed), source, target)
    return f"{column} is {values[row]!r:.40} in row {row}", False


def _like(rng: Random, old: object) -> object:
    if isinstance(old, bool):
        return rng.choice((not old, None))
    if isinstance(old, int):
        return rng.choice((-1, 0, old + 1, 99, 2**31 - 1, -(2**31), None))
    if isinstance(old, list):
        return rng.choice(([], old * 2, [None] * len(old), [float("nan")] * len(old), [-1], [99], None))
    return rng.choice(_VALUES)


def _logits(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    """Put NaN where an answer is computed from."""
    column = {"trace.parquet": "logits", "probabilities.parquet": "probabilities"}.get(source.name)
    if column is None:
        return _value(rng, source, target)
    table = _table(source)
    rows = [list(values) for values in table[column].to_list()]
    row = rng.randrange(len(rows))
    rows[row][rng.randrange(len(rows[row]))] = float("nan")
    _write(table.with_columns(polars.Series(column, rows, dtype=table.schema[column])), source, target)
    # Runs of earlier versions hold NaN, which counts as a miss; their traces are refused.
    return f"NaN in {column} of row {row}", source.name == "trace.parquet"


def _dtype(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    table = _table(source)
    column, dtype = rng.choice(table.columns), rng.choice(_DTYPES)
    _write(table.with_columns(polars.Series(column, [None] * len(table), dtype=dtype)), source, target)
    return f"{column} is {dtype} null", False


def _cast(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    table = _table(source)
    column, dtype = rng.choice(table.columns), rng.choice(_DTYPES)
    try:
        changed = table[column].cast(dtype, strict=False)
    except Exception:
        return _dtype(rng, source, target)
    _write(table.with_columns(changed), source, target)
    return f"{column} is {dtype}", False


def _drop(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    table = _table(source)
    column = rng.choice(table.columns)
    _write(table.drop(column), source, target)
    return f"no column {column}", False


def _rename(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    table = _table(source)
    column, other = rng.choice(table.columns), rng.choice(("x", "a\nb", "\x1b[31m", "", "Video"))
    _write(table.rename({column: other}), source, target)
    return f"{column} named {other!r}", False


def _extra(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    _write(_table(source).with_columns(extra=polars.lit(rng.choice((1, "x", None)))), source, target)
    return "another column", False


def _rows(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    table = _table(source)
    row = rng.randrange(len(table))
    kind = rng.randrange(5)
    if kind == 0:
        changed, what = polars.concat([table, table[row : row + 1]]), f"row {row} twice"
    elif kind == 1:
        changed, what = polars.concat([table[:row], table[row + 1 :]]), f"no row {row}"
    elif kind == 2:
        changed, what = table[:0], "no rows"
    elif kind == 3:
        changed, what = table.sample(fraction=1.0, shuffle=True, seed=rng.randrange(1000)), "rows in another order"
    else:
        changed, what = polars.concat([table, table]), "all rows twice"
    _write(changed, source, target)
    # A sweep has no key, and predictions are read in any order.
    return what, kind in (0, 4) and source.name != "sweep.parquet"


def _header(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    if source.name not in _METADATA:
        return _value(rng, source, target)
    found = mutate_json(rng, json.loads(_metadata(source)))
    _write(_table(source), source, target, found.data.decode("utf-8", "replace"))
    return f"header: {found.what}", False


def _bytes(rng: Random, source: Path, target: Path) -> tuple[str, bool]:
    found = damage(rng, source.read_bytes())
    rewrite(target, found.data)
    return found.what, False


_MUTATIONS = (
    _value,
    _value,
    _value,
    _logits,
    _dtype,
    _cast,
    _cast,
    _drop,
    _rename,
    _extra,
    _rows,
    _header,
    _header,
    _bytes,
)
