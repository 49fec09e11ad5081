"""``measurements.json`` of a bundle: a damaged one is measured again, a plausible one is used."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.samples import Samples, link_tree

FILE = "measurements.json"


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    found = mutate_json(rng, json.loads(samples.measurements.read_bytes()), 1)
    bundle = link_tree(samples.flexible_bundle, folder / "bundle")
    (bundle / FILE).write_bytes(found.data)
    command = (
        *("run", "bundle", "--budget-ms", "1000", "--dataset", "folder", "--data", str(samples.data)),
        *("--limit", "2", "-o", "out", "--json"),
    )
    budget = rng.choice((0.001, 1000.0))
    return Case(found.what, lambda: _use(samples, bundle, budget), command)


@cache
def _network(bundle: Path) -> Any:
    """Load the network once; its folder stays, and only the file of measurements in it changes."""
    from vbench.runtime.load import load

    return load(link_tree(bundle, Path(os.environ["HOME"], f"measured-{os.getpid()}")), "ort", threads=1)


def _use(samples: Samples, bundle: Path, budget: float) -> object:
    from vbench.runtime.engine_choice.choose import choose_engine
    from vbench.runtime.engines.options import AUTO, EngineOptions
    from vbench.runtime.policies.choice import PolicyChoice

    network = _network(samples.flexible_bundle)
    (network.bundle.path / FILE).write_bytes((bundle / FILE).read_bytes())
    options, _ = choose_engine(
        network.bundle, EngineOptions(engine=AUTO, say=lambda _: None), PolicyChoice(frames=(4,))
    )
    assert options.engine in ("ort", "openvino")
    return network.predict(samples.frames, budget_ms=budget).probabilities
