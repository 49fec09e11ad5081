"""Run a network in several variants, such as one per frame count, with a separate run for each over the same videos.

The runs share a parent folder; the network's family defines the variants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from ...errors import RunError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.families import family_of
from ...runtime.networks.family import RunVariant
from ...startup import startup
from ..records.run_file import read_run, variant_runs
from ..records.run_folder import RunConfig, RunFolder
from .plan import all_videos
from .run import Listener, Result, create_run, in_folder, resume_run, run_videos
from .setup import RunSetup, set_up

NamedListener = Callable[[str], AbstractContextManager[Listener]]


def variants_of(config: RunConfig, bundle: Bundle[Manifest]) -> tuple[RunVariant, ...]:
    """Return the variants that ``config`` requests; () for a single run.

    Raises:
        UsageError: the bundle has no such variant.
    """
    return () if config.trace else family_of(bundle.manifest).run_variants(bundle.manifest, config.policy)


@startup()
def start_variants(
    config: RunConfig,
    variants: Sequence[RunVariant],
    out: Path | None,
    command: str,
    listener: NamedListener,
    bundle: Bundle[Manifest] | None = None,
) -> list[Result]:
    """Run ``config`` in each of ``variants``, into subfolders of ``out`` named after them.

    Args:
        listener: takes the name of a run and returns a context manager that yields the progress listener of that run.
        bundle: the bundle of ``config``, if it is already open.

    Raises:
        VbenchError: see ``start_run``; if it is raised, nothing is written.
    """
    # Leave the options set by the variants unset, so that the parts of all variants are loaded.
    chosen = {name: None for variant in variants for name in variant.choice.explicit_names()}
    setup = set_up(replace(config, policy=replace(config.policy, **chosen)), bundle)
    setups = {variant.name: setup.with_choice(variant.choice) for variant in variants}
    created = in_folder(setup, out, lambda folder: _create_all(setups, folder, command))
    results = []
    with ExitStack() as stack:
        for folder in created.values():
            stack.enter_context(folder)
        for name, folder in created.items():
            with listener(name) as listen:
                results.append(run_videos(setups[name], folder, all_videos(setups[name]), listen))
    return results


def _create_all(setups: Mapping[str, RunSetup], parent: Path, command: str) -> dict[str, RunFolder]:
    """Create all runs, or none on failure, before the first starts, so that each can be resumed if interrupted."""
    created: dict[str, RunFolder] = {}
    with ExitStack() as discard:
        for name, setup in setups.items():
            created[name] = create_run(setup, parent / name, command, variant=name)
            discard.callback(created[name].discard)
        discard.pop_all()
    return created


def interrupted_variants(folder: Path) -> list[Path]:
    """Return the incomplete runs in ``folder``; [] if it does not contain the variants of a run.

    Raises:
        RunError: all of them are complete, or one cannot be read.
    """
    runs = variant_runs(folder)
    unfinished = [run for run in runs if not read_run(run).complete]
    if runs and not unfinished:
        raise RunError(f"all runs in {folder} are complete", "start a new one without --resume")
    return unfinished


def resume_variants(
    runs: Sequence[Path], listener: NamedListener, *, allow_changed_dataset: bool = False
) -> list[Result]:
    """Resume these runs, opening each bundle once; see ``resume_run``."""
    bundles: dict[str, Bundle[Manifest]] = {}
    results = []
    for run in runs:
        path = read_run(run).object("config").get("bundle", str)
        if path not in bundles:
            bundles[path] = open_bundle(Path(path))
        with listener(run.name) as listen:
            results.append(resume_run(run, listen, bundles[path], allow_changed_dataset=allow_changed_dataset))
    return results
