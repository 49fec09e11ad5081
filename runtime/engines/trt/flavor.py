"""The two flavors of TensorRT, and everything in which they differ.

TensorRT times kernels on the GPU that it builds for, so a plan belongs to one GPU model and is built on it.
TensorRT-RTX compiles kernels on the GPU when a plan first runs; its plans are built for a compute capability, on any
machine, even one without a GPU. Otherwise, both have the same API. The differences below were determined from the
bindings of TensorRT-RTX 1.7.1, and those of the execution side of TensorRT 10.16 and 11.4:

- TensorRT-RTX has ``ComputeCapability`` and ``IBuilderConfig.set_compute_capability``; without them, it builds for a
  default set of capabilities.
- Its timing cache has no effect and is deprecated, since no kernels are timed.
- Its plans contain no kernels to inspect, so the precision of a layer is that in the network definition, which is
  always strongly typed.
- ``Runtime.get_engine_validity`` says why a GPU cannot run a plan.
- Its enum has no Hopper and no data-center Blackwell, and on Turing it rejects float32 matrix products, which every
  classifier and gate contains.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ....errors import CheckError, MissingError, UsageError
from ..install_hint import install, installed_version, missing_package, reinstall

_NO_FLOAT32_PRODUCTS = "75"
_CAPABILITY = re.compile(r"(?:sm_?)?([0-9]{1,2})\.?([0-9])")


@dataclass(frozen=True)
class Flavor:
    """A TensorRT library.

    Attributes:
        name: name in folders and records, and of the engine that requests this flavor.
        title: name in messages.
        module: module that holds the bindings.
        package: package that contains the module.
        builds_ahead: whether plans are built for a compute capability rather than for the GPU of this machine.
    """

    name: str
    title: str
    module: str
    package: str
    builds_ahead: bool

    @property
    def is_installed(self) -> bool:
        """Whether the package is installed, even if its libraries cannot be loaded."""
        try:
            return find_spec(self.module) is not None
        except ValueError:  # already imported by something that is not an import system
            return True

    def bindings(self) -> Any:
        """Return the module with the bindings.

        Raises:
            MissingError: the package is not installed, or its libraries cannot be loaded.
        """
        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == self.module:
                raise missing_package(self.package, self.name) from None
            raise self._load_error(error) from None
        except OSError as error:  # a library that TensorRT itself loads is missing
            raise self._load_error(error) from None

    def check_capability(self, trt: Any, sm: str) -> None:
        """Raise an error if the flavor cannot build for a compute capability, such as ``89``.

        Raises:
            MissingError: it cannot.
        """
        if not self.builds_ahead:
            return
        supported = capability_names(trt)
        if sm in supported:
            return
        why = ", where it rejects float32 matrix products" if sm == _NO_FLOAT32_PRODUCTS else ""
        listed = ", ".join(f"sm_{name}" for name in supported)
        raise MissingError(
            f"{self.title} {trt.__version__} does not support sm_{sm}{why}",
            f"choose one of {listed}, or use TensorRT on a machine with that GPU ({install(TENSORRT.name)})",
        )

    def set_target(self, trt: Any, config: Any, sm: str) -> None:
        """Build for a compute capability if the flavor builds ahead.

        Raises:
            CheckError: the library rejects the capability.
        """
        if self.builds_ahead:
            config.num_compute_capabilities = 1
            if not config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{sm}"), 0):
                raise CheckError(f"{self.title} rejects the compute capability sm_{sm}", "report this as a vbench bug")

    def invalidity(self, trt: Any, runtime: Any, plan: bytes) -> str:
        """Return why this machine's GPU cannot run a plan, in the library's terms; "" if it does not say."""
        if not self.builds_ahead:
            return ""
        _, found = runtime.get_engine_validity(plan[: runtime.engine_header_size])
        reasons = trt.EngineInvalidityDiagnostics.__members__.items()
        return ", ".join(name for name, bit in reasons if int(found) & int(bit))

    def _load_error(self, error: Exception) -> MissingError:
        reason = " ".join(str(error).split())
        return MissingError(
            f"{self.package} is installed but cannot be loaded ({reason})",
            reinstall(self.package),
        )


TENSORRT = Flavor("trt", "TensorRT", "tensorrt", "tensorrt", builds_ahead=False)
TENSORRT_RTX = Flavor(
    "trt-rtx", "TensorRT-RTX", "tensorrt_rtx_bindings", "tensorrt-rtx-cu13-bindings", builds_ahead=True
)
FLAVORS = {flavor.name: flavor for flavor in (TENSORRT, TENSORRT_RTX)}


def default_flavor(say: Callable[[str], None]) -> Flavor:
    """Return TensorRT or, if only TensorRT-RTX is installed, TensorRT-RTX, and say so."""
    if TENSORRT.is_installed or not TENSORRT_RTX.is_installed:
        return TENSORRT
    say(f"TensorRT is not installed: using TensorRT-RTX {installed_version(TENSORRT_RTX.package) or ''}".rstrip())
    return TENSORRT_RTX


def capability_names(trt: Any) -> tuple[str, ...]:
    """Return the compute capabilities that TensorRT-RTX can build vbench's parts for, such as ``89``, in order."""
    names = (name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
    return tuple(sorted((name for name in names if name != _NO_FLOAT32_PRODUCTS), key=int))


def parse_capabilities(text: str) -> tuple[str, ...]:
    """Parse compute capabilities separated by commas: ``sm_86,sm_89`` or ``86,89`` yields ``("86", "89")``.

    Raises:
        UsageError: the text is not a list of compute capabilities.
    """
    found = [_CAPABILITY.fullmatch(item.strip().lower()) for item in text.split(",")]
    if not all(found):
        raise UsageError(f"--for-gpu {text!r} is not a compute capability", "write sm_89, or several: sm_86,sm_89")
    return tuple(dict.fromkeys(match[1] + match[2] for match in found if match))
