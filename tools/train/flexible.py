"""Train the demo's Frame Flexible Network and the plain networks it is compared with, all of them tiny TSMs.

The frame-flexible network is trained as in the paper: three clips of a video, of 4, 8 and 16 frames, pass through the
shared weights in one step; the loss compares the longest with the label and the others with the longest's output. (The
authors group all clips by 16 frames during training; here each clip is grouped by its own length.) A plain network
trains on clips of one length with cross-entropy. All networks see the same clips of the same videos, new in each epoch,
for the same number of steps. Training is deterministic for the same arguments and machine.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import platform
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vbench.bench.datasets.synthetic import motion
from vbench.bench.datasets.synthetic.portable_random import Ints, PortableRandom
from vbench.models.ffn.resnet2d import FlexibleResNetSize
from vbench.models.ffn.tsm import Tsm
from vbench.models.preprocess.pillow import PreprocessTsm
from vbench.models.resnet import ResNetSize
from vbench.runtime.video.sampling import tsn_segment_positions

OUT = Path(__file__).parents[2] / "models" / "demo"
TRUNK = ResNetSize("basic", blocks=(1, 1, 1, 1), widths=(16, 32, 48, 64), stem_width=16, stem_kernel=5, expansion=1)
INPUT_SIZE = 42  # preprocessing then resizes to 48, the size of the videos, so nothing is resized
COUNTS = (4, 8, 16)
MEASURED = (2, 4, 6, 8, 10, 12, 16, 20)
FLEXIBLE = "tsm_ffn_demo"
THREADS = 1  # the same summation order on every machine

Clips = dict[int, Tensor]  # by frame count, float32 [videos, frames, 3, size, size]
Frames = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All parameters that determine the result."""

    seed: int = 0
    epochs: int = 20
    videos_per_epoch: int = 1440
    batch: int = 8
    learning_rate: float = 3e-3
    warm_up: float = 0.1  # share of the steps in which the learning rate rises
    weight_decay: float = 1e-2
    validation_videos: int = motion.VALIDATION_VIDEOS


QUICK = Recipe(epochs=1, videos_per_epoch=16, validation_videos=4)


class Learner:
    """A network with its optimizer; ``count`` is the frame count of a plain network, None for the flexible one."""

    def __init__(self, count: int | None, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)  # the plain networks start from the same weights
        self.name = FLEXIBLE if count is None else f"tsm_demo_{count:02d}"
        self.network = Tsm(FlexibleResNetSize(TRUNK, len(motion.CLASS_NAMES), count is None), INPUT_SIZE)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
        self.counts = COUNTS if count is None else (count,)
        self.losses: list[float] = []
        self._views = {frames: self.network.trainable_at(frames) for frames in self.counts}
        self._optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=recipe.weight_decay)
        steps = recipe.epochs * math.ceil(recipe.videos_per_epoch / recipe.batch)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, recipe.learning_rate, total_steps=steps, pct_start=recipe.warm_up
        )

    def learn(self, clips: Clips, labels: Tensor) -> float:
        """Take one optimizer step and return the loss before it."""
        loss = self._loss(clips, labels)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _loss(self, clips: Clips, labels: Tensor) -> Tensor:
        *shorter, longest = self.counts
        teacher = self._views[longest](clips[longest])
        loss = functional.cross_entropy(teacher, labels)
        target = teacher.detach().log_softmax(1)
        for frames in shorter:
            given = self._views[frames](clips[frames]).log_softmax(1)
            loss = loss + functional.kl_div(given, target, reduction="batchmean", log_target=True)
        return loss


def train(recipe: Recipe) -> tuple[list[Learner], dict[str, object]]:
    """Train all four networks and return them in evaluation mode, with the training record."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    learners = [Learner(count, recipe) for count in (None, *COUNTS)]
    rng = PortableRandom(recipe.seed)
    started = time.perf_counter()
    for epoch in range(recipe.epochs):
        run_epoch(learners, recipe, epoch, rng)
        losses = ", ".join(f"{learner.name} {learner.losses[-1]:.4f}" for learner in learners)
        print(f"epoch {epoch + 1} of {recipe.epochs}: {losses}", flush=True)
    wall_s = time.perf_counter() - started
    return learners, {
        "recipe": dataclasses.asdict(recipe),
        "input_size": INPUT_SIZE,
        "trunk": dataclasses.asdict(TRUNK),
        "losses": {learner.name: learner.losses for learner in learners},
        "validation_videos": recipe.validation_videos,
        "top1": {learner.name: accuracies(learner.network, recipe.validation_videos) for learner in learners},
        "wall_s": round(wall_s, 1),
        "threads": THREADS,
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


def run_epoch(learners: list[Learner], recipe: Recipe, epoch: int, rng: PortableRandom) -> None:
    """Train all networks on the same new, class-balanced videos and record their mean losses."""
    totals = dict.fromkeys((learner.name for learner in learners), 0.0)
    order = np.argsort(rng.integers(recipe.videos_per_epoch, 0, 2**32), kind="stable") + epoch * recipe.videos_per_epoch
    for start in range(0, recipe.videos_per_epoch, recipe.batch):
        indices = order[start : start + recipe.batch].tolist()
        videos = [motion.motion_video("training", index) for index in indices]
        clips = {count: training_clips(videos, count, rng) for count in COUNTS}
        labels = torch.tensor([motion.motion_label("training", index) for index in indices])
        for learner in learners:
            totals[learner.name] += learner.learn(clips, labels) * len(indices) / recipe.videos_per_epoch
    for learner in learners:
        learner.losses.append(round(totals[learner.name], 4))


def training_clips(videos: list[Frames], count: int, rng: PortableRandom) -> Tensor:
    """Return pixels of one random frame of each of ``count`` equal segments of every video."""
    return pixels([video[random_positions(len(video), count, rng)] for video in videos])


def random_positions(length: int, count: int, rng: PortableRandom) -> Ints:
    """Return one random position in each of ``count`` equal segments of ``length`` frames, ascending, int64 [count]."""
    firsts = np.arange(count + 1) * length // count
    chosen: Ints = firsts[:-1] + rng.integers(count, 0, 2**32) % np.diff(firsts)
    return chosen


def pixels(clips: list[Frames]) -> Tensor:
    """Return the network input for clips of equal length, float32 ``[n, frames, 3, size, size]``."""
    pictures = PreprocessTsm(INPUT_SIZE)(torch.from_numpy(np.concatenate(clips)))
    return pictures.contiguous(memory_format=torch.channels_last).unflatten(0, (len(clips), -1))


def accuracies(network: Tsm, videos: int) -> dict[str, float]:
    """Return the top-1 accuracy (a fraction) at each count of ``MEASURED`` on the first validation videos."""
    right = []
    for start in range(0, videos, 50):
        chunk = [motion.motion_video("validation", index) for index in range(start, min(start + 50, videos))]
        right.append(torch.stack([right_answers(network, chunk, count, start) for count in MEASURED]))
    means = torch.cat(right, dim=1).double().mean(1)
    return {str(count): round(float(mean), 4) for count, mean in zip(MEASURED, means)}


@torch.inference_mode()
def right_answers(network: Tsm, videos: list[Frames], count: int, start: int) -> Tensor:
    """Return whether each validation video, numbered from ``start``, is classified correctly, bool [videos]."""
    clips = pixels([video[list(tsn_segment_positions(len(video), count))] for video in videos])
    labels = [motion.motion_label("validation", index) for index in range(start, start + len(videos))]
    return network.at(count)(clips).argmax(1) == torch.tensor(labels)


def save(learners: list[Learner], record: dict[str, object], epochs: int, out: Path) -> None:
    """Write each checkpoint in the authors' DataParallel format, along with the records and the class names."""
    out.mkdir(parents=True, exist_ok=True)
    for learner in learners:
        state = learner.network.state_dict()
        weights = collections.OrderedDict((f"module.{name}", tensor.contiguous()) for name, tensor in state.items())
        content = {"epoch": epochs, "arch": TRUNK.name, "state_dict": weights}
        torch.save(content, out / f"{learner.name}.pth")
        pointer = {"input_size": INPUT_SIZE, "training": "tsm_demo.json"}
        (out / f"{learner.name}.json").write_text(json.dumps(pointer, indent=2) + "\n", encoding="utf-8")
    (out / "tsm_demo.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (out / "motion_classes.txt").write_text("\n".join(motion.CLASS_NAMES) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the checkpoints, the record and the classes")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to test the tool")
    options = parser.parse_args(arguments)
    recipe = dataclasses.replace(QUICK if options.quick else Recipe(), seed=options.seed)
    learners, record = train(recipe)
    save(learners, record, recipe.epochs, options.out)
    print(json.dumps(record["top1"], indent=2))


if __name__ == "__main__":
    main()
