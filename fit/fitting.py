"""Fit one set of gates to recorded states.

Every gate learns from every video, not only from those that reach it: binary cross-entropy on the value before the
sigmoid, averaged over videos and gates. The epoch with the smallest loss on the held-out videos is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..models.network import FittableGates
from .batches import ShardBatches
from .gates import GateTargets, StackedGates, State, new_gates

_WIDE = 1024  # hidden size above which the peak learning rate is halved


@dataclass(frozen=True)
class Recipe:
    """Optimization parameters; if ``learning_rate`` is None, it is 2e-3, or 1e-3 for states longer than 1024."""

    epochs: int = 12
    batch: int = 128
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    warm_up: float = 0.1

    def peak(self, hidden: int) -> float:
        """Return the peak learning rate for states of length ``hidden``."""
        return self.learning_rate or (1e-3 if hidden > _WIDE else 2e-3)


@dataclass(frozen=True)
class FittedGates:
    """Gates fitted for one beta.

    Attributes:
        gates: state dict of each gate, in the authors' layout.
        values: float32 ``[held-out videos, gates]``, in video order; a high value means exit.
        losses, held_out_losses: one per epoch; empty if all gates are constant.
        epoch: number of the epoch whose weights were kept, counted from 1; 0 if all gates are constant.
    """

    gates: list[State]
    values: NDArray[np.float32]
    losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]
    epoch: int


def fit_gates(
    exits: NDArray[np.bool_],
    fitting: ShardBatches,
    held_out: ShardBatches,
    sizes: FittableGates,
    recipe: Recipe,
    seed: int,
    listener: Callable[[int], None] = lambda _epoch: None,
) -> FittedGates:
    """Fit the gates for one beta; the same arguments and number of threads give the same tensors.

    Args:
        exits: bool ``[n, steps]`` over all videos, see `labels.exit_labels`.
        fitting: the videos to fit on; ``held_out`` are those to choose the epoch on.
        listener: called at the end of each epoch with its 1-based number.
    """
    go_on = torch.from_numpy(~exits[:, 1:-1].T.copy()).float()  # [gates, n]
    chosen = torch.from_numpy(np.concatenate([places for places, _ in fitting.in_order()]))
    targets = GateTargets(go_on[:, chosen].mean(dim=1))
    gates = StackedGates(new_gates(sizes, seed), targets)
    counted = ~targets.constant
    losses, held_out_losses, best = list[float](), list[float](), (0, gates.gate_states(0))
    if counted.any():
        optimizer = torch.optim.AdamW(gates.parameters(), weight_decay=recipe.weight_decay)
        total = fitting.batches(recipe.batch) * recipe.epochs
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.peak(sizes.hidden), total_steps=total, pct_start=recipe.warm_up
        )
        rng, steps_taken = np.random.default_rng(seed), 0
        for epoch in range(1, recipe.epochs + 1):
            summed = videos = 0.0
            for places, states in fitting.shuffled(recipe.batch, rng):
                loss = _loss(gates, states, go_on[:, places], counted)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                steps_taken += 1
                summed += float(loss.detach()) * len(places)
                videos += len(places)
            losses.append(summed / videos)
            held_out_losses.append(_held_out_loss(gates, held_out, go_on, counted))
            if held_out_losses[-1] == min(held_out_losses):
                best = epoch, gates.gate_states(steps_taken)
            listener(epoch)
    epoch, found = best
    return FittedGates(found, gate_values(found, sizes, held_out), tuple(losses), tuple(held_out_losses), epoch)


def gate_values(states: list[State], sizes: FittableGates, videos: ShardBatches) -> NDArray[np.float32]:
    """Return the values of gates with these state dicts, float32 ``[n, gates]``; a high value means exit."""
    gates = new_gates(sizes, 0)
    for gate, state in zip(gates, states):
        gate.load_state_dict(state)
        gate.eval()
    with torch.inference_mode():
        found = [
            torch.stack([1 - gate(z[:, t], z[:, t - 1])[:, 0] for t, gate in enumerate(gates, start=1)], dim=1)
            for z in (torch.from_numpy(each.astype(np.float32)) for _, each in videos.in_order())
        ]
    values: NDArray[np.float32] = torch.cat(found).numpy()
    return values


def _loss(gates: StackedGates, states: NDArray[np.float16], go_on: Tensor, counted: Tensor) -> Tensor:
    """Return the mean loss over the videos and over the gates that are not constant."""
    z = torch.from_numpy(states.astype(np.float32)).transpose(0, 1)  # [steps, n, hidden]
    logits = gates(z[1:-1], z[:-2])
    return functional.binary_cross_entropy_with_logits(logits[counted], go_on[counted])


def _held_out_loss(gates: StackedGates, held_out: ShardBatches, go_on: Tensor, counted: Tensor) -> float:
    gates.eval()
    with torch.inference_mode():
        parts = [(len(places), float(_loss(gates, z, go_on[:, places], counted))) for places, z in held_out.in_order()]
    gates.train()
    return sum(count * loss for count, loss in parts) / sum(count for count, _ in parts)
