"""HMAC-signed files: load compiled engines only if this user built them on this machine, or has accepted them here.

TensorRT plans and the engines of ONNX Runtime's TensorRT provider are executable code. They are stored in the bundle,
in ``plans/``, with one folder for each combination of build inputs. Two conditions apply to all of them:

- Each file has a record next to it with its build inputs, its digest and an HMAC computed with the user's own
  key (see `user_key`): a digest alone proves nothing about the origin of a file.
- The file and its record belong to this user and are not symbolic links, and no other user can write to them, to
  their folder or to ``plans``.

A file that violates either condition is untrusted and never loaded: it is treated as missing and rebuilt. ``vbench
trust`` signs a plan that was built elsewhere, after the user has confirmed it. Excessive permissions are removed; a
folder that belongs to another user, or a link in place of a folder, is an error. Each folder has one lock, since
concurrent builds would distort each other's kernel timings.
"""

from __future__ import annotations

import errno
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
from ...json_file import parse_json
from .user_key import local_key

Record = Mapping[str, Any]
Say = Callable[[str], None]
PLANS, _LOCK, _RECORD = "plans", ".lock", ".json"
SIGNATURE = "hmac_sha256"
MAX_RECORD_BYTES = 1 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """Raised for a file that is not trusted; the message is the reason, as a predicate whose subject is the file."""


class ForeignError(UntrustedError):
    """Raised for a file that another user or machine has signed, or nobody."""


def engine_folder(bundle: Path, *names: str) -> Path:
    """Return the folder for the bundle's engines that were built from the build inputs ``names``."""
    return bundle.resolve() / PLANS / "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", name) for name in names)


@contextmanager
def locked_folder(folder: Path, say: Say) -> Iterator[None]:
    """Create an engine folder that only this user can access, and hold its lock, waiting for it if necessary.

    If other users had write access, the contents of the folder are deleted. The operating system releases the lock if
    the process dies.

    Raises:
        UsageError: the folder belongs to another user, is a link, or is not writable.
        MissingError: the disk is full.
    """
    try:
        was_open = [restrict_access(folder.parent, 0o755), restrict_access(folder, 0o700)]
        if any(was_open):
            _clear_folder(folder, say)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        hint = "copy the bundle to a folder that you own"
        raise UsageError(f"cannot write plans to {folder}: {error.strerror}", hint) from None
    except OSError as error:
        raise disk_error(folder, error) from None
    with os.fdopen(lock) as file:
        flock(file, LOCK_EX)
        yield


@contextmanager
def signed_folder(folder: Path, record: Record, say: Say) -> Iterator[None]:
    """Hold the lock of a folder in which another library stores engines, and sign the files that the library adds.

    On entry, files that are untrusted, or whose record differs from ``record``, are deleted. On exit, new and changed
    files are signed, unless an error occurred.

    Raises:
        UsageError: the folder belongs to another user, is a link, or is not writable; or other users could replace
            it before the library reads it.
        MissingError: the disk is full.
    """
    key = local_key()
    _check_not_world_writable(folder.parent.parent)
    with locked_folder(folder, say):
        _remove_untrusted(folder, record, key, say)
        before = {path: _version_of(path) for path in _files(folder)}
        yield
        for path in _files(folder):
            if before.get(path) != _version_of(path):
                with suppress(UntrustedError):  # the file stays unsigned and will be deleted next time
                    sign(path, read_own(path, repair=True), record, key)


def write_signed(path: Path, content: bytes, record: Record, key: bytes) -> dict[str, Any]:
    """Write a file and then its record, each atomically; return the record, including digest, size and signature.

    Raises:
        MissingError: the disk is full.
        UsageError: the folder is not writable.
    """
    _write_private(path, content)
    return sign(path, content, record, key)


def read_signed(path: Path, wanted: Record, key: bytes) -> tuple[bytes, dict[str, Any]]:
    """Verify a signed file and return its contents and its record.

    Raises:
        FileNotFoundError: neither the file nor its record exists.
        UntrustedError: the file is untrusted, or its record differs from ``wanted``.
    """
    if not os.path.lexists(path) and not os.path.lexists(record_path(path)):
        raise FileNotFoundError(path)
    check_owner_of_folders(path, accept_writable=False)
    record = _record(record_path(path), key)
    for name, value in {**wanted, "file": path.name}.items():
        if record.get(name) != value:
            raise UntrustedError(f"has a different {name.replace('_', ' ')} ({record.get(name)}, not {value})")
    content = read_own(path, record["size_bytes"])
    if len(content) != record["size_bytes"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise UntrustedError("has been altered since it was built")
    return content, record


def check_owner_of_folders(path: Path, *, accept_writable: bool = True) -> None:
    """Raise UntrustedError if the folder of a file or the one above it is a link, or is not this user's."""
    for folder in (path.parent, path.parent.parent):
        _check_owner(folder, folder.lstat(), stat.S_ISDIR, accept_writable=accept_writable)


def record_path(path: Path) -> Path:
    """Return the path of a file's record."""
    return path.with_name(path.name + _RECORD)


def rejection_message(path: Path, reason: UntrustedError) -> str:
    """Return the message about an untrusted file."""
    return f"{path} will be rebuilt, not loaded: it {reason}"


def _check_not_world_writable(bundle: Path) -> None:
    mode = bundle.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise UsageError(
            f"{bundle} is writable by everyone, but it holds engines, which are executable code",
            "remove the permission with chmod o-w, or copy the folder",
        )


def restrict_access(folder: Path, mode: int) -> bool:
    """Create a folder or, if it exists, remove other users' permissions; return whether they had write access.

    Raises:
        UsageError: the folder belongs to another user or is a link.
    """
    folder.mkdir(mode=mode, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        what = "belongs to another user" if stat.S_ISDIR(state.st_mode) else "is a link"
        raise UsageError(
            f"{folder} {what}, but it holds engines, which are executable code",
            "delete it: vbench will create it again, accessible only to you",
        )
    folder.chmod(stat.S_IMODE(state.st_mode) & mode | stat.S_IRWXU)
    return bool(state.st_mode & _OTHERS_WRITE)


def _clear_folder(folder: Path, say: Say) -> None:
    found = [path for path in folder.iterdir() if path.name != _LOCK]
    if found:
        say(f"{folder} was writable by other users: its contents will be rebuilt, not loaded")
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
    """Return the files in a folder, except records and the lock."""
    return sorted(path for path in folder.iterdir() if path.suffix != _RECORD and path.name != _LOCK)


def _version_of(path: Path) -> tuple[int, int, int]:
    """Return a value that changes whenever the file is rewritten."""
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


def sign(path: Path, content: bytes, record: Record, key: bytes) -> dict[str, Any]:
    """Write the signed record of a file with this content, and return the record."""
    digest = hashlib.sha256(content).hexdigest()
    full = {**record, "file": path.name, "sha256": digest, "size_bytes": len(content)}
    signed = {**full, SIGNATURE: _signature(full, key)}
    _write_private(record_path(path), json.dumps(signed, indent=1).encode())
    return signed


def _record(path: Path, key: bytes) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise UntrustedError(f"is not signed ({path.name} is missing), perhaps because a build was interrupted")
    try:
        record = parse_json(read_own(path, MAX_RECORD_BYTES))
        found = record.pop(SIGNATURE)
        signature = _signature(record, key)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UntrustedError("has no readable record") from None
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), signature.encode()):
        raise ForeignError("was not built by this user on this machine (its signature is invalid)")
    return {**record, SIGNATURE: found}


def _signature(record: Record, key: bytes) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def read_own(path: Path, max_bytes: int | None = None, *, repair: bool = False, accept_writable: bool = False) -> bytes:
    """Return the contents of a file, which must belong to this user, be writable by no one else, and not be a link.

    Args:
        path: the file.
        max_bytes: largest size that is read.
        repair: whether to remove other users' permissions first, for files whose mode was set by another library.
        accept_writable: whether other users may write to the file, which then must not be loaded.

    Raises:
        UntrustedError: the file violates one of the conditions.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UntrustedError(f"cannot be read ({path.name}: {_cause(error)})") from None
    try:
        state = os.fstat(descriptor)
        if repair and state.st_uid == os.getuid() and stat.S_ISREG(state.st_mode):
            os.fchmod(descriptor, 0o600)
        _check_owner(path, os.fstat(descriptor), stat.S_ISREG, accept_writable=accept_writable)
        if max_bytes is not None and state.st_size > max_bytes:
            raise UntrustedError(f"has been altered since it was built ({path.name} has {state.st_size} bytes)")
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _cause(error: OSError) -> str:
    return "it is a link" if error.errno == errno.ELOOP else str(error.strerror)


def _check_owner(
    path: Path, state: os.stat_result, kind: Callable[[int], bool], *, accept_writable: bool = False
) -> None:
    if not kind(state.st_mode):
        raise UntrustedError(f"is a link, or not a {'folder' if kind is stat.S_ISDIR else 'file'} ({path.name})")
    if state.st_uid != os.getuid():
        raise UntrustedError(f"belongs to another user ({path.name})")
    if state.st_mode & _OTHERS_WRITE and not accept_writable:
        raise UntrustedError(f"is writable by other users ({path.name})")
