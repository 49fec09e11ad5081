"""FrameExit's gates and classifiers: the layers of every step, and parts that evaluate rows at different steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """The authors' gate: a sigmoid of the features accumulated before and after a frame; a low value means exit."""

    def __init__(self, hidden: int, widths: tuple[int, int]) -> None:
        super().__init__()
        first, second = widths
        self.conv1 = nn.Conv2d(hidden, first, 1)
        self.conv2 = nn.Conv2d(first, second, 1)
        self.bn1 = nn.BatchNorm2d(first)
        self.bn2 = nn.BatchNorm2d(second)
        self.linear = nn.Linear(2 * second, 1)

    def forward(self, state: Tensor, previous: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(state, previous))

    def logit(self, state: Tensor, previous: Tensor) -> Tensor:
        """Return the value before the sigmoid, ``[n, 1]``."""
        out: Tensor = self.linear(torch.cat([self._embed(state), self._embed(previous)], dim=1))
        return out

    def _embed(self, state: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(state[:, :, None, None])))
        return torch.relu(self.bn2(self.conv2(x))).flatten(1)


class ExitValue(nn.Module):
    """One minus a gate's sigmoid, so that a high value means exit."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, state: Tensor, previous: Tensor) -> Tensor:
        out: Tensor = 1 - self.gate(state, previous)
        return out


class Heads(nn.Module):
    """The gates or the classifiers of consecutive steps, each of which evaluates the rows at its step.

    Args:
        modules: one module per step.
        first_step: number of the first of these steps.
        width: length of an output row.
    """

    def __init__(self, modules: Iterable[nn.Module], first_step: int, width: int) -> None:
        super().__init__()
        self.by_step = nn.ModuleList(modules)
        self._first_step, self._width = first_step, width

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compile each step: as a whole, it would be compiled again for every set of steps that a batch contains."""
        for module in self.by_step:
            module.compile(*arguments, **options)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return ``[n, width]`` for the states and, last, the step of each row, ``[n, 1]``; zeros at other steps."""
        *states, step = inputs
        out = states[0].new_zeros(len(step), self._width)
        for number, module in enumerate(self.by_step, start=self._first_step):
            here = step == number
            if step.is_cuda:  # the rows could only be selected by waiting for the GPU
                out = torch.where(here, module(*states), out)
            elif here.any():
                rows = here.squeeze(1)
                out[rows] = module(*(state[rows] for state in states))
        return out
