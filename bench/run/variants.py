"""Run a network in several variants, such as at each of its frame counts: one run each, over the same videos.

The runs lie side by side in one folder; which variants there are is up to the network's family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from ...errors import RunError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.families import family_of
from ...runtime.networks.family import RunVariant
from ..records.run_file import read_run, variant_runs
from ..records.run_folder import RunConfig
from .run import Listener, Result, create_run, new_path, resume_run, run_videos
from .setup import set_up

NamedListener = Callable[[str], AbstractContextManager[Listener]]


def variants_of(config: RunConfig, bundle: Bundle[Manifest]) -> tuple[RunVariant, ...]:
    """Return the variants that ``config`` asks for one by one; () if it asks for a single run.

    Raises:
        UsageError: the bundle has no such variant.
    """
    return () if config.trace else family_of(bundle.manifest).run_variants(bundle.manifest, config.policy)


def start_variants(
    config: RunConfig,
    variants: Sequence[RunVariant],
    out: Path | None,
    command: str,
    listener: NamedListener,
    bundle: Bundle[Manifest] | None = None,
) -> list[Result]:
    """Run ``config`` in each of ``variants``, into folders of ``out`` that are named after them.

    Args:
        listener: gives the listener of a run from its name, for as long as it runs.
        bundle: the bundle of ``config``, where it is open already.

    Raises:
        VbenchError: see ``start_run``; nothing is written then.
    """
    # The choices that the variants make are left open, so that the parts of all of them are loaded.
    chosen = {name: None for variant in variants for name in variant.choice.explicit_names()}
    setup = set_up(replace(config, policy=replace(config.policy, **chosen)), bundle)
    folder = out or new_path(setup)
    setups = [(variant.name, setup.with_choice(variant.choice)) for variant in variants]
    # All of them begin before the first is run, so that an interruption leaves nothing out that could be resumed.
    begun = [(name, each, create_run(each, folder / name, command, variant=name)) for name, each in setups]
    results = []
    for name, each, run in begun:
        with listener(name) as listen:
            results.append(run_videos(each, run, frozenset(), listen))
    return results


def interrupted_variants(folder: Path) -> list[Path]:
    """Return the runs in ``folder`` that are not complete; [] if it does not hold the variants of a run.

    Raises:
        RunError: all of them are complete, or one cannot be read.
    """
    runs = variant_runs(folder)
    unfinished = [run for run in runs if not read_run(run).complete]
    if runs and not unfinished:
        raise RunError(f"{folder}: all its runs are complete", "start a new one without --resume")
    return unfinished


def resume_variants(runs: Sequence[Path], listener: NamedListener) -> list[Result]:
    """Resume these runs, each bundle of theirs opened once; see ``resume_run``."""
    bundles: dict[str, Bundle[Manifest]] = {}
    results = []
    for run in runs:
        path = read_run(run).object("config").get("bundle", str)
        if path not in bundles:
            bundles[path] = open_bundle(Path(path))
        with listener(run.name) as listen:
            results.append(resume_run(run, listen, bundles[path]))
    return results
