"""SlowFast and Uniformer for tests: golden networks and clips, built once per session, and narrow networks."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.golden.ffn3d import make_checkpoint, make_clips
from vbench.models.checkpoint.recognize import network_of_state
from vbench.models.ffn.base import FrameFlexible
from vbench.models.ffn.slowfast import SlowFast, SlowFastSize
from vbench.models.ffn.uniformer import Uniformer, UniformerSize

FOLDER = Path(__file__).parent / "golden" / "ffn3d"
ORIGINALS = json.loads((FOLDER / "golden.json").read_text())
MODELS = ("slowfast_ffn", "slowfast", "uniformer_ffn", "uniformer")
NARROW_SIZE = 64
NARROW = [(family, flexible) for family in ("slowfast", "uniformer") for flexible in (True, False)]
NARROW_FRAMES = {"slowfast": 8, "uniformer": 4}
TOLERANCE = 1e-3  # absolute, on logits; the original's own float32 is within 2e-5 of its float64


class Run(NamedTuple):
    """One clip through a network: classifier input, output, and the output of each stage."""

    pooled: np.ndarray
    logits: np.ndarray
    stages: dict[str, Tensor]


@functools.cache
def golden() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "golden.npz") as arrays:
        return dict(arrays)


@functools.cache
def state(model: str) -> dict[str, Tensor]:
    content, digest = make_checkpoint.checkpoint(model, seed=ORIGINALS["checkpoint_seed"])
    assert digest == ORIGINALS["tensors_sha256"][model]
    return dict(content["model_state"])


@functools.cache
def network(model: str) -> SlowFast | Uniformer:
    actual = network_of_state(FOLDER / f"{model}.pyth", state(model))
    assert isinstance(actual, SlowFast | Uniformer)
    return actual


@functools.cache
def clip(model: str, frames: int, video: int) -> Tensor:
    """Normalized pixels ``[1, frames, 3, size, size]`` in the network's channel order."""
    family = model.split("_")[0]
    pixels = make_clips.clip(video, frames, ORIGINALS["input_size"][family])
    return torch.from_numpy(make_clips.model_input(pixels, ORIGINALS["channel_order"][family])).transpose(1, 2)


@functools.cache
def run(model: str, frames: int, video: int = 0, branch: int | None = None) -> Run:
    """Run a golden clip, cached across tests; pooled features and logits are in the goldens' form."""
    part = network(model).at(frames, branch)
    stages: dict[str, Tensor] = {}
    for name in _stage_modules(model, frames):
        part.get_submodule(name).register_forward_hook(functools.partial(_keep, stages, name))
    with torch.no_grad():
        pooled: Tensor = part.pooled(clip(model, frames, video))  # type: ignore[operator]
        logits = part.get_submodule("head.projection" if model.startswith("slowfast") else "head")(pooled)
    for module in part.modules():
        module._forward_hooks.clear()  # the layers belong to the network
    return Run(pooled.numpy(), logits.numpy(), stages)


def _stage_modules(model: str, frames: int) -> list[str]:
    names = (str(name) for name in golden()[f"{model}/T{frames}/stage_order"])
    return list(
        dict.fromkeys(
            "norm" if name.startswith("norm_") else name.split(".p0")[0] for name in names if not name.endswith(".p1")
        )
    )


def _keep(stages: dict[str, Tensor], name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
    outputs = output if isinstance(output, tuple) else (output,)
    for pathway, tensor in enumerate(outputs):
        stages[f"{name}.p{pathway}" if isinstance(output, tuple) or name.endswith("_fuse") else name] = _summary(tensor)


def _summary(tensor: Tensor) -> Tensor:
    """The statistics, channel means and corner stored in the goldens, as one flat tensor."""
    stats = torch.stack([tensor.mean(), tensor.std(correction=0), tensor.min(), tensor.max(), tensor.abs().mean()])
    return torch.cat([stats, tensor.mean((0, 2, 3, 4)), tensor[0, :6, :2, :4, :4].flatten()])


def golden_summary(prefix: str) -> np.ndarray:
    return np.concatenate([golden()[f"{prefix}/{kind}"].ravel() for kind in ("stats", "chan", "slice")])


def check_stages(model: str, frames: int) -> int:
    """Compare every stage of video 0 with the goldens and return the number of stages."""
    actual = run(model, frames).stages
    names = [str(name) for name in golden()[f"{model}/T{frames}/stage_order"]]
    names = [
        name for name in names if not name.endswith("_fuse.p1")
    ]  # the fast pathway, which a fusion does not change
    for name in names:
        expected = golden_summary(f"{model}/T{frames}/stage/{name}")
        ours = actual["norm" if name.startswith("norm_") else name].numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=TOLERANCE, err_msg=name)
    return len(names)


def macs(net: FrameFlexible, frames: int) -> int:
    """Multiply-accumulates of one clip, counted on the meta device without computing."""
    pixels = torch.zeros(1, frames, 3, net.input_size, net.input_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.at(frames)(pixels)
    return counter.get_total_flops() // 2


def narrow(family: str, flexible: bool, seed: int = 0) -> SlowFast | Uniformer:
    """A narrow network of the same class with five classes, 64 x 64 pixels and random tensors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: SlowFast | Uniformer
        if family == "slowfast":
            net = SlowFast(SlowFastSize(5, flexible, slow_width=16, fast_width=4, blocks=(1, 2, 1, 1)), NARROW_SIZE)
        else:
            net = Uniformer(UniformerSize(5, flexible, (8, 16, 64, 128), (1, 2, 1, 1)), NARROW_SIZE)
        for name, tensor in net.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dim() == 1 or ".adaconv" in name:
                tensor.add_(torch.randn_like(tensor), alpha=0.2)
    return net.eval()


def narrow_pixels(family: str, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, NARROW_FRAMES[family], 3, NARROW_SIZE, NARROW_SIZE, generator=generator)


def ort_logits(model: onnx.ModelProto, pixels: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"pixels": pixels.numpy()})[0])
