"""Read the packets of a stream, in file order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FrameError
from .progress import note_progress

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


def read_packets(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[Packet[VideoStream]]:
    """Yield the packets from the container's current position; the last packet is empty and marks the end.

    Raises (while iterating):
        FrameError: there are more packets than bytes in the file, so the demuxer is probably repeating itself.
        FFmpegError: a packet cannot be read.
    """
    most = path.stat().st_size
    packets = enumerate(container.demux(stream))
    while True:
        try:
            count, packet = next(packets)
        except (StopIteration, IndexError):  # how PyAV ends a file, after the last packet, if a stream begins late
            return
        if count > most:
            raise FrameError(f"{path} yields more packets than it has bytes", "convert it, or exclude the video")
        note_progress()
        yield packet
