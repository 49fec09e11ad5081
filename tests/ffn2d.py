"""TSM and TEA for tests: golden checkpoints and clips, small networks and shared checks."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.golden.ffn2d.make_checkpoint import layout
from tests.golden.ffn2d.make_clips import LENGTH, indices, model_input, video
from vbench.errors import CheckpointError
from vbench.models.checkpoint.strict import check_compatible
from vbench.models.ffn import tea, tsm
from vbench.models.ffn.resnet2d import FlexibleResNet, FlexibleResNetSize
from vbench.models.ffn.tea import Tea
from vbench.models.ffn.tsm import Tsm
from vbench.models.resnet import ResNetSize

FOLDER = Path(__file__).parent / "golden" / "ffn2d"
CLASSES = 174
FLEXIBLE = (2, 4, 5, 6, 8, 10, 12, 16, 20)
PLAIN = (4, 8, 16)
TINY_TSM = ResNetSize("basic", (2, 1, 1, 1), (16, 16, 24, 24), stem_width=8, stem_kernel=7, expansion=1)
TINY_TEA = ResNetSize("bottleneck", (2, 1, 1, 1), (10, 10, 20, 20), stem_width=8, stem_kernel=7, expansion=4)
Golden = dict[str, np.ndarray]
Load = Callable[[str], FlexibleResNet]


@functools.cache
def golden() -> Golden:
    with np.load(FOLDER / "golden.npz") as arrays:
        return dict(arrays)


def counts(model: str) -> tuple[int, ...]:
    return FLEXIBLE if "_ffn_" in model else PLAIN


@functools.cache
def _video(number: int) -> NDArray[np.uint8]:
    """Return a golden video; cached, because drawing is slower than a small network."""
    return video(number)


def pixels(frames: int, clips: int) -> Tensor:
    """The first clips of the goldens, float32 ``[clips, frames, 3, 224, 224]``."""
    chosen = [model_input(_video(clip)[indices(LENGTH, frames) - 1]) for clip in range(clips)]
    return torch.from_numpy(np.concatenate(chosen)).unflatten(1, (frames, 3))


@torch.inference_mode()
def logits(module: nn.Module, given: Tensor) -> NDArray[np.float32]:
    """Run clips one by one, which is faster than a batch on a CPU."""
    return torch.cat([module(clip[None]) for clip in given]).numpy()


def check_logits(network: FlexibleResNet, model: str, frames: int, branch: int | None = None) -> None:
    """Check all three clips at the smallest frame count, otherwise the first, including layer activations."""
    case = f"{model}/T{frames}"
    found = network.at(frames, branch)
    clips = 3 if frames == counts(model)[0] else 1
    with recorded(found) as seen:
        first = logits(found, pixels(frames, 1))
    rest = logits(found, pixels(frames, clips)[1:]) if clips > 1 else first[:0]
    np.testing.assert_allclose(np.concatenate([first, rest]), golden()[f"{case}/logits"][:clips], rtol=0, atol=1e-4)
    if f"{case}/logits64" in golden():
        np.testing.assert_allclose(first, golden()[f"{case}/logits64"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(seen["new_fc"], golden()[f"{case}/frame_logits"], rtol=0, atol=1e-4)
        check_activations(case, seen)


def check_activations(case: str, seen: Mapping[str, Tensor]) -> None:
    prefix = f"{case}/act/"
    layers = sorted({key[len(prefix) :].rpartition("/")[0] for key in golden() if key.startswith(prefix)})
    assert len(layers) > 15
    for layer in layers:
        found = seen["base_model." + re.sub(r"_(4|8|16)$", "", layer)]
        wide = found.double()
        np.testing.assert_allclose(wide.mean((1, 2, 3)), golden()[f"{prefix}{layer}/mean"], rtol=0, atol=1e-5)
        deviation = wide.std((1, 2, 3), correction=0)
        np.testing.assert_allclose(deviation, golden()[f"{prefix}{layer}/std"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(corners(found), golden()[f"{prefix}{layer}/slice"], rtol=0, atol=1e-4)


def corners(x: Tensor) -> Tensor:
    channels, height, width = x.shape[1:]
    eighth, quarter = channels // 8, channels // 4
    rows, columns = ((0, side // 2, side - 1) for side in (height, width))
    chosen = x[:, [0, eighth - 1, eighth, quarter - 1, quarter, channels - 1]]
    return chosen[:, :, rows][..., columns]


@contextmanager
def recorded(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the output of every layer in ``module``, and the input of ``conv1``."""
    seen: dict[str, Tensor] = {}
    handles = []
    for name, layer in module.named_modules():
        handles.append(layer.register_forward_hook(lambda _l, _i, out, name=name: seen.update({name: out})))
        if name.endswith(".conv1"):
            handles.append(
                layer.register_forward_pre_hook(lambda _l, given, name=name: seen.update({f"{name}_input": given[0]}))
            )
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def tiny(kind: type[Tsm] | type[Tea], flexible: bool = True) -> Tsm | Tea:
    """A network with five classes for 32 x 32 images, with random weights, norms and adaptations."""
    size = TINY_TSM if kind is Tsm else TINY_TEA
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = kind(FlexibleResNetSize(size, 5, flexible), 32)
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif "adaconv" in name or name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def authors_file(state: Mapping[str, Tensor], path: Path) -> Path:
    """Write ``state`` in the authors' format, with learning rates as numpy scalars."""
    weights = {f"module.{name}": tensor for name, tensor in state.items()}
    groups = [{"lr": np.float64(1e-4), "params": [0]}]
    content = {
        "epoch": 50,
        "arch": "resnet50",
        "state_dict": weights,
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": groups},
        "val_acc_top1": [0.5, 1.0],
    }
    torch.save(content, path)
    return path


def empty_state(model: str) -> dict[str, Tensor]:
    """The authors' names, shapes and types, without the wrapper prefix and values."""
    keys = layout(model)["keys"]
    return {
        name.removeprefix("module."): torch.empty(key["shape"], dtype=getattr(torch, key["dtype"]), device="meta")
        for name, key in keys.items()
    }


def nearest(state: Mapping[str, Tensor]) -> Tsm | Tea | None:
    """The network closest to ``state``, without its values."""
    meant = next((each for each in (tsm.RECOGNIZER, tea.RECOGNIZER) if each.is_likely(state)), None)
    network = None if meant is None else meant.nearest(dict(state))
    assert network is None or isinstance(network, Tsm | Tea)
    return network


def refusal(state: Mapping[str, Tensor]) -> str:
    """The one-line error for a ``state`` that does not match."""
    network = nearest(state)
    assert network is not None
    with pytest.raises(CheckpointError) as caught:
        check_compatible(Path("net.pth"), network.name, state, network.state_dict())
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def macs(module: nn.Module, frames: int, side: int) -> int:
    """Multiply-accumulates of convolutions and linear layers for one clip, counted as in the reference."""
    with FlopCounterMode(display=False) as counter:
        module(torch.empty(1, frames, 3, side, side, device=next(module.parameters()).device))
    return counter.get_total_flops() // 2
