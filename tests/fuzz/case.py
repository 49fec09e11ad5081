"""One fuzzed input: what was done to it, how it is read, and what would be a wrong result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.fuzz.samples import Samples


@dataclass(frozen=True)
class Case:
    """A fuzzed input, already written to its folder.

    Attributes:
        what: the mutation, in words.
        use: reads the input in process and returns numbers that must be finite; lists, dicts and arrays are searched.
        command: arguments of ``vbench`` that read the input; () if no command does.
        must_fail: an answer is a false success, because the input is known to be broken in a way that must be noticed.
        must_answer: an error is a false refusal, because the input is known to be valid.
        wrong: returns what is wrong with the answer, or None.
        output: the only file or folder that the command may create, next to files whose names start with its stem.
    """

    what: str
    use: Callable[[], object]
    command: tuple[str, ...] = ()
    must_fail: bool = False
    must_answer: bool = False
    wrong: Callable[[object], str | None] = lambda _: None
    output: str = "out"


Make: TypeAlias = Callable[[Random, Samples, Path], Case]


@dataclass(frozen=True)
class InputClass:
    """A class of inputs.

    Attributes:
        make: writes the input that a random generator determines into an empty folder.
        weight: its share of the inputs in process; cheap classes have large ones.
        cli_weight: its share of the inputs through the command line.
    """

    name: str
    make: Make
    weight: float = 1.0
    cli_weight: float = 1.0


def random_of(seed: int, name: str, index: int) -> Random:
    """Return the generator of input ``index`` of a class, which reproduces this input alone."""
    return Random(f"{seed}/{name}/{index}")
