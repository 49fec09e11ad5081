"""``python -m tests.fuzz.self_check``: show, as JSON, that the harness notices what a process cannot report itself."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.case import Case, InputClass, Make
from tests.fuzz.runner import Plan, open_samples, run_plan
from tests.fuzz.samples import Samples

INPUTS = 2


def hostile(_rng: Random, samples: Samples, folder: Path) -> Case:
    def use() -> object:
        (samples.outside / "secret").read_bytes()
        (folder.parent / "tmp" / "left").write_text("x")
        return 1

    return Case("opens a file outside, and leaves one", use)


def stuck(_rng: Random, _samples: Samples, _folder: Path) -> Case:
    return Case("never ends", lambda: time.sleep(1000))


def dying(_rng: Random, _samples: Samples, _folder: Path) -> Case:
    return Case("ends its process", os.abort)


def main() -> None:
    makes: tuple[Make, ...] = (hostile, stuck, dying)
    with open_samples(Path(sys.argv[1])) as (samples, listener):
        plans = {make.__name__: Plan(InputClass(make.__name__, make), 0, INPUTS) for make in makes}
        counts = {name: run_plan(plan, samples, listener, limit_s=2.0).counts for name, plan in plans.items()}
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
