"""``python -m tests.fuzz``: run fuzzed inputs, print a table per class and every fault; exit code 1 if there is one."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.inputs import CLASSES
from tests.fuzz.runner import (
    COMMAND_LIMIT_S,
    IN_PROCESS_LIMIT_S,
    Plan,
    Tally,
    faults,
    open_samples,
    run_plan,
    save,
    shares,
    table,
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="number of inputs, divided among the classes")
    parser.add_argument("--minutes", type=float, help="stop after this time; inputs are then unlimited")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--class", dest="classes", action="append", choices=CLASSES, help="class of inputs; repeatable")
    parser.add_argument("--only", type=int, help="run the input with this number alone")
    parser.add_argument("--cli", action="store_true", help="run commands instead of functions")
    parser.add_argument("--limit", type=float, help="seconds after which an input hangs")
    parser.add_argument("--samples", type=Path, help="folder of the samples, kept for the next time")
    parser.add_argument("--save", type=Path, help="write all results to this JSON file")
    return parser.parse_args(arguments)


def main() -> int:
    given = parse()
    root = given.samples or Path(
        tempfile.mkdtemp(prefix="vbench-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    try:
        tallies = run(given, root.resolve())
    finally:
        if given.samples is None:
            shutil.rmtree(root, ignore_errors=True)
    print(table(tallies))
    for line in faults(tallies, given.seed, given.cli):
        print(line)
    if given.save:
        save(given.save, tallies, given.seed)
    return int(any(tally.failed for tally in tallies.values()))


def run(given: argparse.Namespace, root: Path) -> dict[str, Tally]:
    """Run the chosen classes one after another."""
    chosen = [CLASSES[name] for name in given.classes or CLASSES]
    counts = shares(chosen, given.inputs, lambda each: each.cli_weight if given.cli else each.weight)
    limit = given.limit or (COMMAND_LIMIT_S if given.cli else IN_PROCESS_LIMIT_S)
    tallies = {}
    with open_samples(root) as (samples, listener):
        end = float("inf") if given.minutes is None else time.monotonic() + 60 * given.minutes
        for number, kind in enumerate(chosen):
            now, count = time.monotonic(), counts[kind.name]
            if given.minutes is not None and count:
                count = sys.maxsize
            plan = Plan(kind, given.seed, count, given.cli, given.only, now + (end - now) / (len(chosen) - number))
            tallies[kind.name] = run_plan(plan, samples, listener, limit)
            print(f"{kind.name}: {tallies[kind.name].inputs} inputs", file=sys.stderr)
    return tallies


if __name__ == "__main__":
    sys.exit(main())
