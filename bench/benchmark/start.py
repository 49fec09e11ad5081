"""Start and resume benchmarks: choose contenders and clips, measure, and keep the results in a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from ...errors import DatasetError, RunError, UsageError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.options import EngineOptions
from ...runtime.networks.base import Network
from ...runtime.scheduler.options import StreamOptions
from ...runtime.telemetry.environment import cpu_flags, machine, versions
from ..datasets.base import Dataset, Video
from .bench_folder import BenchFolder, read_bench
from .clips import ClipSet, limited
from .contender import Contender
from .harness import Harness, Listener
from .load import load_contender
from .matrix import available_engines, choose_contenders, low_precision_support
from .options import BenchOptions
from .results import Bench, BenchHeader, ClipsInfo, ContenderResult

Plan = Callable[[Path, Bench], None]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure: the bundle, options that all contenders share, the matrix, and the clips.

    ``limit`` is the number of clips in a turn; None chooses it to fit the time limit. ``verify`` runs the compliance
    checks on all clips instead of a few.
    """

    bundle: Path
    options: BenchOptions = field(default_factory=BenchOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    clips: ClipSet = field(default_factory=ClipSet)
    limit: int | None = None
    verify: bool = False


def start_bench(
    config: BenchConfig,
    out: Path | None,
    command: str,
    plan: Plan = lambda *_: None,
    listener: Listener = lambda _: None,
) -> tuple[Path, Bench]:
    """Run a benchmark and keep it in the folder ``out``, or in a new folder in ``benches/`` if ``out`` is None.

    Args:
        plan: called with the folder and the contenders before any of them is loaded.

    Raises:
        VbenchError: nothing can be measured; if so, nothing is written.
    """
    config.options.check()
    config.clips.check()
    bundle = open_bundle(config.bundle)
    bench = new_bench(config, bundle, command)
    path = vacant_folder(bundle, out)
    plan(path, bench)
    return path, _measure(path, bench, listener, verify=config.verify)


def resume_bench(
    path: Path, plan: Plan = lambda *_: None, listener: Listener = lambda _: None, *, verify: bool = False
) -> Bench:
    """Continue an interrupted benchmark after its last complete repetition.

    Raises:
        RunError: there is no such benchmark, it is complete, or its bundle has changed.
    """
    bench = read_bench(path)
    if bench.complete:
        raise RunError(f"the benchmark in {path} is complete", "start a new one")
    bundle = open_bundle(Path(bench.header.bundle))
    if bundle.digest != bench.header.bundle_sha256:
        raise RunError(
            f"the bundle {bench.header.bundle} has changed since {path} was started", "start a new benchmark"
        )
    _drop_incomplete_repetition(bench)
    plan(path, bench)
    return _measure(path, bench, listener, verify=verify)


def _measure(path: Path, bench: Bench, listener: Listener, *, verify: bool) -> Bench:
    with closing(BenchFolder(path)) as folder:
        try:
            Harness(bench, listener, folder.save, verify=verify).run()
        except KeyboardInterrupt:
            if any(one.turns for one in bench.results):
                folder.save(bench)
            raise
    return bench


def _drop_incomplete_repetition(bench: Bench) -> None:
    working = [one for one in bench.results if not one.failure]
    last = min((max(one.turns, default=0) for one in working), default=0)
    for one in bench.results:
        one.turns = {number: turn for number, turn in one.turns.items() if number <= last}


def new_bench(config: BenchConfig, bundle: Bundle[Manifest], command: str) -> Bench:
    """Return a benchmark that has not run: its contenders, clips and environment.

    Raises:
        VbenchError: no contender works here, or the clips cannot be read.
    """
    flags = cpu_flags()
    matrix = choose_contenders(bundle.manifest, config.options, config.engine, available_engines(), flags)
    dataset = limited(config.clips.load(bundle), config.limit)
    if not dataset.videos:
        raise DatasetError(f"{dataset.name} has no videos", "choose another data set")
    header = BenchHeader(
        bundle=str(config.bundle),
        network=bundle.manifest.network,
        bundle_sha256=bundle.digest,
        bundle_bytes={name: _bytes(bundle.manifest, name) for name in bundle.manifest.precisions},
        options=config.options,
        clip_set=config.clips,
        clips=_info(dataset, bundle.manifest),
        absent=matrix.absent,
        machine=machine(),
        low_precision=low_precision_support(flags),
        versions=versions(),
        command=command,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        limit=config.limit,
    )
    return Bench(header, [ContenderResult(contender) for contender in matrix.contenders])


def _info(dataset: Dataset, manifest: Manifest) -> ClipsInfo:
    labeled = any(video.classes for video in dataset.videos)
    return ClipsInfo(dataset.name, dataset.metric, len(dataset.videos), labeled, manifest.classes, dataset.categories)


def _bytes(manifest: Manifest, precision: str) -> int:
    files = [file for part in manifest.parts.values() for file in part.all_files(precision)]
    if precision in manifest.weights:
        files.append(manifest.weights[precision])
    return sum(file.size_bytes for file in {file.path: file for file in files}.values())


def vacant_folder(bundle: Bundle[Manifest], out: Path | None) -> Path:
    """Return ``out``, or a new path in ``benches/`` if it is None.

    Raises:
        UsageError: ``out`` exists.
    """
    if out is not None:
        if out.exists():
            raise UsageError(f"{out} already exists", "choose another name with -o, or continue it with --resume")
        return out
    stem, number = f"{datetime.now():%Y%m%d-%H%M%S}-{bundle.name}", 2
    path = Path("benches", stem)
    while path.exists():
        path, number = Path("benches", f"{stem}-{number}"), number + 1
    return path


def open_contender(
    config: BenchConfig, bundle: Bundle[Manifest], stream: StreamOptions
) -> tuple[Network, tuple[Video, ...]]:
    """Load a benchmark's first engine, precision and frame count, and its videos, in this process.

    Raises:
        VbenchError: an option is wrong, or the engine or the clips cannot be used.
    """
    options = config.options
    options.check()
    config.clips.check()
    engine = replace(
        config.engine,
        engine=(options.engines or (config.engine.engine,))[0],
        precision=(options.precisions or (config.engine.precision,))[0],
    )
    dataset = limited(config.clips.load(bundle), config.limit)
    contender = Contender("scenario", engine, stream, frames=(options.frames or (None,))[0])
    return load_contender(contender, bundle, dataset), dataset.videos
