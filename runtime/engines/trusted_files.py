"""Which compiled engines are trusted: those that this user built on this machine, and no others.

TensorRT plans and the engines of ONNX Runtime's TensorRT provider are executable code. They are kept in the bundle, in
``plans/`` and there in one folder for everything they depend on. One rule holds for all of them:

- Each file has a record beside it that says what the file was built from, with its digest and an HMAC by the user's own
  key (see `user_key`): a digest alone says nothing about where a file comes from.
- File and record belong to this user, are no symbolic links, and nobody else can write them, their folder or ``plans``.

Whatever breaks the rule is never loaded: it is as good as absent, and built again. Modes that are too open are mended;
a folder of another user's, or a link in its place, is an error. Each folder has one lock, since builds at the same time
would disturb one another's timing of kernels.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...files import disk_error, whole_file
from .user_key import local_key

Record = Mapping[str, Any]
Say = Callable[[str], None]
_PLANS, _LOCK, _RECORD = "plans", ".lock", ".json"
_SIGNATURE = "hmac_sha256"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A file that is not to be used; its text says why."""


def engine_folder(bundle: Path, *names: str) -> Path:
    """Return the folder of the bundle's engines that depend on all of ``names``."""
    return bundle.resolve() / _PLANS / "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", name) for name in names)


@contextmanager
def locked_folder(folder: Path, say: Say) -> Iterator[None]:
    """Make a folder of engines that only this user can enter, and hold its lock, waiting for whoever has it.

    Where others could write before, all that is in the folder is removed. The system takes the lock back when a
    process ends.

    Raises:
        UsageError: the folder is another user's or a link, or it cannot be written.
        MissingError: the disk is full.
    """
    try:
        was_open = [_restrict_access(folder.parent, 0o755), _restrict_access(folder, 0o700)]
        if any(was_open):
            _empty(folder, say)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        hint = "copy the bundle to a place of your own"
        raise UsageError(f"{folder}: cannot write plans there, {error.strerror}", hint) from None
    except OSError as error:
        raise disk_error(folder, error) from None
    with os.fdopen(lock) as file:
        flock(file, LOCK_EX)
        yield


@contextmanager
def signed_folder(folder: Path, record: Record, say: Say) -> Iterator[None]:
    """Give a folder that another library keeps engines in to that library, under the folder's lock.

    Before, every file that breaks the rule, or whose record does not say what ``record`` says, is removed. At the end,
    every file that appeared or changed meanwhile is signed; if an error ends it, none is.

    Raises:
        UsageError: the folder is another user's or a link, or it cannot be written; or others could put another one in
            its place before the library has read it.
        MissingError: the disk is full.
    """
    key = local_key()
    _refuse_open(folder.parent.parent)
    with locked_folder(folder, say):
        _remove_untrusted(folder, record, key, say)
        before = {path: _version_of(path) for path in _files(folder)}
        yield
        for path in _files(folder):
            if before.get(path) != _version_of(path):
                with suppress(UntrustedError):  # it stays unsigned, and is removed the next time
                    _sign(path, _read_own(path, repair=True), record, key)


def write_signed(path: Path, content: bytes, record: Record, key: bytes) -> dict[str, Any]:
    """Write a file and then its record, both whole or not at all; return the record with digest, size and signature.

    Raises:
        MissingError: the disk is full.
        UsageError: the place cannot be written.
    """
    _write_private(path, content)
    return _sign(path, content, record, key)


def read_signed(path: Path, wanted: Record, key: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return a file's content and its record; what is returned is what was checked.

    Raises:
        FileNotFoundError: there is neither.
        UntrustedError: it breaks the rule, or its record does not say what is ``wanted``.
    """
    if not os.path.lexists(path) and not os.path.lexists(record_path(path)):
        raise FileNotFoundError(path)
    for folder in (path.parent, path.parent.parent):
        _check_owner(folder, folder.lstat(), stat.S_ISDIR)
    record = _record(record_path(path), key)
    for name, value in {**wanted, "file": path.name}.items():
        if record.get(name) != value:
            raise UntrustedError(f"is of another {name.replace('_', ' ')} ({record.get(name)}, not {value})")
    content = _read_own(path)
    if len(content) != record["size_bytes"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise UntrustedError("was altered since it was built")
    return content, record


def record_path(path: Path) -> Path:
    """Return where the record of a file is."""
    return path.with_name(path.name + _RECORD)


def rejection_message(path: Path, reason: UntrustedError) -> str:
    """Return the line about a file that breaks the rule."""
    return f"{path}: not loaded, it {reason}; it is built again"


def _refuse_open(bundle: Path) -> None:
    mode = bundle.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise UsageError(f"{bundle}: everybody can write there, and engines are code", "chmod o-w it, or copy it")


def _restrict_access(folder: Path, mode: int) -> bool:
    """Make a folder, or take what others can do to it from them; say whether they could write.

    Raises:
        UsageError: it is another user's, or a link.
    """
    folder.mkdir(mode=mode, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        what = "belongs to somebody else" if stat.S_ISDIR(state.st_mode) else "is a link"
        raise UsageError(f"{folder}: it {what}, and engines are code", "remove it: it is made again, for you alone")
    folder.chmod(stat.S_IMODE(state.st_mode) & mode | stat.S_IRWXU)
    return bool(state.st_mode & _OTHERS_WRITE)


def _empty(folder: Path, say: Say) -> None:
    found = [path for path in folder.iterdir() if path.name != _LOCK]
    if found:
        say(f"{folder}: nothing in it is loaded, it could be written by others; it is built again")
    for path in found:
        _remove(path)


def _remove_untrusted(folder: Path, wanted: Record, key: bytes, say: Say) -> None:
    for path in _files(folder):
        try:
            read_signed(path, wanted, key)
        except UntrustedError as reason:
            say(rejection_message(path, reason))
            _remove(path)
    for path in folder.glob(f"*{_RECORD}"):
        if not os.path.lexists(path.with_suffix("")):
            _remove(path)


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder, without records and the lock."""
    return sorted(path for path in folder.iterdir() if path.suffix != _RECORD and path.name != _LOCK)


def _version_of(path: Path) -> tuple[int, int, int]:
    """Return what differs once a file was written anew."""
    state = path.lstat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_private(path: Path, content: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_bytes(content)


def _sign(path: Path, content: bytes, record: Record, key: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    full = {**record, "file": path.name, "sha256": digest, "size_bytes": len(content)}
    signed = {**full, _SIGNATURE: _signature(full, key)}
    _write_private(record_path(path), json.dumps(signed, indent=1).encode())
    return signed


def _record(path: Path, key: bytes) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise UntrustedError(f"is not signed ({path.name} cannot be read), as after a build that was cut short")
    try:
        record = json.loads(_read_own(path))
        found = record.pop(_SIGNATURE)
        signature = _signature(record, key)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UntrustedError("has no readable record") from None
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), signature.encode()):
        raise UntrustedError("was not built by this user on this machine (its signature does not hold)")
    return {**record, _SIGNATURE: found}


def _signature(record: Record, key: bytes) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _read_own(path: Path, *, repair: bool = False) -> bytes:
    """Return the content of a file of this user's that nobody else can write, and that is no link.

    Args:
        path: the file.
        mend: take from others what they can do to it, where the file's mode comes from whoever wrote it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UntrustedError(f"cannot be read ({path.name}: {error.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        if repair and os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, 0o600)
        _check_owner(path, os.fstat(descriptor), stat.S_ISREG)
        return file.read()


def _check_owner(path: Path, state: os.stat_result, kind: Callable[[int], bool]) -> None:
    if not kind(state.st_mode):
        raise UntrustedError(f"is a link, or no {'folder' if kind is stat.S_ISDIR else 'file'} ({path.name})")
    if state.st_uid != os.getuid():
        raise UntrustedError(f"belongs to somebody else ({path.name})")
    if state.st_mode & _OTHERS_WRITE:
        raise UntrustedError(f"can be written by others ({path.name})")
