"""``python -m tools.startup BUNDLE``: time from the start of a process to the first video, by phase, in new processes.

Every repetition starts ``vbench.load`` once with each engine, in turns, and ``vbench run`` too if a data set is given.
The output is the median of each phase, in seconds, and the lowest and highest total.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from vbench.bench.records.run_file import read_run

_LOAD = """
import json, sys
from vbench.startup import phase, process_startup, ready
with process_startup():
    with phase("imports"):
        from vbench import load
    load(sys.argv[1], sys.argv[2])
    print(json.dumps(ready().record()))
"""

Record = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    found: dict[str, list[Record]] = {}
    for _ in range(arguments.repeats):
        for engine in arguments.engine:
            found.setdefault(f"load, {engine}", []).append(_load(arguments.bundle, engine))
            if arguments.dataset is not None:
                found.setdefault(f"run, {engine}", []).append(_run(arguments, engine))
    for name, records in found.items():
        print(f"{name}: {_text(records)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--engine", type=lambda text: text.split(","), default=["auto", "ort", "openvino"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dataset")
    parser.add_argument("--data")
    return parser.parse_args()


def _load(bundle: Path, engine: str) -> Record:
    return _record(_python("-c", _LOAD, str(bundle), engine))


def _run(arguments: argparse.Namespace, engine: str) -> Record:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        data = () if arguments.data is None else ("--data", arguments.data)
        options = ("--engine", engine, "--dataset", arguments.dataset, *data, "--limit", "1", "-o", str(run))
        _python("-m", "vbench", "run", str(arguments.bundle), *options)
        return dict(read_run(run).object("startup").content)


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def _record(text: str) -> Record:
    return dict(json.loads(text.splitlines()[-1]))


def _text(records: list[Record]) -> str:
    totals = [record["seconds"] for record in records]
    phases = dict.fromkeys(name.partition("/")[0] for record in records for name in record["phases"])
    medians = ", ".join(f"{name} {median(_seconds(record, name) for record in records):.2f}" for name in phases)
    return f"{median(totals):.2f} s ({min(totals):.2f} to {max(totals):.2f}): {medians}"


def _seconds(record: Record, phase: str) -> float:
    return sum(seconds for name, seconds in record["phases"].items() if name.partition("/")[0] == phase)


if __name__ == "__main__":
    main()
