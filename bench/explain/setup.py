"""Set up an explanation: the network on its engine, and the video in its data set."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ...errors import UsageError
from ...names import name_key
from ...runtime.bundle.bundle import open_bundle
from ...runtime.engine_choice.choose import choose_engine
from ...runtime.families import family_of
from ...runtime.load import load_network
from ...runtime.networks.base import Network
from ..datasets import Dataset, Video
from ..records.run_folder import RunConfig
from ..run.setup import set_up


def load_for_explanation(config: RunConfig, *, with_dataset: bool) -> tuple[Network, Dataset | None]:
    """Load the network of ``config`` and, if ``with_dataset``, its data set, with the network's class indices.

    Raises:
        UsageError: the network has no early exits, because its steps do not build on each other.
        VbenchError: the bundle, the engine or the data set cannot be used.
    """
    bundle = open_bundle(Path(config.bundle))
    if not family_of(bundle.manifest).cumulative:
        raise UsageError(
            f"{config.bundle} is not a FrameExit bundle and cannot be explained", "pass a FrameExit bundle"
        )
    if not with_dataset:
        options, chosen = choose_engine(bundle, config.engine, config.policy)
        if chosen is not None:
            options.say(chosen.text())
        return load_network(bundle, options, config.policy), None
    setup = set_up(config, bundle)
    return setup.network, setup.dataset


def find_video(dataset: Dataset, key: str) -> Video:
    """Return the video with this key.

    Raises:
        UsageError: there is no such video, or it was excluded.
    """
    videos = {video.key: video for video in dataset.videos}
    reasons = {left.key: left.reason for left in dataset.left_out}
    for known in (key, name_key(key)):  # as vbench shows it, or as the file is named
        if known in videos:
            return videos[known]
        if known in reasons:
            raise UsageError(f"{key} was excluded from {dataset.name}: {reasons[known]}", "choose another video")
    near = get_close_matches(key, videos, n=1) or list(videos)[:1]
    raise UsageError(f"{dataset.name} has no video {key!r}", f"choose a video such as {near[0]}")
