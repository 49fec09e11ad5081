"""Run configurations built from options by name, regardless of their option object."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.scheduler.options import StreamOptions

GROUPS = {"engine": EngineOptions, "data": DataOptions, "stream": StreamOptions, "policy": PolicyChoice}


def run_config(bundle: Bundle | Path, **options: Any) -> RunConfig:
    """Return a run configuration with these options: fields of any option object (``limit=3``), or whole objects."""
    return changed(RunConfig(str(bundle if isinstance(bundle, Path) else bundle.path)), **options)


def changed(config: RunConfig, **options: Any) -> RunConfig:
    """Return the configuration with different options."""
    for name, value in options.items():
        if name in ("bundle", "trace") or isinstance(value, GROUPS.get(name, ())):
            config = replace(config, **{name: value})
            continue
        (group,) = (group for group, cls in GROUPS.items() if name in {field.name for field in fields(cls)})
        config = replace(config, **{group: replace(getattr(config, group), **{name: value})})
    return config
