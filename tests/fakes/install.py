"""Install the fakes where ``import`` finds them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from .api import MODULES
from .driver import make_driver
from .graphs import make_runtime
from .machine import Machine
from .misuse import Misuse
from .tensorrt import make_tensorrt

NO_DRIVER = "libcuda.so.1: cannot open shared object file: No such file or directory"
_NO_LIBRARY = "{}: cannot open shared object file: No such file or directory"
_LIBRARIES = {"10": "libnvinfer.so.10", "11": "libnvinfer.so.11", "rtx": "libtensorrt_rtx.so.1"}
# TensorRT-RTX is for other GPUs than TensorRT: it has no kernels for data centers.
_GPUS = {"rtx": ("NVIDIA GeForce RTX 4090", (8, 9), 24 << 30)}
_DATA_CENTER = ("NVIDIA H200", (9, 0), 139 << 30)
_ROOTS = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "pycuda", "cuda")  # hidden if they are installed


def install(
    monkeypatch: pytest.MonkeyPatch,
    flavor: str,
    *,
    version: str | None = None,
    gpu: str | None = None,
    sm: tuple[int, int] | None = None,
    memory: int | None = None,
    graphs: bool = True,
) -> Machine:
    """Replace TensorRT, ``pycuda`` and ``cuda.bindings.runtime`` by the fakes.

    Flavors "10" and "11" are the major releases of ``tensorrt``; "rtx" is TensorRT-RTX, which provides
    ``tensorrt_rtx_bindings`` and ``tensorrt_rtx``. The packages of the other flavors are absent, even if they are
    installed. The GPU is an H200 by default, or an RTX 4090 for TensorRT-RTX. ``graphs=False`` omits the last package.
    Set faults on the returned machine; import faults must be set before the import. ctypes finds ``libcuda.so.1``,
    which has no functions.
    """
    name, capability, total = _GPUS.get(flavor, _DATA_CENTER)
    machine = Machine(gpu or name, sm or capability, memory or total, graphs)
    finder = _Finder(machine, flavor, version)
    for name in list(sys.modules):
        if name.partition(".")[0] in _ROOTS:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [finder, *map(_Without, sys.meta_path)])
    monkeypatch.setattr(sys, "modules", sys.modules)
    monkeypatch.setattr(ctypes, "CDLL", _cdll(machine))
    for name in finder.makers:  # so that undoing the patch removes them
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        del sys.modules[name]
    return machine


def _cdll(machine: Machine) -> type[ctypes.CDLL]:
    class FakeCDLL(ctypes.CDLL):
        def __init__(self, name: str | None, *args: Any, **kwargs: Any) -> None:
            if name not in ("libcuda.so", "libcuda.so.1"):
                super().__init__(name, *args, **kwargs)
            elif machine.faults.driver:
                raise OSError(NO_DRIVER)

    return FakeCDLL


class _Finder(MetaPathFinder, Loader):
    """Finder of the fake packages, with priority over installed ones."""

    def __init__(self, machine: Machine, flavor: str, version: str | None) -> None:
        self._machine, self._flavor, self._version = machine, flavor, version
        self._module: ModuleType | None = None
        self.makers: dict[str, Callable[[], ModuleType]] = {
            **{name: partial(self._tensorrt, name) for name in MODULES[flavor]},
            "pycuda": lambda: _package("pycuda", VERSION=(2026, 1), VERSION_TEXT="2026.1"),
            "pycuda.driver": self._driver,
            "pycuda.autoinit": lambda: _refuse("pycuda.autoinit"),
            "pycuda.autoprimaryctx": lambda: _refuse("pycuda.autoprimaryctx"),
            "cuda": lambda: _package("cuda"),
            "cuda.bindings": lambda: _package("cuda.bindings", __version__="13.5.0"),
            "cuda.bindings.runtime": lambda: make_runtime(machine),
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        root = fullname.partition(".")[0]
        if root not in _ROOTS:
            return None
        absent = self._machine.faults.absent | (set() if self._machine.graphs else {"cuda"})
        if fullname not in self.makers or root in absent:
            return None
        return ModuleSpec(fullname, self, is_package=fullname in ("pycuda", "cuda", "cuda.bindings"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.makers[spec.name]()

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is already complete."""

    def _tensorrt(self, name: str) -> ModuleType:
        if self._machine.faults.libnvinfer:
            raise ImportError(_NO_LIBRARY.format(_LIBRARIES[self._flavor]))
        if self._module is None:
            self._module = make_tensorrt(self._flavor, version=self._version, machine=self._machine)
        return _package(name, **{key: value for key, value in vars(self._module).items() if key != "__name__"})

    def _driver(self) -> ModuleType:
        if self._machine.faults.driver:
            raise ImportError(NO_DRIVER)
        return make_driver(self._machine)


class _Without(MetaPathFinder):
    """Wrapper of another finder that hides installed packages of the same names."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _ROOTS:
            return None
        found: ModuleSpec | None = self._finder.find_spec(fullname, path, target)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def _package(name: str, **content: object) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


def _refuse(name: str) -> ModuleType:
    raise Misuse(name, "it pushes a context on import and pops it at process exit")
