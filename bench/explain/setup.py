"""What explaining a video needs before it can begin: a FrameExit on its engine, and the video in its data set."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ...errors import UsageError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.bundle.manifest import FrameExitManifest
from ...runtime.load import load
from ...runtime.networks.frameexit import FrameExitNetwork
from ...runtime.policies.registry import policy_of
from ..datasets import Dataset, Video
from ..records.run_folder import RunConfig
from ..run.setup import prepare


def opened(config: RunConfig) -> tuple[FrameExitNetwork, Dataset | None]:
    """Load the network that ``config`` names, and its data set in the network's numbering, where it names one.

    Raises:
        UsageError: the network is no FrameExit.
        VbenchError: the bundle, the engine or the data set cannot be used.
    """
    if not isinstance(open_bundle(Path(config.bundle)).manifest, FrameExitManifest):
        raise UsageError(f"{config.bundle}: so far only a FrameExit can be explained", "give a bundle of one")
    if config.dataset:
        prepared = prepare(config)
        network, dataset = prepared.network, prepared.dataset
    else:
        network, dataset = (
            load(
                config.bundle,
                config.engine,
                first_threshold=config.first_threshold,
                gate_threshold=config.gate_thresholds,
                policy=None if config.policy is None else policy_of(config.policy, "--policy"),
                precision=config.precision,
                threads=config.threads,
                checkpoint=config.checkpoint,
            ),
            None,
        )
    assert isinstance(network, FrameExitNetwork)
    return network, dataset


def find_video(dataset: Dataset, key: str) -> Video:
    """Return the video of that key.

    Raises:
        UsageError: there is none, or it was left out.
    """
    for video in dataset.videos:
        if video.key == key:
            return video
    for left in dataset.left_out:
        if left.key == key:
            raise UsageError(f"{key}: left out of {dataset.name}, {left.reason}", "choose another video")
    keys = [video.key for video in dataset.videos]
    near = get_close_matches(key, keys, n=1) or keys[:1]
    raise UsageError(f"{dataset.name} has no video {key!r}", f"such as {near[0]}")
