"""``python -m tools.benchmarks cpu|gpu``: measure the goldens' networks and write a page of docs/.

What is complete in the folder ``--work`` (checkpoints, bundles, clips, and on the CPU benchmarks) is not made again, so
an interrupted command continues, and bundles can be brought along. Without it, a temporary folder is used.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vbench.bench.benchmark.options import BenchOptions, names
from vbench.errors import VbenchError
from vbench.runtime.engines.options import PROVIDERS, EngineOptions

from .cpu import run_on_cpu
from .gpu import ENGINE, OPTIONS, run_on_gpu
from .networks import NETWORKS, GoldenNetwork

_DOCS = Path("docs")


def main(given: Sequence[str] | None = None, networks: Sequence[GoldenNetwork] = NETWORKS) -> int:
    """Return the exit code: 0 if a page was written, whatever it says."""
    own = sys.argv[1:] if given is None else given
    parser = _parser(networks)
    arguments, extra = parser.parse_known_args(own)
    if extra and arguments.where == "gpu":
        parser.error(f"unknown option {extra[0]}")
    try:
        with ExitStack() as ends:
            work = arguments.work or Path(ends.enter_context(tempfile.TemporaryDirectory()))
            work.mkdir(parents=True, exist_ok=True)
            chosen = [network for network in networks if arguments.only in (None, network.name)]
            if arguments.where == "cpu":
                run_on_cpu(chosen, work, arguments.out, extra)
            else:
                command = shlex.join([".venv/bin/python", "-m", "tools.benchmarks", *own])
                options, engine = _options(arguments), _engine(arguments)
                print(run_on_gpu(chosen, work, arguments.out, command, options, engine).markdown)
    except VbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command with the same --work continues on the CPU", file=sys.stderr)
        return 130
    return 0


def _options(arguments: argparse.Namespace) -> BenchOptions:
    fields = ("engines", "precisions", "schedules", "syncs", "slots", "min_repeats", "max_minutes")
    return replace(OPTIONS, **{name: getattr(arguments, name) for name in fields if getattr(arguments, name)})


def _engine(arguments: argparse.Namespace) -> EngineOptions:
    graphs = arguments.graphs and arguments.device != "cpu"
    return replace(ENGINE, device=arguments.device, graphs=graphs or None, provider=arguments.provider)


def _parser(networks: Sequence[GoldenNetwork]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.benchmarks", description=__doc__)
    places = parser.add_subparsers(dest="where", required=True)
    on_cpu = places.add_parser("cpu", epilog="Other options go to vbench bench.")
    on_cpu.add_argument("--out", type=Path, default=_DOCS / "benchmarks.md", help="page; default: %(default)s")
    on_gpu = places.add_parser("gpu")
    on_gpu.add_argument("--out", type=Path, default=_DOCS / "benchmarks", help="folder; default: %(default)s")
    for place in (on_cpu, on_gpu):
        place.add_argument("--work", type=Path, metavar="DIR", help="keep checkpoints, bundles and clips here")
        place.add_argument("--only", choices=[one.name for one in networks], help="network to measure; default: all")
    _add_gpu_options(on_gpu)
    return parser


def _add_gpu_options(parser: argparse.ArgumentParser) -> None:
    defaults = {"engine": OPTIONS.engines, "precision": OPTIONS.precisions, "schedule": ("sequential", "inflight"),
                "sync": ("step",)}  # fmt: skip
    for name, default in defaults.items():
        text = f"default: {','.join(default or ())}"
        parser.add_argument(f"--{name}", dest=f"{name}s", type=names, metavar="NAME,...", help=text)
    parser.add_argument("--slots", type=_numbers, metavar="N,...", help="batch sizes; default: 8")
    parser.add_argument("--min-repeats", type=int, metavar="N", help=f"default: {OPTIONS.min_repeats}")
    parser.add_argument(
        "--max-minutes", type=float, metavar="M", help=f"of a network; default: {OPTIONS.max_minutes:g}"
    )
    parser.add_argument("--device", default=ENGINE.device, help="default: %(default)s; cpu tries this without a GPU")
    parser.add_argument("--provider", choices=PROVIDERS, default=PROVIDERS[0], help="tensorrt adds ort with TensorRT")
    parser.add_argument("--no-graphs", dest="graphs", action="store_false", help="leave out CUDA graphs")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
