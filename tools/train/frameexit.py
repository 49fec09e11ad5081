"""Train the demo's tiny FrameExit on drawn digits: the checkpoint shipped with vbench for offline use.

The two stages are the authors' (they published no training code; both public derivatives agree on it). Stage 1 trains
backbone, embedding and classifiers with cross-entropy averaged over the ten steps. Stage 2 freezes them and fits one
set of gates for each beta with the code of ``vbench fit-gates``. The authors' backbone is pretrained on ImageNet, this
one on plain digits. Every epoch of stage 1 uses new videos, and stage 2 has a split of its own; on seen videos the
gates would learn a confidence that new videos do not reach. Training is deterministic for the same arguments and
machine.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import platform
import shutil
import time
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vbench.bench.datasets.synthetic import digits
from vbench.fit.fit_gates import FitOptions
from vbench.fit.labels import beta_name
from vbench.models.checkpoint.read import read_state_dict
from vbench.models.frameexit.heads import Gate
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.preprocess.shorter_side import Preprocess
from vbench.models.resnet import ResNetSize, resnet_trunk

from .gate_sets import fit_packed_sets

OUT = Path(__file__).parents[2] / "models" / "demo" / "frameexit_demo.pth"
TRUNK = ResNetSize("basic", blocks=(1, 1, 1, 1), widths=(16, 32, 64, 96), stem_width=16, stem_kernel=5, expansion=1)
HEAD = HeadSize(hidden=256, gate_widths=(16, 8), classes=len(digits.CLASS_NAMES), frames=digits.FRAMES)
FIRST_THRESHOLD, GATE_THRESHOLD = 0.95, 0.5
SWEEP = tuple(tenth / 10 for tenth in range(1, 10))
THREADS = 1  # the same summation order on every machine


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All parameters that determine the result."""

    seed: int = 0
    plain_videos: int = 1000
    plain_epochs: int = 4
    plain_batch: int = 64
    plain_learning_rate: float = 1e-3
    epochs: int = 22
    videos_per_epoch: int = 1200
    batch: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gate_videos: int = digits.GATES_VIDEOS
    gate_epochs: int = 12
    betas: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    beta: float = 1e-3  # of the gates in the checkpoint itself
    validation_videos: int = digits.VALIDATION_VIDEOS


QUICK = Recipe(plain_videos=16, epochs=1, videos_per_epoch=48, gate_videos=160, gate_epochs=2, validation_videos=20)


class Steps(NamedTuple):
    """Gate values (high = exit; 0 at steps 1 and 10) and logits of every step and video, with labels."""

    gates: Tensor  # [videos, steps]
    logits: Tensor  # [videos, steps, classes]
    labels: Tensor  # [videos]


def train(recipe: Recipe) -> tuple[FrameExit, dict[str, object]]:
    """Run stage 1 and return the network in evaluation mode with its record."""
    torch.manual_seed(recipe.seed)
    network = build()
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
    started = time.perf_counter()
    plain_losses = pretrain(network, recipe)
    losses = train_classifiers(network, recipe)
    return network.eval(), {
        "input_size": digits.SIZE,
        "trunk": dataclasses.asdict(TRUNK),
        "head": dataclasses.asdict(HEAD),
        "plain_losses": plain_losses,
        "classifier_losses": losses,
        "wall_s": round(time.perf_counter() - started, 1),
        "threads": THREADS,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


def trained(path: Path) -> tuple[FrameExit, dict[str, object]]:
    """Return the network of an earlier training, and what its record says of stage 1."""
    network = build()
    network.load_state_dict(read_state_dict(path))
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    stage1 = ("input_size", "trunk", "head", "plain_losses", "classifier_losses", "wall_s", "threads", "versions")
    return network.eval(), {name: record[name] for name in stage1}


def build() -> FrameExit:
    """Return the untrained network."""
    name = f"frameexit_{TRUNK.name}"
    return FrameExit(
        resnet_trunk(TRUNK), TRUNK.features, HEAD, name=name, input_size=digits.SIZE, paper_gmacs_per_frame=None
    )


def pretrain(network: FrameExit, recipe: Recipe) -> list[float]:
    """Pretrain backbone and embedding on plain frames with a temporary classifier; return the loss of each epoch."""
    frames = np.concatenate([digits.digit_video("training", n, plain=True) for n in range(recipe.plain_videos)])
    targets = labels("training", range(recipe.plain_videos)).repeat_interleave(HEAD.frames)
    classifier = nn.Linear(HEAD.hidden, HEAD.classes)
    trainable = [*network.backbone.parameters(), *network.mlp.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(trainable, recipe.plain_learning_rate, weight_decay=recipe.weight_decay)
    epoch_losses = []
    for epoch in range(recipe.plain_epochs):
        total = 0.0
        for chosen in torch.split(torch.randperm(len(targets)), recipe.plain_batch):
            loss = functional.cross_entropy(classifier(embed(network, frames[chosen.numpy()])), targets[chosen])
            total += update(optimizer, loss) * len(chosen) / len(targets)
        epoch_losses.append(round(total, 4))
        print(f"plain frames, epoch {epoch + 1} of {recipe.plain_epochs}: loss {total:.4f}", flush=True)
    return epoch_losses


def train_classifiers(network: FrameExit, recipe: Recipe) -> list[float]:
    """Stage 1: train all but the gates, on new videos in each epoch; return the mean loss of each epoch."""
    network.train().exit_selector.requires_grad_(False)
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, weight_decay=recipe.weight_decay)
    batches = math.ceil(recipe.videos_per_epoch / recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=batches * recipe.epochs, pct_start=0.1
    )
    epoch_losses = []
    for epoch in range(recipe.epochs):
        first, total = epoch * recipe.videos_per_epoch, 0.0
        videos = range(first, first + recipe.videos_per_epoch)
        for start in range(0, len(videos), recipe.batch):
            indices = videos[start : start + recipe.batch]
            loss = step_losses(class_logits(network, states(network, "training", indices)), labels("training", indices))
            total += update(optimizer, loss.mean()) * len(indices) / len(videos)
            schedule.step()
        epoch_losses.append(round(total, 4))
        print(f"classifiers, epoch {epoch + 1} of {recipe.epochs}: loss {total:.4f}", flush=True)
    return epoch_losses


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one optimizer step and return the loss before it."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def states(network: FrameExit, split: digits.Split, indices: range) -> Tensor:
    """Return the accumulated features after each step, ``[videos, steps, hidden]``, in the network's frame order."""
    frames = np.stack([digits.digit_video(split, index)[list(network.frame_order)] for index in indices])
    features = embed(network, frames.reshape(-1, *frames.shape[2:])).view(len(indices), HEAD.frames, HEAD.hidden)
    return torch.stack(running_maximum(features), dim=1)


def embed(network: FrameExit, frames: NDArray[np.uint8]) -> Tensor:
    """Return features ``[n, hidden]`` of single frames, uint8 ``[n, height, width, 3]``."""
    pixels = Preprocess(digits.SIZE)(torch.from_numpy(frames))
    features: Tensor = network.mlp(network.backbone(pixels.contiguous(memory_format=torch.channels_last)).flatten(1))
    return features


def running_maximum(features: Tensor) -> list[Tensor]:
    accumulated = [features[:, 0]]
    for step in range(1, features.shape[1]):
        accumulated.append(torch.maximum(features[:, step], accumulated[-1]))
    return accumulated


def class_logits(network: FrameExit, seen: Tensor) -> Tensor:
    """Return the logits of every step, ``[videos, steps, classes]``."""
    return torch.stack([classifier(seen[:, t]) for t, classifier in enumerate(network.classifiers)], dim=1)


def gate_logits(network: FrameExit, seen: Tensor) -> Tensor:
    """Return the gate logits of steps 2 to 9, ``[videos, 8]``; positive means continue."""
    gates = cast("list[Gate]", list(network.exit_selector)[:-1])
    return torch.cat([gate.logit(seen[:, t], seen[:, t - 1]) for t, gate in enumerate(gates, start=1)], dim=1)


def step_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of every video and step, ``[videos, steps]``."""
    repeated = targets[:, None].expand(-1, logits.shape[1])
    return functional.cross_entropy(logits.transpose(1, 2), repeated, reduction="none")


def labels(split: digits.Split, indices: range) -> Tensor:
    return torch.tensor([digits.digit_label(split, index) for index in indices])


def chunks(indices: range, size: int) -> list[range]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


@torch.inference_mode()
def run_all_steps(network: FrameExit, videos: int) -> Steps:
    """Run every step on the first ``videos`` validation videos."""
    indices = range(videos)
    seen = torch.cat([states(network, "validation", chunk) for chunk in chunks(indices, 50)])
    exit_values = functional.pad(1 - torch.sigmoid(gate_logits(network, seen)), (1, 1))
    return Steps(exit_values, class_logits(network, seen), labels("validation", indices))


def exit_steps(steps: Steps, gate_threshold: float) -> Tensor:
    """Return the exit step of each video under the authors' rule, counted from 0."""
    leaves = steps.gates > gate_threshold
    leaves[:, 0] = steps.logits[:, 0].softmax(dim=1).amax(dim=1) > FIRST_THRESHOLD
    leaves[:, -1] = True
    return leaves.float().argmax(dim=1)


def evaluate(steps: Steps) -> dict[str, object]:
    """Return the accuracy of each step, of the authors' rule, and of that rule at other gate thresholds."""
    right = steps.logits.argmax(dim=2) == steps.labels[:, None]
    videos = torch.arange(len(right))

    def point(threshold: float) -> dict[str, float]:
        exits = exit_steps(steps, threshold)
        used, correct = exits.double().mean() + 1, right[videos, exits].double().mean()
        return {"gate_threshold": threshold, "top1": round(float(correct), 4), "mean_frames": round(float(used), 3)}

    default = point(GATE_THRESHOLD)
    return {
        "validation_videos": len(right),
        "top1_all_frames": round(float(right[:, -1].double().mean()), 4),
        "first_threshold": FIRST_THRESHOLD,
        "gate_threshold": GATE_THRESHOLD,
        "top1": default["top1"],
        "mean_exit_step": default["mean_frames"],
        "exit_histogram": exit_steps(steps, GATE_THRESHOLD).bincount(minlength=HEAD.frames).tolist(),
        "top1_per_step": [round(float(value), 4) for value in right.double().mean(dim=0)],
        "sweep": [point(threshold) for threshold in SWEEP],
    }


def save(network: FrameExit, out: Path) -> None:
    """Write the checkpoint in the authors' DataParallel format."""
    out.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    torch.save(collections.OrderedDict((f"module.{name}", tensor.contiguous()) for name, tensor in state.items()), out)


def finish(network: FrameExit, record: dict[str, object], recipe: Recipe, out: Path) -> dict[str, object]:
    """Stage 2: write all gate sets packed, the checkpoint ``out`` with the recipe's gates, and the record."""
    packed = out.with_name(f"{out.stem}_gates")
    shutil.rmtree(packed, ignore_errors=True)
    save(network, out)
    options = FitOptions(recipe.betas, seed=recipe.seed, threads=THREADS, epochs=recipe.gate_epochs)
    fit_packed_sets(out, digits.SIZE, recipe.gate_videos, options, packed)
    gates = read_state_dict(packed / f"{out.stem}_{beta_name(recipe.beta).replace('_', '')}.pth")
    network.load_state_dict({**network.state_dict(), **gates})
    save(network, out)
    measured = evaluate(run_all_steps(network, recipe.validation_videos))
    record = {"recipe": dataclasses.asdict(recipe), **record, **measured}
    out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=OUT, help="checkpoint to write; the record is written next to it, as .json"
    )
    parser.add_argument("--trunk", type=Path, help="trained checkpoint whose gates to fit anew, with its record")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to test the tool")
    options = parser.parse_args(arguments)
    recipe = dataclasses.replace(QUICK if options.quick else Recipe(), seed=options.seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    network, record = train(recipe) if options.trunk is None else trained(options.trunk)
    print(json.dumps(finish(network, record, recipe, options.out), indent=2))


if __name__ == "__main__":
    main()
