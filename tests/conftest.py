"""Networks and bundles shared by many tests, created once per session."""

from __future__ import annotations

import functools
import gc
import json
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from tests.bundle_cache import cached_export
from tests.ffn2d import Load, authors_file, tiny
from tests.ffn2d import golden as ffn2d_golden
from tests.ffn3d import narrow
from tests.golden.ffn2d.make_checkpoint import checkpoint
from tests.golden.make_checkpoint import state_dict
from tests.networks import noise_clips, save_checkpoint, tiny_network
from tests.replay import export_demo
from vbench.export.exporter import Calibration, ExportOptions
from vbench.export.options import Layout
from vbench.models.checkpoint.recognize import load_network
from vbench.models.ffn.resnet2d import FlexibleResNet
from vbench.models.ffn.tea import Tea
from vbench.models.ffn.tsm import Tsm
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, FrameExitManifest, Manifest

# By default, hypothesis fails an example that takes longer than 200 ms, which a busy machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Files with expensive fixtures come first. An idle process takes tests from the end of another's list, so these files
# are rarely split across processes.
FIRST = ("test_demo.py", "test_golden.py", "test_flexible_golden.py", "test_export_flexible.py", "test_precision.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with expensive fixtures first and keep the order of the others."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_configure() -> None:
    """Pin each test process to one core, since engines that use all cores slow one another down.

    Also reduce garbage collection: tracing a network creates millions of long-lived objects, and scanning them
    repeatedly takes a quarter of the time of an export.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
        torch.set_num_threads(1)


GOLDEN = Path(__file__).parent / "golden"


def frameexit(bundle: Bundle[Manifest]) -> Bundle[FrameExitManifest]:
    assert isinstance(bundle.manifest, FrameExitManifest)
    return Bundle(bundle.path, bundle.manifest)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a FrameExit network in the authors' layout: random weights, 5 classes, 10 frames of 32 x 32."""
    path = tmp_path_factory.mktemp("tiny") / "frameexit_tiny.pth"
    save_checkpoint(tiny_network(), path)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Bundle[FrameExitManifest]:
    out = tiny_checkpoint.parent / "bundles" / "tiny"
    return frameexit(cached_export(tiny_checkpoint, out, ExportOptions(input_size=32)))


@pytest.fixture(scope="session")
def tiny_quantized_bundle(tiny_checkpoint: Path) -> Bundle[FrameExitManifest]:
    """Bundle of the tiny network in every precision, calibrated with noise."""
    out = tiny_checkpoint.parent / "bundles" / "tiny_quantized"
    options = ExportOptions(input_size=32, precisions=("fp32", "fp16", "int8-trt", "int8"))
    return frameexit(cached_export(tiny_checkpoint, out, options, Calibration("noise", noise_clips)))


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle[FrameExitManifest]:
    """Full-size bundle of the golden checkpoint (ResNet-50, 200 classes)."""
    folder = tmp_path_factory.mktemp("golden")
    checkpoint = folder / "frameexit_r50.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, checkpoint)
    return frameexit(cached_export(checkpoint, folder / "bundles" / "frameexit_r50", ExportOptions()))


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of the demo's FrameExit network, which is small and trained, so its exit steps vary between clips."""
    return export_demo(tmp_path_factory.mktemp("demo") / "bundles")


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def ffn2d_network(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load a full-size TSM or TEA network, by the name of its golden numbers, from a file in the authors' format."""
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


FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]


@pytest.fixture(scope="session")
def flexible_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save a small network with five classes, by family, in the authors' layout; ``tsm_plain`` is not an FFN."""
    folder = tmp_path_factory.mktemp("flexible")

    @functools.cache
    def save(family: str) -> Path:
        if family in ("slowfast", "uniformer"):
            content = {"epoch": 3, "model_state": narrow(family, True).state_dict(), "cfg": "MODEL:\n  ARCH: any\n"}
            torch.save(content, folder / f"{family}_ffn.pyth")
            return folder / f"{family}_ffn.pyth"
        network = tiny(Tea if family == "tea" else Tsm, family != "tsm_plain")
        return authors_file(network.state_dict(), folder / f"{family}.pth.tar")

    return save


@pytest.fixture(scope="session")
def flexible_bundle(flexible_checkpoint: Callable[[str], Path]) -> FlexibleBundle:
    """Export such a checkpoint, by family and weight layout, at three or four small frame counts."""

    @functools.cache
    def export(family: str, layout: Layout) -> Bundle[FlexibleManifest]:
        checkpoint = flexible_checkpoint(family)
        size = 64 if family in ("slowfast", "uniformer") else 32
        frames = (4, 8, 16) if family == "slowfast" else (2, 4, 6, 8)
        options = ExportOptions(input_size=size, frames=frames, layout=layout)
        bundle = cached_export(checkpoint, checkpoint.parent / "bundles" / f"{family}_{layout}", options)
        assert isinstance(bundle.manifest, FlexibleManifest)
        return Bundle(bundle.path, bundle.manifest)

    return lambda family, layout="folded": export(family, layout)
