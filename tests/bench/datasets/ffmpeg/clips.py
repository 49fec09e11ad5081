"""Small videos with unusual timestamps."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.videos import save_numbered

WRAP_S = 2**33 / 90000  # transport and program streams count 33 bits at 90 kHz


def joined(path: Path, starts_s: tuple[float, ...], codec: str, muxer: str) -> Path:
    """Write recordings of 30 frames one after the other, as cameras and `cat` do; each starts at its own time."""
    parts = b""
    for position, start_s in enumerate(starts_s):
        part = save_numbered(path, range(30 * position, 30 * position + 30), codec, muxer, start_s)
        parts += part.read_bytes()
    path.write_bytes(parts)
    return path


def gap_after(frames: int, gap_s: float) -> Callable[[av.Packet[Any]], None]:
    """Return a function that delays the packets from the position `frames` on."""

    def delay(packet: av.Packet[Any]) -> None:
        base = packet.time_base or Fraction(1)
        if (packet.dts or 0) * base >= Fraction(frames, 25):
            packet.pts, packet.dts = (round((stamp or 0) + gap_s / float(base)) for stamp in (packet.pts, packet.dts))

    return delay


def without_reordering(packet: av.Packet[Any]) -> None:
    """Store decoding times as presentation times, as tools without support for B-frames do."""
    packet.dts = (packet.dts or 0) + 2  # the first is negative
    packet.pts = packet.dts


CLIPS: dict[str, Callable[[Path], Path]] = {
    "join_back.mp4": lambda path: joined(path, (0, 0), "libx264", "mpegts"),
    "join_forward.mp4": lambda path: joined(path, (0, 3600), "libx264", "mpegts"),
    "join_down.mp4": lambda path: joined(path, (3600, 0), "mpeg2video", "mpegts"),
    "join_both.mp4": lambda path: joined(path, (0, 3600, 0), "libx264", "mpegts"),
    "join_near.mp4": lambda path: joined(path, (0, 5), "libx264", "mpegts"),
    "program_back.mp4": lambda path: joined(path, (0, 0), "mpeg2video", "vob"),
    "program_forward.mp4": lambda path: joined(path, (0, 3600), "mpeg2video", "vob"),
    "mpeg1.mp4": lambda path: joined(path, (0, 0), "mpeg1video", "mpeg"),
    "wrap.mp4": lambda path: save_numbered(path, muxer="mpegts", start_s=WRAP_S - 3),
    "gap.ts.mp4": lambda path: save_numbered(path, muxer="mpegts", b_frames=0, retime=gap_after(30, 3600)),
    "gap.mp4": lambda path: save_numbered(path, b_frames=0, retime=gap_after(30, 2)),
    "gap.mkv": lambda path: save_numbered(path, b_frames=0, retime=gap_after(30, 2)),
    "late.mp4": lambda path: save_numbered(path, start_s=2.5),
    "late.mkv": lambda path: save_numbered(path, start_s=2.5),
    "raw.mp4": lambda path: save_numbered(path, codec="mpeg4", retime=without_reordering),
    "mpeg4.avi": lambda path: save_numbered(path, codec="mpeg4"),
    "h264.avi": lambda path: save_numbered(path),
    "mpeg4.mkv": lambda path: save_numbered(path, codec="mpeg4"),
}
