"""Run vbench on the fakes: ``python -m tests.fakes FLAVOR [OPTIONS] -- vbench-arguments...``."""

from __future__ import annotations

import argparse
import sys

import pytest

from .install import install
from .machine import Machine
from .misuse import Misuse

ABORTED = 134  # a shell's exit status of a process that called abort()


def main(arguments: list[str]) -> None:
    """Install the fakes and run vbench; a context left on the stack aborts the process, like PyCUDA."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:split])
    sm = tuple(int(number) for number in options.sm.split("."))
    machine = install(
        pytest.MonkeyPatch(),
        options.flavor,
        version=options.version,
        gpu=options.gpu,
        sm=(sm[0], sm[1]),
        memory=options.memory,
        graphs=not options.no_graphs,
    )
    for fault in options.fault:
        set_fault(machine, fault)
    sys.argv = ["vbench", *arguments[split + 1 :]]
    from vbench.cli.main import main as vbench

    try:
        vbench()
    finally:
        try:
            machine.assert_balanced()
        except Misuse as error:
            print(f"PyCUDA ERROR: {error}", file=sys.stderr)
            sys.exit(ABORTED)


def set_fault(machine: Machine, text: str) -> None:
    """Set ``driver`` to True, ``execute=3`` to 3, ``operators=Resize,TopK`` to a set, ``fail_at=2`` on the memory."""
    name, _, value = text.partition("=")
    if name == "fail_at":
        machine.memory.fail_at = int(value)
    elif name in ("absent", "operators"):
        setattr(machine.faults, name, frozenset(value.split(",")))
    elif hasattr(machine.faults, name):
        setattr(machine.faults, name, int(value) if value else True)
    else:
        sys.exit(f"there is no fault {name!r}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes")
    parser.add_argument("flavor", choices=["10", "11"])
    parser.add_argument("--version")
    parser.add_argument("--gpu", default="NVIDIA H200")
    parser.add_argument("--sm", default="9.0")
    parser.add_argument("--memory", type=int, default=139 << 30)
    parser.add_argument("--no-graphs", action="store_true")
    parser.add_argument("--fault", action="append", default=[])
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
