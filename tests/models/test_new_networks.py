"""A network of a known family needs only a module and a registered recognizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.networks import TINY_HEAD, save_checkpoint
from vbench.cli.inspect import inspect
from vbench.errors import CheckpointError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.triton.repository import write_repository
from vbench.models.checkpoint.by_size import SizedRecognizer
from vbench.models.checkpoint.read import StateDict
from vbench.models.checkpoint.recognize import load_network
from vbench.models.checkpoint.recognizer import NoMatch, Recognizer
from vbench.models.ffn.base import FrameFlexible
from vbench.models.frameexit.backbone import Backbone, BackboneRecognizer
from vbench.models.frameexit.network import FrameExit
from vbench.models.network import Network
from vbench.models.part import Part
from vbench.models.preprocess.multi_crop import MEAN, STD, Preprocess3d
from vbench.models.preprocess.shorter_side import PreprocessSpec, views_part
from vbench.models.registry import BACKBONES, NETWORKS
from vbench.registry import Registry
from vbench.runtime.families import family_of
from vbench.runtime.load import load
from vbench.runtime.policies.cascade import Cascade

SIZE = 32


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the registries after a test."""
    registry: Registry
    for registry in (NETWORKS, BACKBONES):
        monkeypatch.setattr(registry, "_builtin", dict(registry._builtin))
        monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))


class MeanFrame(FrameFlexible):
    """One convolution on the mean of the frames, with two RGB crops, a combination no other network uses."""

    architecture = "mean_frame"
    sampling = "rounded_segments"

    def __init__(self, classes: int, input_size: int | None = None) -> None:
        super().__init__(f"mean_frame_{classes}", classes, {}, input_size or SIZE)
        self.mean_conv = nn.Conv2d(3, 8, 3, stride=4)
        self.mean_head = nn.Linear(8, classes)

    @property
    def preprocessing(self) -> PreprocessSpec:
        size = self.input_size
        resize = "shorter_side_bilinear_truncated"
        return PreprocessSpec(size, size, resize, ("first", "last"), "rgb", (MEAN,) * 3, (STD,) * 3)

    def preprocess(self) -> Part:
        return views_part((Preprocess3d(self.input_size, crop, "rgb") for crop in (0, 2)), self.input_size)

    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:  # noqa: ARG002
        return _OnClips(layers["mean_conv"], layers["mean_head"])


class _OnClips(nn.Module):
    def __init__(self, conv: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.conv, self.head = conv, head

    def forward(self, pixels: Tensor) -> Tensor:
        features = torch.relu(self.conv(pixels.mean(1)))
        out: Tensor = self.head(features.mean((2, 3)))
        return out


MEAN_FRAME = SizedRecognizer(
    title="MeanFrame",
    is_likely=lambda names: any(name.startswith("mean_") for name in names),
    size=lambda shapes: shapes["mean_head.weight"][0],
    published=lambda _: (5,),
    build=MeanFrame,
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(MeanFrame(7).state_dict(), tmp_path / "mean.pth")
    return tmp_path / "mean.pth"


@pytest.mark.usefixtures("registries")
def test_a_network_of_a_known_family_end_to_end(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match=r"not a FrameExit checkpoint.*TSM, TEA, SlowFast, Uniformer or X3D$"):
        load_network(checkpoint)
    NETWORKS.register("mean_frame", MEAN_FRAME)
    bundle = export_checkpoint(checkpoint, tmp_path / "mean", ExportOptions(frames=(2, 4)))
    manifest = bundle.manifest
    assert (manifest.family, manifest.architecture, manifest.network) == ("frame_counts", "mean_frame", "mean_frame_7")
    assert family_of(manifest).rows_per_clip(manifest) == 2
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 50, 3), np.uint8)
    actual, expected = (load(bundle.path, engine, frames=4).predict(clip).logits for engine in ("ort", "torch"))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    assert np.ptp(actual) > 0.01
    assert write_repository(bundle, tmp_path / "triton", Cascade((2, 4))).name == "mean"
    inspect(bundle.path)
    assert "mean_frame_7 (mean_frame), 7 classes" in capsys.readouterr().out


@pytest.mark.usefixtures("registries")
def test_its_damaged_file_is_reported(checkpoint: Path) -> None:
    NETWORKS.register("mean_frame", MEAN_FRAME)
    state = torch.load(checkpoint, weights_only=True)
    state["mean_conv.weight"] = torch.zeros(8, 3, 3)
    torch.save(state, checkpoint)
    with pytest.raises(
        CheckpointError, match=r"has keys that do not match mean_frame_7: 1 of a different shape or type \(mean_conv"
    ):
        load_network(checkpoint)


class Modest(Recognizer):
    """Matches no file, but names a likely network."""

    title = "Modest"

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:  # noqa: ARG002
        return NoMatch("looks like nothing", likely=True)


@pytest.mark.usefixtures("registries")
def test_a_recognizer_gives_the_reason_for_no_match(tmp_path: Path) -> None:
    NETWORKS.register("modest", Modest())
    torch.save({"x.weight": torch.zeros(2)}, tmp_path / "x.pth")
    words = r"x.pth: looks like nothing; use a checkpoint of FrameExit, .*, X3D or Modest$"
    with pytest.raises(CheckpointError, match=words):
        load_network(tmp_path / "x.pth")


@pytest.mark.usefixtures("registries")
def test_a_network_resembling_a_damaged_one_of_another_kind(tmp_path: Path) -> None:
    class Alike(Recognizer):
        title = "Alike"

        def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:  # noqa: ARG002
            return MeanFrame(3) if "base_model.extra" in state else NoMatch("not alike")

    names = [f"base_model.layer{stage}.0.conv1.weight" for stage in (1, 2, 3, 4)]
    state = {name: torch.zeros(4, 4, 1, 1) for name in names}
    torch.save({**state, "base_model.extra": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="has keys that do not match tsm"):
        load_network(tmp_path / "x.pth")
    NETWORKS.register("alike", Alike())
    assert load_network(tmp_path / "x.pth").architecture == "mean_frame"


class Pooled(nn.Sequential):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("only", nn.Conv2d(3, 6, 5, 2))
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))


@pytest.mark.usefixtures("registries")
def test_a_frameexit_backbone_needs_only_a_registered_recognizer(tmp_path: Path) -> None:
    network = FrameExit(Pooled(), 6, TINY_HEAD, name="any", input_size=SIZE, paper_gmacs_per_frame=None)
    save_checkpoint(network, tmp_path / "pooled.pth")
    with pytest.raises(CheckpointError, match=r"backbone\.0\.weight is missing"):
        load_network(tmp_path / "pooled.pth")
    BACKBONES.register("pooled", BackboneRecognizer("only.weight", lambda *_: Backbone(Pooled(), 6, "pooled", 48)))
    actual = load_network(tmp_path / "pooled.pth")
    assert isinstance(actual, FrameExit)
    assert (actual.name, actual.input_size, actual.paper_gmacs_per_frame) == ("frameexit_pooled", 48, None)
    assert set(actual.parts_by_name(["backbone", "gates"])) == {"backbone", "gates"}
