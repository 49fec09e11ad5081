"""``python -m tools.gpu_check``: check every engine on this machine's GPU and write a dated record.

The record holds predictions compared with the CPU's, latency at each exit step, throughput and the savings of early
exit. No engine is required: one that is missing, fails, crashes or hangs becomes a line in the record, which is
rewritten after each section. Without a GPU the exit code is 3.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from vbench.errors import MissingError, UsageError, VbenchError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.doctor.finding import Finding
from vbench.runtime.telemetry.environment import versions

from .bundle import FLEXIBLE, FRAMEEXIT, export_golden, flexible_bundle, frameexit_bundle, step_frames
from .contenders import CONTENDERS, Contender, select
from .machine import gpu_name, gpu_problem, inspect_machine
from .record import Record, free_files, write
from .run import check
from .settings import QUICK, SECTIONS, Settings

_OUT = Path("docs/benchmarks")


def main(given: Sequence[str] | None = None, contenders: Sequence[Contender] = CONTENDERS) -> int:
    """Return the exit code: 0 if a record was written, regardless of its contents."""
    arguments = _parser().parse_args(given)
    try:
        with ExitStack() as ends:
            _main(arguments, contenders, ends)
    except VbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _main(arguments: argparse.Namespace, contenders: Sequence[Contender], ends: ExitStack) -> None:
    settings = _settings(arguments)
    findings = inspect_machine()
    problem = "" if arguments.cpu else gpu_problem(findings)
    if problem:
        raise MissingError(f"no engine runs on a GPU here: {problem}", "add --cpu to try this script without a GPU")
    _show(findings)
    present, absent = select(contenders, findings, arguments.cpu)
    scratch = Path(ends.enter_context(tempfile.TemporaryDirectory()))
    own = arguments.bundle is None
    bundle = frameexit_bundle(export_golden(FRAMEEXIT, scratch) if own else arguments.bundle)
    flexible = None if arguments.flexible is None else flexible_bundle(arguments.flexible)
    record = Record(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        device="CPU" if arguments.cpu else gpu_name(findings),
        command=_command(arguments),
        bundle=_described(bundle, own),
        versions=versions(),
        settings=settings,
        findings=tuple(findings),
        absent=tuple(absent),
        planned=tuple(name for name in SECTIONS if name in (arguments.only or SECTIONS)),
    )
    files = free_files(record, arguments.out or _default_out(arguments.cpu))
    for section in check(
        bundle,
        present,
        settings,
        record.planned,
        scratch,
        flexible=lambda: flexible or flexible_bundle(export_golden(FLEXIBLE, scratch)),
        originals=own,
        originals_of_counts=flexible is None,
    ):
        record = replace(record, sections=(*record.sections, section))
        write(record, files)
        print(f"wrote {section.name} to {files.markdown}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=__doc__)
    parser.add_argument(
        "--out", type=Path, help=f"folder of the record; default: {_OUT}, with --cpu a temporary folder"
    )
    parser.add_argument(
        "--bundle", type=Path, help="FrameExit bundle; default: export the goldens' checkpoint (needs torch)"
    )
    parser.add_argument("--flexible", type=Path, help="bundle of a frame-flexible network; default as above")
    parser.add_argument("--quick", action="store_true", help="smoke test: a few clips, two repetitions")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="section to run; all by default")
    parser.add_argument("--slots", type=_slots, metavar="N,...", help="batch sizes; 1,8,32,128 by default")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="time limit of a section")
    parser.add_argument("--cpu", action="store_true", help="run the CPU engines only, to try this script")
    return parser


def _slots(text: str) -> tuple[int, ...]:
    found = tuple(int(part) for part in text.split(","))
    if min(found) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return found


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = QUICK if arguments.quick else Settings()
    if arguments.slots:
        settings = replace(settings, slots=arguments.slots)
    if arguments.limit is None:
        return settings
    if not arguments.limit > 0:
        raise UsageError(f"--limit must be > 0, got {arguments.limit:g}", "give a number of seconds")
    return replace(settings, limits=replace(settings.limits, section_s=arguments.limit))


def _show(found: Sequence[Finding]) -> None:
    for one in found:
        print(f"{one.topic:10}{one.what:22}{one.state:10}{one.detail}")


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line, without file paths."""
    flags = [f"--{name}" for name in ("cpu", "quick") if getattr(arguments, name)]
    flags += [f"--{name} ..." for name in ("bundle", "flexible") if getattr(arguments, name)]
    flags += [f"--only {name}" for name in arguments.only or []]
    flags += [f"--slots {','.join(map(str, arguments.slots))}"] if arguments.slots else []
    flags += [f"--limit {arguments.limit:g}"] if arguments.limit else []
    return " ".join([".venv/bin/python -m tools.gpu_check", *flags])


def _described(bundle: Bundle[Manifest], own: bool) -> str:
    manifest = bundle.manifest
    origin = "the goldens' synthetic checkpoint, exported here" if own else "a given bundle"
    size = manifest.preprocessing.input_size
    return f"{manifest.network}, {len(step_frames(manifest))} frames of {size} x {size}: {origin}"


def _default_out(cpu: bool) -> Path:
    return Path(tempfile.mkdtemp(prefix="gpu_check_")) if cpu else _OUT


if __name__ == "__main__":
    sys.exit(main())
