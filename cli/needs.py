"""Optional packages: a command that needs one says so in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a failing import inside the block into a MissingError that names the extra to install."""
    from ..runtime.packages import install_again, missing_package

    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_package(str(error.name).partition(".")[0], extra) from None
    except ImportError as error:
        package = str(error.name or "a package").partition(".")[0]
        raise MissingError(f"{package} is installed but does not load ({error})", install_again(package)) from None
