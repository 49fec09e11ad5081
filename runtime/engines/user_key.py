"""The key that signs this user's compiled engines; it never leaves the user's own folder."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import UsageError
from ...files import disk_error

_KEY_BYTES = 32


def config_folder() -> Path:
    """Return the user's configuration folder: ``$VBENCH_HOME``, or else ``vbench`` in ``$XDG_CONFIG_HOME``."""
    home = os.environ.get("VBENCH_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vbench"


def local_key() -> bytes:
    """Return this user's key, creating it on first use.

    Raises:
        UsageError: the key cannot be written, or other users may know it.
        MissingError: the disk is full.
    """
    path = config_folder() / "plans.key"
    try:
        if not path.exists():
            _make_key(path)
        state = path.stat()
        others = state.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        if state.st_uid != os.getuid() or others or state.st_size != _KEY_BYTES:
            hint = "remove it: vbench will create a new key and new plans"
            raise UsageError(f"{path} is a key that other users may know", hint)
        return path.read_bytes()
    except OSError as error:
        raise disk_error(path, error) from None


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _private_file(path) as temporary:
        temporary.write_bytes(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):  # another process was faster: its key is used
            os.link(temporary, path)


@contextmanager
def _private_file(path: Path) -> Iterator[Path]:
    """Create an empty temporary file next to ``path`` that only the user can read, and remove it afterward."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
