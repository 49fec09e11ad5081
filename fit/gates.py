"""All gates of one gate set, as batched linear layers with the weights of the authors' modules.

A 1x1 convolution on one pixel is a linear layer; running all gates in one batched product is several times faster than
running one module after another. The state and the previous state go through the same layers, in two calls, each with
its own batch statistics, as in the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..models.frameexit.heads import Gate
from ..models.network import FittableGates

State = dict[str, Tensor]
CERTAIN = 10.0  # bias of a gate whose decision never changes
_SHARE = (0.02, 0.98)


class GateTargets(NamedTuple):
    """Targets of each gate over the videos to fit on: the share that continues, ``[gates]``."""

    go_on: Tensor

    @property
    def constant(self) -> Tensor:
        """Whether all videos have the same target, bool ``[gates]``."""
        return (self.go_on == 0) | (self.go_on == 1)


class StackedGates(nn.Module):
    """The gates of steps 2 to S - 1 of a network, fitted together."""

    def __init__(self, gates: Sequence[Gate], targets: GateTargets) -> None:
        """Start from ``gates``, but set each final bias to the logit of the share of videos that continue."""
        super().__init__()
        self._first = [{name: tensor.detach().clone() for name, tensor in gate.state_dict().items()} for gate in gates]
        self._targets = targets
        self.layer1 = _Layer(gates, "conv1", "bn1")
        self.layer2 = _Layer(gates, "conv2", "bn2")
        self.weight = nn.Parameter(torch.stack([gate.linear.weight.detach()[0] for gate in gates]))
        self.bias = nn.Parameter(torch.logit(targets.go_on.float().clamp(*_SHARE)))

    def forward(self, states: Tensor, previous: Tensor) -> Tensor:
        """Return the value before the sigmoid, ``[gates, n]``, for states ``[gates, n, hidden]``; if > 0, continue."""
        both = torch.cat([self.layer2(self.layer1(each)) for each in (states, previous)], dim=2)
        return torch.einsum("gnw,gw->gn", both, self.weight) + self.bias[:, None]

    def gate_states(self, steps_taken: int) -> list[State]:
        """Return the state dict of each gate in the authors' layout; constant gates keep their initial weights."""
        return [
            self._constant(place) if self._targets.constant[place] else self._fitted(place, steps_taken)
            for place in range(len(self._first))
        ]

    def _fitted(self, place: int, steps_taken: int) -> State:
        found = {**self.layer1.state(place, steps_taken), **self.layer2.state(place, steps_taken)}
        found |= {"linear.weight": self.weight[place][None], "linear.bias": self.bias[place][None]}
        return {name: found[name].detach().clone().reshape(first.shape) for name, first in self._first[place].items()}

    def _constant(self, place: int) -> State:
        first, goes_on = self._first[place], bool(self._targets.go_on[place] == 1)
        bias = torch.full_like(first["linear.bias"], CERTAIN if goes_on else -CERTAIN)
        return {**first, "linear.weight": torch.zeros_like(first["linear.weight"]), "linear.bias": bias}


class _Layer(nn.Module):
    """Linear layer, batch norm and ReLU of every gate: ``[gates, n, in]`` to ``[gates, n, out]``."""

    mean: Tensor
    variance: Tensor

    def __init__(self, gates: Sequence[Gate], conv: str, norm: str) -> None:
        super().__init__()
        self._names = conv, norm
        convs, norms = [getattr(gate, conv) for gate in gates], [getattr(gate, norm) for gate in gates]
        self._eps, self._momentum = norms[0].eps, norms[0].momentum
        self.weight = nn.Parameter(torch.stack([each.weight.detach().flatten(1).T for each in convs]).contiguous())
        self.bias = nn.Parameter(torch.stack([each.bias.detach() for each in convs]))
        self.scale = nn.Parameter(torch.stack([each.weight.detach() for each in norms]))
        self.shift = nn.Parameter(torch.stack([each.bias.detach() for each in norms]))
        self.register_buffer("mean", torch.stack([each.running_mean for each in norms]))
        self.register_buffer("variance", torch.stack([each.running_var for each in norms]))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.baddbmm(self.bias[:, None], x, self.weight)
        mean, variance = self._statistics(x) if self.training else (self.mean[:, None], self.variance[:, None])
        normed = (x - mean) * (torch.rsqrt(variance + self._eps) * self.scale[:, None]) + self.shift[:, None]
        return torch.relu(normed)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's mean and variance, ``[gates, 1, out]``, and update the running statistics."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        with torch.no_grad():
            self.mean.lerp_(mean[:, 0], self._momentum)
            self.variance.lerp_(variance[:, 0] * (x.shape[1] / (x.shape[1] - 1)), self._momentum)
        return mean, variance

    def state(self, place: int, steps_taken: int) -> State:
        conv, norm = self._names
        return {
            f"{conv}.weight": self.weight[place].T,
            f"{conv}.bias": self.bias[place],
            f"{norm}.weight": self.scale[place],
            f"{norm}.bias": self.shift[place],
            f"{norm}.running_mean": self.mean[place],
            f"{norm}.running_var": self.variance[place],
            f"{norm}.num_batches_tracked": torch.tensor(steps_taken),
        }


def new_gates(sizes: FittableGates, seed: int) -> list[Gate]:
    """Return a gate for each step except the first and the last, initialized by torch from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [Gate(sizes.hidden, sizes.widths) for _ in range(sizes.steps - 2)]
