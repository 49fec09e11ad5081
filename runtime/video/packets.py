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
    """Yield the packets from the container's current position on; the last one is empty and marks the end.

    Raises (while iterating):
        FrameError: there are more packets than bytes in the file, so the demuxer is likely to repeat itself.
        FFmpegError: a packet cannot be read.
    """
    most = path.stat().st_size
    packets = enumerate(container.demux(stream))
    while True:
        try:
            count, packet = next(packets)
        except (StopIteration, IndexError):  # PyAV's end of a file in which a stream begins late, after the last packet
            return
        if count > most:
            raise FrameError(f"{path} yields more packets than it has bytes", "convert it, or exclude the video")
        note_progress()
        yield packet
