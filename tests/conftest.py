"""Networks and bundles that many tests share, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.make_checkpoint import state_dict
from tests.networks import noise_clips, save_checkpoint, tiny_network
from vbench.export.frameexit import Calibration, ExportOptions, export_frameexit
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
