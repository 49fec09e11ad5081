"""One-line errors for missing optional packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import MissingError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Convert a failed import inside the block to a MissingError that names the extra to install."""
    from ...runtime.engines.install_hint import install, installed_version, missing_package, reinstall

    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_package(str(error.name).partition(".")[0], extra) from None
    except ImportError as error:
        package = (error.name or "").partition(".")[0]  # an import name, which may differ from pip's
        hint = reinstall(package) if installed_version(package) else install(extra)
        raise MissingError(f"{package or 'a package'} is installed but does not load ({error})", hint) from None
