"""Run the sections of a check in sequence; an error in one does not affect the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.doctor.finding import first_line

from .bundle import step_frames
from .clips import draw
from .contenders import Contender
from .counts import counts
from .goldens import audit, goldens
from .latency import latency
from .section import Section
from .settings import Settings, WorkerConfig
from .throughput import throughput
from .turns import Failure

Work = Callable[[], Section]


def check(
    bundle: Bundle[Manifest],
    contenders: Sequence[Contender],
    settings: Settings,
    sections: Sequence[str],
    scratch: Path,
    *,
    flexible: Callable[[], Bundle[Manifest]],
    originals: bool = False,
    originals_of_counts: bool = False,
) -> Iterator[Section]:
    """Run the named sections and yield each when it ends.

    Args:
        scratch: folder for the drawn clips.
        flexible: returns the bundle of a frame-flexible network.
        originals, originals_of_counts: whether the bundle is that of the goldens' checkpoint, whose predictions are
            known.
    """
    print("drawing the clips", file=sys.stderr, flush=True)
    draw(scratch, bundle.manifest, settings.clips)
    config = WorkerConfig(bundle.path, scratch, max(*settings.slots, 8))
    to_time = timing_candidates(contenders)
    works: Mapping[str, Work] = {
        "goldens": partial(goldens, contenders, config, settings, originals=originals),
        "audit": partial(audit, contenders, config, settings),
        "latency": partial(latency, to_time, config, settings, len(step_frames(bundle.manifest))),
        "counts": partial(counts, [one for one in to_time if one.exact], flexible, scratch / "counts",
                          settings, originals=originals_of_counts),
        "throughput": partial(throughput, to_time, config, settings),
    }  # fmt: skip
    yield from (_guarded(name, work) for name, work in works.items() if name in sections)


def timing_candidates(contenders: Sequence[Contender]) -> list[Contender]:
    """Return the contenders to time: all on a GPU, and only the first on the CPU if there is a GPU."""
    first = next((one for one in contenders if not one.gpu), None)
    gpus = any(one.gpu for one in contenders)
    return [one for one in contenders if one.gpu or one is first or not gpus]


def _guarded(name: str, work: Work) -> Section:
    try:
        return work()
    except Exception as error:  # a bug in this tool must not discard the other sections
        return Section(name, failures=(Failure(name, "the check itself", first_line(error)),))
