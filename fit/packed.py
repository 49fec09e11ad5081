"""Gate sets without the trunk that they share: one file of gates and one record per set."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..files import whole_folder
from ..models.checkpoint.input_size import record_path
from ..models.checkpoint.read import StateDict, read_state_dict
from ..models.frameexit.network import GATES_PREFIX
from .checkpoint_file import write_checkpoint


def pack_gate_sets(folder: Path, out: Path) -> None:
    """Write the gates of every checkpoint in ``folder``, the output of ``fit_checkpoint``, to the new folder ``out``.

    Raises:
        CheckpointError: a checkpoint cannot be read.
        UsageError: ``out`` exists.
    """
    with whole_folder(out) as target:
        for path in sorted(folder.glob("*.pth")):
            state = read_state_dict(path)
            _save({name: state[name] for name in state if name.startswith(GATES_PREFIX)}, path, target)


def unpack_gate_sets(checkpoint: Path, packed: Path, out: Path) -> None:
    """Write the checkpoints and records of the sets in ``packed`` to the new folder ``out``.

    Args:
        checkpoint: provides the trunk and the classifiers; its gates are ignored.

    Raises:
        CheckpointError: a file cannot be read.
        UsageError: ``out`` exists.
    """
    trunk = read_state_dict(checkpoint)
    with whole_folder(out) as target:
        for path in sorted(packed.glob("*.pth")):
            gates = read_state_dict(path)
            _save({name: gates.get(name, tensor) for name, tensor in trunk.items()}, path, target)


def _save(state: StateDict, path: Path, folder: Path) -> None:
    """Write a checkpoint to ``folder`` in the authors' format, with the name and the record of ``path``."""
    write_checkpoint(folder / path.name, {name: tensor.clone() for name, tensor in state.items()})
    shutil.copyfile(record_path(path), record_path(folder / path.name))
