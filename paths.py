"""Check paths that a file contains: they must not lead out of its folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

_MAX_NAME_BYTES = 255  # of one component, on all common file systems


def is_plain(path: str) -> bool:
    """Return whether ``path`` is relative, has no ``..``, and names a file on any system.

    Neither the path nor any component may be empty, and no component may be longer than file systems permit.
    """
    windows = PureWindowsPath(path)  # also splits at backslashes
    parts = path.split("/")
    return (
        bool(PurePosixPath(path).parts)
        and "\0" not in path
        and not windows.drive
        and not windows.root
        and ".." not in windows.parts
        and all(parts)
        and all(len(part.encode(errors="surrogateescape")) <= _MAX_NAME_BYTES for part in parts)
    )


def inside(folder: Path, path: str) -> Path | None:
    """Return ``folder / path``; None if the path is not plain, or if a link leads out of the folder."""
    if not is_plain(path):
        return None
    found = folder / path
    try:
        is_within = found.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that form a loop
        return None
    return found if is_within else None
