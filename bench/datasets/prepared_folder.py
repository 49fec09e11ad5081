"""Fill the frames folder of a data set, one process at a time; each video's folder is either complete or absent.

A video's images are written to a folder with a random name and the prefix `.partial-`, which is renamed at the end. A
preparation holds a lock on the frames folder, so any partial folders that it finds there were left by killed processes.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import FrameError, MissingError, RunError

_PARTIAL = ".partial-"
_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


@contextmanager
def lock_frames(frames: Path) -> Iterator[None]:
    """Create the frames folder if necessary, and lock it; remove partial folders before and after.

    If the file system does not support locks, nothing is locked, and partial folders are kept.

    Raises:
        MissingError: the folder cannot be created.
        RunError: another process is preparing frames there.
    """
    import fcntl

    _make_folder(frames)
    descriptor = os.open(frames, os.O_RDONLY)
    try:
        locked = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"another 'vbench data prepare' is writing to {frames}"
            raise RunError(what, "wait for it to finish, or choose another --data") from None
        except OSError:
            locked = False
        try:
            _remove_partial(frames, locked)
            yield
        finally:
            _remove_partial(frames, locked)
    finally:
        os.close(descriptor)


def _remove_partial(frames: Path, locked: bool) -> None:
    for folder in frames.glob(f"{_PARTIAL}*") if locked else ():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `folder` on success and is removed on failure.

    If another process has filled `folder` in the meantime, its images are kept.

    Raises:
        FrameError: the name is taken by something other than a folder of images, or is too long.
        MissingError: the disk is full, or the folder is not writable.
    """
    _make_folder(folder.parent)
    try:
        outer = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        partial = outer / "frames"  # its permissions follow the umask, unlike those of `outer`
        partial.mkdir()
        yield partial
        _move(partial, folder)
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def write_error(path: Path, error: OSError) -> MissingError:
    """Return the error to show for an `OSError` while writing `path`."""
    return MissingError(
        f"cannot write {path}: {error.strerror}", "free disk space or choose another --data, then rerun"
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def _move(partial: Path, folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()  # an empty folder may block the rename
    try:
        partial.rename(folder)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            what = f"the name {folder.name} is too long for a folder"
            raise FrameError(what, "shorten it in the split and in the label file") from error
        if error.errno not in _IN_THE_WAY:
            raise write_error(folder, error) from error
        if not any(folder.glob("frame_*.jpeg")):
            raise FrameError(f"{folder} exists but contains no frames", "remove it, then rerun") from error
