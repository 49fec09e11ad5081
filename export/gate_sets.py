"""Gate sets written by ``vbench fit-gates``, which share the trunk and the classifiers in one bundle."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from ..errors import CheckpointError, UsageError
from ..files import sha256
from ..json_file import first_problem, read_json
from ..models.checkpoint.input_size import record_path
from ..models.checkpoint.recognize import load_network
from ..runtime.bundle.manifest import Output, gates_part
from ..runtime.bundle.model import CheckpointSource, Fraction, GateSetSpec

if TYPE_CHECKING:
    from ..models.frameexit.network import FrameExit
    from ..models.part import Part

_AGAIN = "fit the gates again with vbench fit-gates"


class GateSet(NamedTuple):
    """A gate set: its name, its checkpoint, and its entry in the bundle's manifest."""

    name: str
    checkpoint: Path
    spec: GateSetSpec


class _Record(BaseModel):
    # The entries in a set's record that a bundle needs; the record also has others.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]{1,40}$")]
    beta: Annotated[float, Field(gt=0)]
    first_threshold: Fraction
    gate_threshold: Fraction
    probabilities: Output = "softmax"


def read_gate_sets(folder: Path, default_sha256: str, bundle: Path, output: Output) -> tuple[GateSet, ...]:
    """Return the gate sets in a folder that ``vbench fit-gates`` wrote, in ascending order of beta.

    Args:
        folder: contains a checkpoint and a record for each set.
        default_sha256: digest of the checkpoint whose gates run by default.
        bundle: the bundle to write, to which the paths in its manifest are relative.
        output: function that turns the bundle's logits into probabilities.

    Raises:
        UsageError: the folder contains no gate sets, or none with that digest.
        CheckpointError: a record is missing or damaged, two sets have the same name or the same part names, or a set
            was fitted with a loss based on other probabilities.
    """
    found = [(path, _record(path)) for path in sorted(folder.glob("*.pth"))]
    if not found:
        raise UsageError(f"there are no gate sets in {folder}", "pass a folder that vbench fit-gates wrote")
    for path, record in found:
        if record.probabilities != output:
            raise CheckpointError(
                f"the gates of {path} were fitted to a {record.probabilities} loss, but the bundle's probabilities "
                f"come from a {output}",
                f"add --probabilities {record.probabilities}",
            )
    names = [record.name for _, record in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise CheckpointError(f"{folder} holds two gate sets named {repeated}", "move one of them elsewhere")
    alike = {_suffix(name): name for name in names}
    for name in names:
        if alike[_suffix(name)] != name:
            raise CheckpointError(
                f"the parts of the gate sets {name} and {alike[_suffix(name)]} in {folder} would have the same names",
                "move one of them elsewhere",
            )
    found.sort(key=lambda item: item[1].beta)
    sets = tuple(_gate_set(path, record, default_sha256, bundle) for path, record in found)
    if all(each.spec.suffix for each in sets):
        files = ", ".join(each.checkpoint.name for each in sets)
        raise UsageError(
            f"the checkpoint to export is not one of the gate sets in {folder}",
            f"pass one of them; its gates will run by default: {files}",
        )
    return sets


def gate_set_parts(network: FrameExit, sets: tuple[GateSet, ...]) -> Iterator[Part]:
    """Yield the part ``gates`` of every set but the default one, whose gates are those of ``network``.

    Raises:
        CheckpointError: a set belongs to a different trunk, or its file has changed.
    """
    expected = network.fittable_gates()
    for each in sets:
        if not each.spec.suffix:
            continue
        if sha256(each.checkpoint) != each.spec.source.sha256:
            raise CheckpointError(f"{each.checkpoint} changed during the export", "export again")
        other = load_network(each.checkpoint, network.input_size)
        if other.fittable_gates() != expected:
            raise CheckpointError(
                f"{each.checkpoint} does not have the same trunk and classifiers as the checkpoint to export",
                "keep only gate sets from a single run of vbench fit-gates in the folder",
            )
        part = other.parts_by_name([gates_part()])[gates_part()]
        yield replace(part, name=gates_part(each.spec.suffix))


def _record(checkpoint: Path) -> _Record:
    path = record_path(checkpoint)
    content = read_json(path, CheckpointError, _AGAIN)
    try:
        return _Record.model_validate(content)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise CheckpointError(f"{path} is not the record of a gate set: {place}: {problem.lower()}", _AGAIN) from None


def _gate_set(path: Path, record: _Record, default_sha256: str, bundle: Path) -> GateSet:
    digest = sha256(path)
    source = CheckpointSource(
        path=Path(os.path.relpath(path.resolve(), bundle.resolve())).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=digest,
    )
    suffix = "" if digest == default_sha256 else _suffix(record.name)
    spec = GateSetSpec(
        suffix=suffix,
        first_threshold=record.first_threshold,
        gate_threshold=record.gate_threshold,
        beta=record.beta,
        source=source,
    )
    return GateSet(record.name, path, spec)


def _suffix(name: str) -> str:
    """Return the suffix of a set's part names, which consist of lower-case letters, digits and underscores."""
    return "__" + re.sub(r"[^a-z0-9]", "_", name.lower())
