"""Accept plans that were built elsewhere: say what they are, then sign them with this user's key.

A plan is executable code. Its record states what it was built from and for, but anyone can write a record, so only the
user can decide whether to trust its origin; comparing the SHA-256 with the builder's is the safest way. Plans that
vbench would not load anyway are refused.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from ....errors import BundleError, UsageError
from ....files import disk_error
from ....json_file import parse_json
from ...bundle.bundle import open_bundle
from ..install_hint import installed_version
from ..trusted_files import (
    MAX_RECORD_BYTES,
    PLANS,
    SIGNATURE,
    UntrustedError,
    check_owner_of_folders,
    read_own,
    read_signed,
    record_path,
    restrict_access,
    sign,
)
from ..user_key import local_key
from .flavor import FLAVORS
from .plan_cache import mismatch

_SUFFIX = ".plan"
_TEXTS = ("file", "part", "network", "flavor", "tensorrt", "compute_capability", "precision", "onnx_sha256", "sha256")
_MAX_TEXT = 200
_AGAIN = "copy the plan and its .json record again from where it was built"


class ForeignPlan(NamedTuple):
    """A plan, its record as its builder wrote it, and whether this user has signed it already."""

    path: Path
    record: dict[str, Any]
    trusted: bool


def find_plans(path: Path) -> list[Path]:
    """Return the plan itself, or the plans in a bundle, in its ``plans`` folder, or in one folder of plans.

    Raises:
        UsageError: there is no plan.
    """
    path = path.absolute()  # unlike resolve(), keeps links, which are refused
    if path.suffix == _SUFFIX and os.path.lexists(path):
        return [path]
    patterns = (f"{PLANS}/*/*{_SUFFIX}", f"*/*{_SUFFIX}", f"*{_SUFFIX}")
    for pattern in patterns:
        found = sorted(path.glob(pattern))
        if found:
            return found
    what = "contains no plan that you can read" if path.is_dir() else "is not a plan, or does not exist"
    raise UsageError(f"{path} {what}", "name a .plan file, or a bundle that contains plans")


def read_foreign(path: Path) -> ForeignPlan:
    """Read a plan and its record, without loading the plan.

    Raises:
        UsageError: the plan or its record is missing, unreadable, inconsistent, or not this user's; or vbench would not
            load the plan, because it is not where it belongs, or was built from or for something else.
    """
    if path.parent.parent.name != PLANS:
        raise UsageError(
            f"{path} is not in a bundle's {PLANS} folder, where vbench would look for it",
            f"copy the folder {PLANS} of the bundle that was built, with its subfolders",
        )
    try:
        check_owner_of_folders(path)
        record = _parse_record(record_path(path), read_own(record_path(path), MAX_RECORD_BYTES, accept_writable=True))
        content = read_own(path, record["size_bytes"], accept_writable=True)
    except UntrustedError as error:
        raise UsageError(
            f"{path} {error}", "copy the bundle again as this user, with its plans and their .json records"
        ) from None
    if [record["file"], record["sha256"]] != [path.name, hashlib.sha256(content).hexdigest()]:
        raise UsageError(f"{path} is not the file that {record_path(path).name} describes", _AGAIN)
    _check_version(path, record)
    _check_bundle(path, record)
    return ForeignPlan(path, {name: value for name, value in record.items() if name != SIGNATURE}, _is_trusted(path))


def trust(plan: ForeignPlan) -> None:
    """Sign a plan with this user's key, and remove other users' permissions from it and its folders.

    Raises:
        UsageError: the plan has changed since it was read, or cannot be signed.
        MissingError: the disk is full.
    """
    path = plan.path
    try:
        restrict_access(path.parent.parent, 0o755)
        restrict_access(path.parent, 0o700)
        content = read_own(path, plan.record["size_bytes"], repair=True)
        if hashlib.sha256(content).hexdigest() != plan.record["sha256"]:
            raise UsageError(f"{path} has changed since it was shown", "run vbench trust again")
        sign(path, content, plan.record, local_key())
    except UntrustedError as error:
        raise UsageError(f"{path} {error}", "run vbench trust again") from None
    except OSError as error:
        raise disk_error(path, error) from None


def _parse_record(path: Path, text: bytes) -> dict[str, Any]:
    try:
        record = parse_json(text)
        known = all(isinstance(record[name], str) and len(record[name]) <= _MAX_TEXT for name in _TEXTS)
        counts = [record["size_bytes"], *record["profile"], *record["layers"].values()]
        known = known and len(record["profile"]) == 3 and all(type(count) is int and count >= 0 for count in counts)
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise UsageError(f"{path} is not the record of a plan", _AGAIN)
    return dict(record)


def _check_version(path: Path, record: dict[str, Any]) -> None:
    """Check that the installed version can load the plan: a library loads only plans of its own version."""
    flavor = FLAVORS.get(record["flavor"])
    if flavor is None:
        raise UsageError(f"{path} was built by another version of vbench", "build it again with this version")
    installed = installed_version(flavor.package)
    if installed is not None and installed != record["tensorrt"]:
        raise UsageError(
            f"{path} was built by {flavor.title} {record['tensorrt']}, but version {installed} is installed, which "
            "cannot load it",
            "build it with the installed version, or install the one that built it",
        )


def _check_bundle(path: Path, record: dict[str, Any]) -> None:
    """Check that the plan is one that vbench would look for in its bundle."""
    folder = path.parents[2]
    try:
        why = mismatch(open_bundle(folder), path, record)
    except BundleError as error:
        raise UsageError(f"{path} is not in a bundle: {error.message}", _AGAIN) from None
    if why:
        raise UsageError(f"{path} does not belong to {folder}: {why}", "build the plans from this bundle")


def _is_trusted(path: Path) -> bool:
    try:
        read_signed(path, {}, local_key())
    except (UntrustedError, FileNotFoundError):
        return False
    return True
