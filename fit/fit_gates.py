"""``vbench fit-gates``: write one checkpoint for each beta, with new gates and everything else bit-identical."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bench.datasets.base import VALIDATION
from ..bench.features.features_file import Features, read_features
from ..errors import CheckpointError, RunError, UsageError
from ..files import sha256, whole_folder
from ..models.checkpoint.read import StateDict, read_state_dict
from ..models.checkpoint.recognize import network_of_state
from ..models.frameexit.network import GATES_PREFIX
from ..models.network import FittableGates
from .batches import ShardBatches
from .checkpoint_file import write_checkpoint
from .fitting import FittedGates, Recipe, fit_gates
from .held_out import GATE_THRESHOLD, operating_point
from .labels import beta_name, default_betas, exit_labels, first_threshold

REPORTING_SPLITS = (VALIDATION, "test")
NEVER = 1.0  # no probability is above it
CLASSES = "classes.txt"
_HELD_OUT = 10  # every tenth video, drawn at random
_LEAST = 160  # labeled videos: enough for a full batch, with 16 held out
_LEAST_CLASSES = 2

Listener = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit; if ``betas`` is None, they are ``points`` quantiles of the recording (None: 10).

    If ``threads`` is 0, torch's number of threads stays as it is.
    """

    betas: tuple[float, ...] | None = None
    points: int | None = None
    seed: int = 0
    threads: int = 0
    epochs: int = Recipe.epochs
    force: bool = False

    def check(self) -> None:
        """Raise UsageError if a value is out of range."""
        if self.betas is not None and self.points is not None:
            raise UsageError("--points and --beta both determine the betas", "omit one of them")
        for beta in self.betas or ():
            if not (math.isfinite(beta) and beta > 0):
                raise UsageError(f"--beta must be a number > 0, got {beta:g}", "pass, for example, --beta 1e-4,1e-3")
        names = [beta_name(beta) for beta in self.betas or ()]
        if len(set(names)) < len(names):
            raise UsageError("--beta lists a number twice", "list each number only once")
        if self.points is not None and self.points < 1:
            raise UsageError(f"--points must be 1 or more, got {self.points}", "pass, for example, --points 8")
        if self.epochs < 1:
            raise UsageError(f"--epochs must be 1 or more, got {self.epochs}", "pass, for example, --epochs 12")


@dataclass(frozen=True)
class FittedSet:
    """One gate set: its checkpoint and its record, see `fit_checkpoint`."""

    name: str
    checkpoint: Path
    record: dict[str, Any]


def fit_checkpoint(
    checkpoint: Path,
    features: Path,
    out: Path,
    options: FitOptions,
    listener: Listener = lambda _beta, _done, _total: None,
) -> list[FittedSet]:
    """Fit one set of gates for each beta; write a checkpoint and a JSON record for each to the new folder ``out``.

    The folder also gets the class names as ``classes.txt``, if the network that recorded the features has any.

    Args:
        checkpoint: a FrameExit checkpoint with a good trunk and classifiers; its gates are ignored.
        features: run folder recorded with ``vbench run --trace --features``.
        listener: called with the name of the gate set, the number of epochs done, and their total.

    Raises:
        CheckpointError: the file is not a FrameExit checkpoint, or not the one that computed the features.
        RunError: the features cannot be used.
        UsageError: an option is out of range, or ``out`` exists or is not writable.
        MissingError: the disk is full.
    """
    options.check()
    state = read_state_dict(checkpoint)
    sizes = _gate_sizes(checkpoint, state)
    digest = sizes.trunk_sha256
    recorded = read_features(features)
    _check_features(recorded, features, checkpoint, digest)
    with whole_folder(out, replace=options.force) as folder, _threads(options.threads):
        fitting, held_out = _fitting_and_held_out(recorded, options.seed)
        betas = options.betas or default_betas(recorded.losses[fitting], *_points(options))
        if not betas:
            raise RunError(
                f"{features}: almost all losses are 0, so their quantiles cannot serve as betas", "set --beta"
            )
        found = []
        for beta in betas:
            name = beta_name(beta)

            def report(epoch: int, name: str = name) -> None:
                listener(name, epoch, options.epochs)

            record, gates = _fit(recorded, (fitting, held_out), sizes, beta, options, report)
            record |= {"trunk_sha256": digest, "source": {"path": checkpoint.name, "sha256": sha256(checkpoint)}}
            record["input_size"] = recorded.header.preprocessing.get("input_size")
            file = f"{checkpoint.name.split('.')[0]}_{name.replace('_', '')}.pth"
            _write(folder / file, state, gates.gates, record)
            found.append(FittedSet(name, out / file, record))
        if recorded.header.class_names is not None:
            text = "".join(f"{name}\n" for name in recorded.header.class_names)
            (folder / CLASSES).write_text(text, encoding="utf-8")
    return found


def _gate_sizes(path: Path, state: StateDict) -> FittableGates:
    try:
        return network_of_state(path, state).fittable_gates()
    except UsageError as error:
        raise CheckpointError(f"{path}: {error.message}", error.hint) from None


def _check_features(features: Features, where: Path, checkpoint: Path, digest: str) -> None:
    header = features.header
    if header.trunk_sha256 != digest:
        raise RunError(
            f"{where} holds features of a checkpoint other than {checkpoint} (trunk or classifiers differ)",
            "record the features with a bundle exported from this checkpoint",
        )
    if header.split in REPORTING_SPLITS:
        raise RunError(
            f"{where} holds the {header.split} videos of {header.dataset}, which results are reported on",
            "record another split, such as held-out training videos (--split training)",
        )
    labeled = np.array([bool(label) for label in features.labels], np.bool_)
    if labeled.sum() < _LEAST:
        raise RunError(
            f"{where} has {labeled.sum()} labeled videos, too few to fit gates on", f"record at least {_LEAST}"
        )
    classes = {label for labels in features.labels for label in labels}
    if len(classes) < _LEAST_CLASSES:
        raise RunError(
            f"{where}: the labeled videos are all of class {min(classes)}", "record videos of at least 2 classes"
        )
    wrong = labeled & ~np.isfinite(features.losses).all(axis=1)
    if wrong.any():
        raise RunError(
            f"{where}: a loss of video {features.keys[int(wrong.argmax())]} is not finite",
            "record the features again with vbench run --trace --features",
        )


def _fitting_and_held_out(features: Features, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the labeled videos to fit on, and of the random tenth that is held out."""
    labeled = np.flatnonzero([bool(label) for label in features.labels])
    mixed = np.random.default_rng(seed).permutation(labeled)
    masks = np.zeros((2, len(features.keys)), np.bool_)
    held_out = len(labeled) // _HELD_OUT
    masks[1, mixed[:held_out]] = True
    masks[0, mixed[held_out:]] = True
    return masks[0], masks[1]


def _points(options: FitOptions) -> tuple[int, ...]:
    return () if options.points is None else (options.points,)


def _fit(
    features: Features,
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    sizes: FittableGates,
    beta: float,
    options: FitOptions,
    listener: Callable[[int], None],
) -> tuple[dict[str, Any], FittedGates]:
    """Fit the gates for one beta and return their record."""
    fitting, held_out = masks
    exits = np.zeros(features.losses.shape, np.bool_)
    used = fitting | held_out
    exits[used] = exit_labels(features.losses[used], beta)
    lengths = [shard.videos for shard in features.header.shards]
    batches = [ShardBatches(features.states, lengths, mask) for mask in masks]
    recipe = Recipe(epochs=options.epochs)
    gates = fit_gates(exits, batches[0], batches[1], sizes, recipe, options.seed, listener)
    first = _first_threshold(features, fitting, exits)
    record = {
        "beta": beta,
        "name": beta_name(beta),
        "seed": options.seed,
        "threads": torch.get_num_threads(),
        "recipe": {**asdict(recipe), "learning_rate": recipe.peak(sizes.hidden)},
        "first_threshold": first,
        "gate_threshold": GATE_THRESHOLD,
        "probabilities": features.header.output,
        "fitting_videos": int(fitting.sum()),
        "held_out_videos": int(held_out.sum()),
        "exit_shares": [round(float(share), 6) for share in exits[fitting].mean(axis=0)],
        "losses": gates.losses,
        "held_out_losses": gates.held_out_losses,
        "epoch": gates.epoch,
        "held_out": operating_point(features, held_out, gates.values, first),
        "features": {"dataset": features.header.dataset, "split": features.header.split, "loss": features.header.loss},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return record, gates


def _first_threshold(features: Features, fitting: NDArray[np.bool_], exits: NDArray[np.bool_]) -> float:
    """Return the first threshold of a set: never for a sigmoid, whose top probability is that of one tag among many."""
    if features.header.output == "sigmoid":
        return NEVER
    return first_threshold(features.confidences[fitting], exits[fitting, 0], features.header.first_threshold)


def with_gates(state: StateDict, gates: Sequence[StateDict]) -> StateDict:
    """Return a state dict with its gates replaced, in the same order; the unused last gate repeats the one before."""
    by_step = [*gates, gates[-1]]
    found: StateDict = {}
    for name, tensor in state.items():
        if name.startswith(GATES_PREFIX):
            step, rest = name.removeprefix(GATES_PREFIX).split(".", 1)
            tensor = by_step[int(step)][rest].to(tensor.dtype).reshape(tensor.shape).clone()
        found[name] = tensor
    return found


def _write(path: Path, state: StateDict, gates: Sequence[StateDict], record: dict[str, Any]) -> None:
    """Write a checkpoint in the authors' format, and its record next to it."""
    write_checkpoint(path, with_gates(state, gates))
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use this number of threads in torch; 0 leaves it unchanged."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
