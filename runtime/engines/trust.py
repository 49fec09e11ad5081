"""Accept compiled engines that were built elsewhere: say what they are, then sign them with this user's key.

A compiled engine is executable code. Its record states what it was built from and for, but anyone can write a record,
so only the user can decide whether to trust its origin; comparing the SHA-256 with the builder's is the safest way.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UsageError
from ...files import disk_error
from ...json_file import parse_json
from .install_hint import installed_version
from .trusted_files import PLANS, SIGNATURE, UntrustedError, read_own, read_signed, record_path, restrict_access, sign
from .user_key import local_key

_SUFFIX = ".plan"
_DIGEST_FIELDS = ("file", "sha256", "size_bytes")
_TEXTS = ("part", "network", "flavor", "tensorrt", "compute_capability", "precision", "onnx_sha256")


class ForeignEngine(NamedTuple):
    """A compiled engine, its record as its builder wrote it, and whether this user has signed it already."""

    path: Path
    record: dict[str, Any]
    trusted: bool


def find_engines(path: Path) -> list[Path]:
    """Return the plan itself, or the plans in a bundle, in its ``plans`` folder, or in one folder of plans.

    Raises:
        UsageError: there is no plan.
    """
    if path.is_file():
        return [path]
    patterns = (f"{PLANS}/*/*{_SUFFIX}", f"*/*{_SUFFIX}", f"*{_SUFFIX}")
    for pattern in patterns:
        found = sorted(path.glob(pattern))
        if found:
            return found
    what = "contains no plan" if path.is_dir() else "does not exist"
    raise UsageError(f"{path} {what}", "name a .plan file, or a bundle that contains plans")


def read_foreign(path: Path) -> ForeignEngine:
    """Read an engine and its record, without loading the engine.

    Raises:
        UsageError: the file or its record is missing, unreadable, inconsistent, not in a bundle, or not this user's.
    """
    _check_place(path)
    try:
        content, text = read_own(path, accept_writable=True), read_own(record_path(path), accept_writable=True)
    except UntrustedError as error:
        raise UsageError(f"{path} {error}", "copy the plan and its .json record to a folder that you own") from None
    record = _parse_record(record_path(path), text)
    stated = [record[name] for name in _DIGEST_FIELDS]
    if stated != [path.name, hashlib.sha256(content).hexdigest(), len(content)]:
        raise UsageError(
            f"{path} is not the file that {record_path(path).name} describes",
            "copy both again from where the plan was built",
        )
    _check_version(path, record)
    return ForeignEngine(path, {name: value for name, value in record.items() if name != SIGNATURE}, _is_trusted(path))


def trust(engine: ForeignEngine) -> None:
    """Sign an engine with this user's key, and remove other users' permissions from it and its folders.

    Raises:
        UsageError: the file has changed since it was read, or cannot be signed.
        MissingError: the disk is full.
    """
    try:
        restrict_access(engine.path.parent.parent, 0o755)
        restrict_access(engine.path.parent, 0o700)
        content = read_own(engine.path, repair=True)
        if hashlib.sha256(content).hexdigest() != engine.record["sha256"]:
            raise UsageError(f"{engine.path} has changed since it was shown", "run vbench trust again")
        sign(engine.path, content, engine.record, local_key())
    except UntrustedError as error:
        raise UsageError(f"{engine.path} {error}", "copy the plan to a folder that you own") from None
    except OSError as error:
        raise disk_error(engine.path, error) from None


def _parse_record(path: Path, text: bytes) -> dict[str, Any]:
    try:
        record = parse_json(text)
        known = all(name in record for name in _DIGEST_FIELDS)
        known = known and all(isinstance(record[name], str) for name in _TEXTS)
        known = known and bool(record["profile"]) and all(isinstance(rows, int) for rows in record["profile"])
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UsageError(f"{path} is not the record of a plan", "copy it again from where the plan was built")
    return dict(record)


def _check_place(path: Path) -> None:
    """Check that the plan is where an engine would look for it."""
    if path.suffix != _SUFFIX:
        raise UsageError(f"{path} is not a plan", "name a .plan file, or a bundle that contains plans")
    if path.parent.parent.name != PLANS:
        raise UsageError(
            f"{path} is not in a bundle's {PLANS} folder, where an engine would look for it",
            f"copy the folder {PLANS} of the bundle that was built, with its subfolders",
        )


def _check_version(path: Path, record: dict[str, Any]) -> None:
    """Check that the installed version can load the plan; TensorRT loads only plans of its own version."""
    from .trt.flavor import FLAVORS

    flavor = FLAVORS.get(str(record.get("flavor")))
    if flavor is None:
        raise UsageError(f"{path} was built by another version of vbench", "build it again with this version")
    installed = installed_version(flavor.package)
    if installed is not None and installed != record.get("tensorrt"):
        raise UsageError(
            f"{path} was built by {flavor.title} {record.get('tensorrt')}, but version {installed} is installed, which "
            "cannot load it",
            "build it with the installed version, or install the one that built it",
        )


def _is_trusted(path: Path) -> bool:
    try:
        read_signed(path, {}, local_key())
    except (UntrustedError, FileNotFoundError):
        return False
    return True
