"""Run a frame-flexible network at several frame counts: one run each, over the same videos, in folders side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from ...errors import RunError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.bundle.manifest import FlexibleManifest, frames_part
from ...runtime.networks.flexible import FlexibleNetwork
from ...runtime.policies.cascade import Cascade
from ..records.run_folder import RUN_FILE, RunConfig, read_run
from .run import Listener, Result, begin, go_on, new_path, resume_run
from .setup import Prepared, prepare

NamedListener = Callable[[str], AbstractContextManager[Listener]]


def counts_to_run(config: RunConfig) -> tuple[int, ...]:
    """Return the frame counts that ``config`` asks for one by one; () if it asks for a single run.

    Raises:
        BundleError: there is no such bundle.
    """
    manifest = open_bundle(Path(config.bundle)).manifest
    rules = (config.cascade, config.budget_ms, config.policy, config.trace or None)
    if not isinstance(manifest, FlexibleManifest) or any(rule is not None for rule in rules):
        return ()
    counts = manifest.frame_counts if config.frames is None else config.frames
    return counts if len(counts) > 1 else ()


def start_counts(
    config: RunConfig, counts: tuple[int, ...], out: Path | None, command: str, listener: NamedListener
) -> list[Result]:
    """Run ``config`` at each of ``counts``, into the folders ``frames_04`` and so on of ``out``.

    Args:
        listener: gives the listener of a run from its name, for as long as it runs.

    Raises:
        VbenchError: see ``start_run``; nothing is written then.
    """
    Cascade(counts).check_counts(_known(config))
    prepared = prepare(replace(config, frames=None))  # all counts are loaded
    folder = out or new_path(prepared)
    # All of them begin before the first goes on, so that an interruption leaves nothing out that could be resumed.
    begun = [
        (frames_part(count), each, begin(each, folder / frames_part(count), command))
        for count, each in ((count, _at(prepared, count)) for count in counts)
    ]
    results = []
    for name, each, run in begun:
        with listener(name) as listen:
            results.append(go_on(each, run, frozenset(), listen))
    return results


def interrupted_counts(folder: Path) -> list[Path]:
    """Return the runs in ``folder`` that are not complete; [] if it does not hold runs of several frame counts.

    Raises:
        RunError: all of them are complete, or one cannot be read.
    """
    if (folder / RUN_FILE).exists():
        return []
    runs = sorted(path.parent for path in folder.glob(f"frames_*/{RUN_FILE}"))
    unfinished = [run for run in runs if not read_run(run).get("complete")]
    if runs and not unfinished:
        raise RunError(f"{folder}: all its runs are complete", "start a new one without --resume")
    return unfinished


def resume_counts(runs: list[Path], listener: NamedListener) -> list[Result]:
    """Go on with these runs; see ``resume_run``."""
    results = []
    for run in runs:
        with listener(run.name) as listen:
            results.append(resume_run(run, listen))
    return results


def _known(config: RunConfig) -> tuple[int, ...]:
    manifest = open_bundle(Path(config.bundle)).manifest
    assert isinstance(manifest, FlexibleManifest)
    return manifest.frame_counts


def _at(prepared: Prepared, count: int) -> Prepared:
    assert isinstance(prepared.network, FlexibleNetwork)
    network = prepared.network.with_policy(Cascade((count,)))
    return replace(prepared, config=replace(prepared.config, frames=(count,)), network=network)
