"""The clips of the benchmarks: one folder of JPEGs per clip, the storage format of FrameExit's data sets."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .networks import GoldenNetwork, draw_clip


def prepare_clips(network: GoldenNetwork, work: Path) -> Path | None:
    """Return the folder of the network's clips in ``work/clips``, written unless it is there; None without Pillow."""
    if find_spec("PIL") is None:
        return None
    from PIL import Image

    folder = work / "clips" / network.name
    for index in range(network.clips):
        clip = folder / f"{index:02d}"
        if clip.exists():
            continue
        clip.mkdir(parents=True)
        for number, frame in enumerate(draw_clip(network.name, index), start=1):
            Image.fromarray(frame).save(clip / f"frame_{number:04d}.jpeg", quality=95)
    return folder
