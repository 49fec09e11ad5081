"""Files that only this user may have made, since they are code: each with a signed record beside it.

A digest that lies beside a file says nothing about where both came from. So the record carries an HMAC with a key that
never leaves the user's own folder, and files that others can write are not looked at. Whatever does not hold makes a
file as good as absent; it is made again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from ....errors import UsageError
from ....files import disk_error, whole_file

Record = Mapping[str, Any]
_KEY_BYTES = 32
_SIGNATURE = "hmac_sha256"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A file that is not to be used; its text says why."""


def config_folder() -> Path:
    """Return the folder of the user's own settings: ``$VBENCH_HOME``, else ``vbench`` in ``$XDG_CONFIG_HOME``."""
    home = os.environ.get("VBENCH_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vbench"


def local_key() -> bytes:
    """Return this user's key, which is made when it is first asked for.

    Raises:
        UsageError: it cannot be written, or others can read it.
        MissingError: the disk is full.
    """
    path = config_folder() / "plans.key"
    try:
        if not path.exists():
            _make_key(path)
        state = path.stat()
        if state.st_uid != os.getuid() or state.st_mode & 0o077 or state.st_size != _KEY_BYTES:
            raise UsageError(f"{path}: a key that others could know", "remove it: a new one is made, and new plans")
        return path.read_bytes()
    except OSError as error:
        raise disk_error(path, error) from None


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_private(path) as temporary:
        temporary.write_bytes(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):  # another process was quicker: its key it is
            os.link(temporary, path)


@contextmanager
def whole_private(path: Path) -> Iterator[Path]:
    """Give an empty temporary file beside ``path`` that only the user can read, and remove it at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_signed(path: Path, content: bytes, record: Record, key: bytes) -> dict[str, Any]:
    """Write a file and then its record, both whole or not at all; return the record with digest, size and signature.

    Raises:
        MissingError: the disk is full.
        UsageError: the place cannot be written.
    """
    full = {**record, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    signed = {**full, _SIGNATURE: _signature(full, key)}
    for target, data in ((path, content), (record_path(path), json.dumps(signed, indent=1).encode())):
        with whole_file(target) as temporary:
            temporary.touch(mode=0o600)
            temporary.chmod(0o600)
            temporary.write_bytes(data)
    return signed


def read_signed(path: Path, wanted: Record, key: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return a file's content and its record; what is returned is what was checked.

    Raises:
        FileNotFoundError: there is neither.
        UntrustedError: one is not of this user alone, or the record does not hold, or not say what is ``wanted``.
    """
    if not path.exists() and not record_path(path).exists():
        raise FileNotFoundError(path)
    for folder in (path.parent, path.parent.parent):
        _check_owner(folder, folder.stat())
    record = _record(record_path(path), key)
    for name, value in wanted.items():
        if record.get(name) != value:
            raise UntrustedError(f"is of another {name.replace('_', ' ')} ({record.get(name)}, not {value})")
    content = _own(path)
    if len(content) != record["size_bytes"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise UntrustedError("was altered since it was built")
    return content, record


def record_path(path: Path) -> Path:
    """Return where the record of a file is."""
    return path.with_name(path.name + ".json")


def _record(path: Path, key: bytes) -> dict[str, Any]:
    try:
        record = json.loads(_own(path))
        found = record.pop(_SIGNATURE)
        signature = _signature(record, key)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UntrustedError("has no readable record") from None
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), signature.encode()):
        raise UntrustedError("was not built by this user on this machine (its signature does not hold)")
    return {**record, _SIGNATURE: found}


def _own(path: Path) -> bytes:
    """Return the content of a file of this user's that nobody else can write, and that is no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UntrustedError(f"cannot be read ({path.name}: {error.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise UntrustedError(f"is no file ({path.name})")
        _check_owner(path, state)
        return file.read()


def _check_owner(path: Path, state: os.stat_result) -> None:
    if state.st_uid != os.getuid():
        raise UntrustedError(f"belongs to somebody else ({path.name})")
    if state.st_mode & _OTHERS_WRITE:
        raise UntrustedError(f"can be written by others ({path.name})")


def _signature(record: Record, key: bytes) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for whoever has it; the system takes it back when a process ends."""
    with path.open("a") as file:
        flock(file, LOCK_EX)
        yield
