"""A tiny HVU for tests: twelve tags in six categories, its lists, and frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.networks import TINY_HEAD, save_checkpoint, tiny_network
from vbench.runtime.policies.first_threshold import DatasetDefaults

TAGS = [f"tag_{number:02}" for number in range(12)]
CATEGORIES = ("action", "action", "action", "attribute", "concept", "concept", "event", *3 * ["object"], *2 * ["scene"])
TAG_HEAD = replace(TINY_HEAD, classes=len(TAGS))
HVU = DatasetDefaults("hvu", 1.0, "sigmoid")


def save_tag_checkpoint(path: Path) -> None:
    """Write the checkpoint of a tiny network for the tags."""
    save_checkpoint(tiny_network(TAG_HEAD), path)


def write_hvu(data: Path, list_name: str, videos: int, name: str = "video") -> None:
    """Write the tag file, a list of videos and their frames; the ids begin with ``name``, of five letters."""
    rng = np.random.default_rng(0)
    data.mkdir(exist_ok=True)
    (data / "tags.csv").write_text("Tag,Category\n" + "".join(map("{},{}\n".format, TAGS, CATEGORIES)))
    lines = ["Tags,youtube_id,time_start,time_end"]
    for number in range(videos):
        chosen = rng.choice(len(TAGS), rng.integers(1, 6), replace=False)
        lines.append("|".join(TAGS[place] for place in chosen) + f",{name}_{number:05},{number},{number + 2}")
        frames = data / "frames" / f"{name}_{number:05}_{number:06}_{number + 2:06}.mp4"
        frames.mkdir(parents=True)
        for frame in range(3):
            pixels = rng.integers(0, min(40 + 12 * number, 256), (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(frames / f"{frame:05}.jpeg")
    (data / list_name).write_text("\n".join([*lines, ""]))
