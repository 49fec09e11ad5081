"""Exported full-size frame-flexible bundles compared with the results of the original modules.

Tracing a full-size network takes seconds per frame count, so only the smallest network is exported at all of its
counts here; ``python -m tools.goldens`` runs every network at every count in both layouts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ffn
from tests.marks import slow_except
from vbench.export.options import ExportOptions, Layout
from vbench.models.ffn.base import FrameFlexible
from vbench.runtime.bundle.bundle import MANIFEST, Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.load import load

SMALL = "tsm_ffn_r18"
# Exports at one frame count for the fast tests: both layouts, and a network with 3D convolutions.
FAST: dict[tuple[str, Layout], tuple[int, ...]] = {
    (SMALL, "folded"): (8,),
    (SMALL, "shared"): (4,),
    ("uniformer_ffn", "shared"): (4,),
}
# The small network at all counts of the goldens, in both layouts at the counts it was trained with.
EXPORTED: dict[tuple[str, Layout], tuple[int, ...]] = {
    (SMALL, "folded"): (2, 4, 8, 10, 16, 20),
    (SMALL, "shared"): (4, 5, 6, 8, 12, 16),
    ("tsm_ffn_r50", "shared"): (4,),
    ("tea_ffn_r50", "folded"): (4,),
    ("slowfast_ffn", "folded"): (16,),
    ("uniformer_ffn", "shared"): (4,),
}
FAST_CASES = [(model, layout, counts, frames) for (model, layout), counts in FAST.items() for frames in counts]
CASES = slow_except(
    FAST_CASES,
    dict.fromkeys(
        (
            *FAST_CASES,
            *((model, layout, counts, frames) for (model, layout), counts in EXPORTED.items() for frames in counts),
        )
    ),
)
Exported = Callable[..., Bundle[FlexibleManifest]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("flexible_golden")
    return functools.cache(lambda model: ffn.save(model, folder))


@pytest.fixture(scope="module")
def exported(checkpoint: Callable[[str], Path]) -> Exported:
    """Return a function that exports a network in a layout, by default at all counts in `EXPORTED`."""

    @functools.cache
    def export(model: str, layout: Layout, counts: tuple[int, ...]) -> Bundle[FlexibleManifest]:
        path = checkpoint(model)
        name = "_".join(map(str, (model, layout, *counts)))
        return ffn.cached(path, path.parent / name, ExportOptions(frames=counts, layout=layout))

    return lambda model, layout, counts=None: export(model, layout, counts or EXPORTED[model, layout])


@pytest.mark.parametrize(("model", "layout", "counts", "frames"), CASES, ids=str)
def test_logits_match_the_originals(
    exported: Exported, model: str, layout: Layout, counts: tuple[int, ...], frames: int
) -> None:
    clips = ffn.CLIPS if frames == 4 else 1
    difference = ffn.difference(load(exported(model, layout, counts).path, "ort"), model, frames, clips)
    assert difference <= ffn.tolerance(model)


def test_torch_matches_the_originals_logits(exported: Exported) -> None:
    network = load(exported(SMALL, "shared", FAST[SMALL, "shared"]).path, "torch")
    for frames in FAST[SMALL, "shared"]:
        assert ffn.difference(network, SMALL, frames, 1) <= ffn.tolerance(SMALL)


@pytest.mark.slow
def test_torch_matches_the_originals_logits_at_several_counts(exported: Exported) -> None:
    network = load(exported(SMALL, "shared").path, "torch")
    for frames in (4, 5):
        assert ffn.difference(network, SMALL, frames, 1) <= ffn.tolerance(SMALL)


@pytest.mark.parametrize(("model", "layout", "counts", "frames"), CASES, ids=str)
def test_macs_match_the_originals(
    exported: Exported, model: str, layout: Layout, counts: tuple[int, ...], frames: int
) -> None:
    assert ffn.macs_ratio(exported(model, layout, counts), model, frames) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("model", "layout", "number"),
    slow_except(
        [("uniformer_ffn", "shared", 1)],
        [("uniformer_ffn", "shared", 0), ("uniformer_ffn", "shared", 1), ("slowfast_ffn", "folded", 0)],
    ),
)
def test_video_scores_match_the_originals(exported: Exported, model: str, layout: Layout, number: int) -> None:
    (frames,) = EXPORTED[model, layout]
    difference = ffn.score_difference(load(exported(model, layout).path, "ort"), model, number, frames)
    assert difference <= ffn.score_tolerance(model)


@pytest.mark.slow
def test_a_wrong_branch_is_detected(
    checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goldens detect an error that PyTorch and the graph share, which the check at export cannot."""
    monkeypatch.setattr(FrameFlexible, "branch", lambda *_: 8)
    bundle = ffn.export(checkpoint(SMALL), tmp_path / "bundle", ExportOptions(frames=(4,)))
    assert ffn.difference(load(bundle.path, "ort"), SMALL, 4, 1) > 1


@pytest.mark.slow
def test_shared_weights_need_the_space_of_one_frame_count(exported: Exported) -> None:
    bundle = exported(SMALL, "shared")
    alone = ffn.bundle_bytes(bundle, ffn.trained(SMALL)[-1:])
    assert ffn.bundle_bytes(bundle, ffn.trained(SMALL)) <= 1.05 * alone
    # In the folded layout, each frame count has its own convolutions.
    folded = exported(SMALL, "folded")
    assert ffn.bundle_bytes(folded, ffn.trained(SMALL)) == pytest.approx(3 * alone, rel=0.05)


@pytest.mark.slow
def test_bundle_bytes_of_one_count_match_a_bundle_of_that_count(
    exported: Exported, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    alone = ffn.cached(checkpoint(SMALL), tmp_path / "bundle", ExportOptions(frames=(4,), layout="shared"))
    on_disk = sum(path.stat().st_size for path in alone.path.rglob("*") if path.is_file() and path.name != MANIFEST)
    # Differences: the alignment of the last tensor, and the digits of offsets into the weights file.
    assert ffn.bundle_bytes(alone) == pytest.approx(on_disk, rel=1e-5)
    assert ffn.bundle_bytes(exported(SMALL, "shared"), (4,)) == pytest.approx(on_disk, rel=1e-4)
