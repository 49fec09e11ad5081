"""Write ``model.py`` and ``vbench.zip``: the code of a served model, which is vbench's own runtime.

The server's Python does not have vbench installed, so the repository carries it. The archive holds the runtime, the
modules in the package's root and the serving code; its bytes depend on nothing but these files.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

ARCHIVE = "vbench.zip"
MODEL = "model.py"
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("runtime", "export/triton/served")
_MARKERS = ("export/__init__.py", "export/triton/__init__.py")
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can express
_MODEL = '''\
"""{title}. Written by vbench package; the code is in {archive}."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_name("{archive}")))
try:
    from vbench.export.triton.served.{module} import TritonPythonModel
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] == "vbench":
        raise ImportError("{archive} is missing or damaged; write the repository again with vbench package") from None
    problem = f"the server's Python lacks the package {{error.name}}; run: pip install {requirements}"
    raise ImportError(problem) from None
'''
_NUMPY, _PYDANTIC = '"numpy<2"', '"pydantic>=2.9"'
_REQUIREMENTS: Final = {"model": (_NUMPY, _PYDANTIC), "part_runner": (_NUMPY, '"onnxruntime==1.23.2"')}
_TITLES: Final = {"model": "The network, which calls its parts", "part_runner": "One part of the network"}


def model_source(module: Literal["model", "part_runner"]) -> str:
    """Return a ``model.py`` that serves with a module of ``export/triton/served``."""
    packages = requirements(module).replace('"', "'")
    return _MODEL.format(title=_TITLES[module], archive=ARCHIVE, module=module, requirements=packages)


def requirements(*modules: str) -> str:
    """Return the packages that modules of ``export/triton/served`` need, as arguments of pip."""
    return " ".join(dict.fromkeys(package for module in modules for package in _REQUIREMENTS[module]))


def write_archive(path: Path) -> None:
    """Write ``vbench.zip``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(_sources()):
            entry = zipfile.ZipInfo(f"vbench/{source.relative_to(_ROOT).as_posix()}", _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, source.read_bytes())


def _sources() -> Iterator[Path]:
    yield from _ROOT.glob("*.py")
    yield from (_ROOT / marker for marker in _MARKERS)
    for package in _PACKAGES:
        yield from (_ROOT / package).rglob("*.py")
