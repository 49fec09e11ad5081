"""``vbench bench`` on the CPU, one command per network, and docs/benchmarks.md from its folders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vbench.bench.benchmark.bench_folder import is_bench, read_bench
from vbench.bench.benchmark.results import Bench
from vbench.errors import CheckError
from vbench.files import whole_file

from .clips import prepare_clips
from .networks import GoldenNetwork, prepare_bundle
from .page import page

_ORIGIN = """\
`just bench` (`.venv/bin/python -m tools.benchmarks cpu`) wrote this page from the folders of `vbench bench`; edit the
templates in `tools/benchmarks`, not the page. [bench.md](bench.md) explains the columns. Measurements that
`vbench bench` does not make are in [benchmarks/other.md](benchmarks/other.md), those on GPUs in the other pages of that
folder."""


def run_on_cpu(networks: Sequence[GoldenNetwork], work: Path, out: Path, extra: Sequence[str] = ()) -> None:
    """Benchmark the networks and write the page; what is complete in ``work`` is not repeated.

    Args:
        extra: further options of ``vbench bench``.

    Raises:
        VbenchError: a network cannot be exported, or its benchmark fails.
    """
    benches = {network.title: _bench(network, work, extra) for network in networks}
    with whole_file(out) as temporary:
        temporary.write_text(page("Benchmarks", _ORIGIN, benches), encoding="utf-8")


def _bench(network: GoldenNetwork, work: Path, extra: Sequence[str]) -> Bench:
    folder = Path("benches", network.name)
    if not is_bench(work / folder):
        prepare_bundle(network, network.precisions, work)
        clips = prepare_clips(network, work)
        chosen = () if clips is None else ("--clips", str(clips.relative_to(work)))
        minutes = ("--max-minutes", f"{network.minutes:g}")
        _vbench(work, "bench", f"bundles/{network.name}", *chosen, *minutes, "-o", str(folder), *extra)
    elif not read_bench(work / folder).complete:
        _vbench(work, "bench", "--resume", str(folder))
    return read_bench(work / folder)


def _vbench(work: Path, *arguments: str) -> None:
    """Run the command line in ``work``, so that the command in its record has no absolute path."""
    print(" ".join(("vbench", *arguments)), file=sys.stderr, flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run([sys.executable, "-m", "vbench", *arguments], cwd=work, env=environment, check=False)
    if ended.returncode:
        raise CheckError(f"vbench {arguments[0]} ended with exit code {ended.returncode}", "see its error above")
