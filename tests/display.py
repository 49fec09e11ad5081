"""Display orientations written into videos: the matrix of an MP4 or MOV track, and SEI messages of a stream."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import av

_H264_SEI, _HEVC_SEI = b"\x06", b"\x4e\x01"
_START = b"\0\0\0\1"


def write_matrix(
    source: Path, target: Path, matrix: Sequence[float], offset: tuple[int, int] = (0, 0), scale: int = 65536
) -> Path:
    """Copy an MP4 or MOV file whose first track gets the matrix (a, b, c, d) and an offset in pixels."""
    data = bytearray(source.read_bytes())
    a, b, c, d = (round(value * scale) for value in matrix)
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, offset[0] << 16, offset[1] << 16, 1 << 30)
    target.write_bytes(data)
    return target


def orientation_sei(hflip: int, vflip: int, counterclockwise: int, codec: str = "h264") -> bytes:
    """Return the NAL unit of a display orientation message; the flips precede the rotation, in degrees."""
    bits = f"0{hflip}{vflip}{round(counterclockwise / 360 * 65536):016b}"
    bits += "101" if codec == "h264" else "11"  # H.264: repeated until changed, no extension; HEVC: persistent
    bits += "0" * (-len(bits) % 8)
    payload = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    message = bytes([47, len(payload)]) + payload + b"\x80"
    return (_H264_SEI if codec == "h264" else _HEVC_SEI) + _escaped(message)


def _escaped(data: bytes) -> bytes:
    """Return the data with emulation prevention bytes."""
    out = bytearray()
    for byte in data:
        if byte <= 3 and out.endswith(b"\0\0"):
            out.append(3)
        out.append(byte)
    return bytes(out)


def insert_sei(source: Path, target: Path, unit: bytes, chosen: Callable[[int], bool]) -> Path:
    """Copy a video with the unit inserted before the packets whose number in the file is `chosen`."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = (packet for packet in reader.demux(stream) if packet.dts is not None)
        for number, packet in enumerate(packets):
            data = bytes(packet)
            prefix = _START if data.startswith(_START) else len(unit).to_bytes(4, "big")
            new = av.Packet(prefix + unit + data if chosen(number) else data)
            new.pts, new.dts, new.time_base, new.duration = packet.pts, packet.dts, packet.time_base, packet.duration
            new.is_keyframe, new.stream = packet.is_keyframe, copy
            writer.mux(new)
    return target
