"""Networks and bundles that many tests share, made once a session."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ffn2d import Load
from tests.ffn2d import golden as ffn2d_golden
from tests.golden.ffn2d.make_checkpoint import checkpoint
from tests.golden.make_checkpoint import state_dict
from tests.networks import noise_clips, save_checkpoint, tiny_network
from vbench.export.frameexit import Calibration, ExportOptions, export_frameexit
from vbench.models.flexible2d import FlexibleResNet
from vbench.models.recognise import load_network
from vbench.runtime.bundle import Bundle

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FrameExit of five classes and 10 frames of 32 x 32 with random weights, in the authors' layout."""
    path = tmp_path_factory.mktemp("tiny") / "frameexit_tiny.pth"
    save_checkpoint(tiny_network(), path)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Bundle:
    out = tiny_checkpoint.parent / "bundles" / "tiny"
    return export_frameexit(tiny_checkpoint, out, ExportOptions(input_size=32))


@pytest.fixture(scope="session")
def tiny_quantised_bundle(tiny_checkpoint: Path) -> Bundle:
    """The tiny network in every precision, calibrated with noise."""
    out = tiny_checkpoint.parent / "bundles" / "tiny_quantised"
    options = ExportOptions(input_size=32, precisions=("fp32", "fp16", "int8-trt", "int8"))
    return export_frameexit(tiny_checkpoint, out, options, calibration=Calibration("noise", noise_clips))


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The full-size bundle of the goldens' checkpoint (ResNet-50, 200 classes)."""
    folder = tmp_path_factory.mktemp("golden")
    checkpoint = folder / "frameexit_r50.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, checkpoint)
    return export_frameexit(checkpoint, folder / "bundles" / "frameexit_r50", ExportOptions())


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def ffn2d_network(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Full-size TSM or TEA by the name of its golden numbers, loaded from a file as the authors write it."""
    folder = tmp_path_factory.mktemp("ffn2d")

    @functools.cache
    def load(model: str) -> FlexibleResNet:
        path = folder / f"{model}.pth.tar"
        content, digest = checkpoint(model)
        assert digest == json.loads(str(ffn2d_golden()["meta"]))["digest"][model]
        torch.save(content, path)
        network = load_network(path)
        path.unlink()
        assert isinstance(network, FlexibleResNet)
        return network

    return load
