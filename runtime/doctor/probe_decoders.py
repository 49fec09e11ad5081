"""Probes for PyAV and Pillow; ``probe_main`` runs them in a subprocess."""

from __future__ import annotations

from .probe_engines import Facts

_CODECS = ("h264", "hevc", "vp9", "av1")


def av() -> Facts:
    """Check which common codecs PyAV can decode."""
    import av

    lacks = [name for name in _CODECS if not _decodes(name)]
    has = [name for name in _CODECS if name not in lacks]
    return {"version": av.__version__, "codecs": ", ".join(has), "lacks": ", ".join(lacks)}


def _decodes(name: str) -> bool:
    from av.codec import Codec

    try:
        return Codec(name, "r") is not None
    except ValueError:  # base class of PyAV's UnknownCodecError
        return False


def pillow() -> Facts:
    """Write and read a JPEG with Pillow."""
    from io import BytesIO

    from PIL import Image, __version__, features

    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    Image.open(file).load()
    turbo = features.version("libjpeg_turbo") if features.check("libjpeg_turbo") else ""
    return {"version": __version__, "turbo": turbo or ""}
