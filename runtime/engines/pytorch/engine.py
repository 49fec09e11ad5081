"""PyTorch reference engine: the authors' layers with the authors' weights, without folding.

It requires the checkpoint that the bundle was exported from; the manifest records its path and the SHA-256 by which it
is verified. Except for a ``vbench doctor`` probe, this is the only package in the runtime that imports torch and the
models, and it does so only when the engine is used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import BundleError, UsageError
from ....files import sha256
from ...bundle.bundle import Bundle
from ...bundle.manifest import CheckpointSource, Manifest
from ..base import Array, Engine, EngineOptions, Handle
from ..device import TF32, reject_provider, uses_tf32
from ..graph_check import is_large_part, run_error
from ..install_hint import missing_package
from .gpu import EXACT, CapturedParts, fetch_from_gpu, float32_matmul_precision, record_on_gpu, select_device

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchEngine:
    """Runs the network's own modules in float32.

    On a GPU, only `get` and the functions that `fetch` returns wait for results. Preprocessing and its input frames
    stay on the CPU, so that the pixels are bit-identical to the reference.

    Args:
        modules: the modules of the parts, which are moved to ``device``.
        threads: number of CPU threads; 0: all.
        device: device to run on.
        captured: captures the parts in ``worth`` as CUDA graphs; None if no part is captured.
        worth: parts worth capturing.
        rounded: parts whose products are rounded to TF32 on a GPU.
    """

    name = "torch"

    def __init__(
        self,
        modules: dict[str, nn.Module],
        threads: int,
        device: torch.device | str = "cpu",
        captured: CapturedParts | None = None,
        worth: frozenset[str] = frozenset(),
        rounded: frozenset[str] = frozenset(),
    ) -> None:
        import torch

        self._device = torch.device(device)
        self._modules = {part: module.to(self._place(part)) for part, module in modules.items()}
        self._threads = threads
        self._captured, self._worth, self._rounded = captured, worth, rounded

    def describe(self) -> dict[str, str]:
        import torch

        threads = str(self._threads or torch.get_num_threads())
        device = str(self._device)
        found = {"torch": torch.__version__, "device": device, "precision": "fp32", "threads": threads}
        if self._device.type == "cpu":
            return found
        if self._rounded:
            found = {**found, "precision": TF32}
        graphs = ", ".join(sorted(self._worth)) if self._captured else ""
        name = torch.cuda.get_device_name(self._device)
        return {
            **found,
            "device": f"{device} ({name})",
            "tf32": "on" if self._rounded else "off",
            "graphs": graphs or "none",
        }

    def compile_parts(self) -> None:
        """Compile every part except preprocessing with ``torch.compile``; a part is compiled when it first runs."""
        for part, module in self._modules.items():
            if part != "preprocess":
                module.compile()

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        import torch

        return torch.zeros(shape, device=self._device)

    def put(self, array: Array) -> Handle:
        """Wrap the array as a tensor, without a copy if possible, and move it to the device if it is floating-point."""
        import torch

        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        return tensor.to(self._device) if tensor.is_floating_point() else tensor

    def get(self, handle: Handle) -> Array:
        """Wait until the tensor has been computed, and return it as an array."""
        array: Array = handle.cpu().numpy()
        return array

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Enqueue a copy of the tensor to the host after all work enqueued on the GPU so far."""
        return fetch_from_gpu(handle) if handle.is_cuda else lambda: self.get(handle)

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        return handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        return handle.view(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        target.copy_(source)

    def write(self, array: Array, target: Handle) -> None:
        import torch

        target.copy_(torch.from_numpy(array))

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        import torch

        try:
            with torch.inference_mode(), self._products(part):
                if self._captured is not None and part in self._worth:
                    return self._captured.run(part, self._modules[part], inputs, out)
                output = self._modules[part](*inputs)
                return output.to(self._device) if out is None else out.copy_(output)
        except RuntimeError as error:
            raise run_error("PyTorch", part, str(error).partition("\n")[0]) from None

    def _place(self, part: str) -> torch.device | str:
        return "cpu" if part == "preprocess" else self._device

    def _products(self, part: str) -> AbstractContextManager[None]:
        if self._device.type == "cpu":
            return nullcontext()
        return float32_matmul_precision(TF32 if part in self._rounded else EXACT)


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load the checkpoint that the bundle was exported from; see ``load_engine``."""
    try:
        import torch
    except ImportError:
        raise missing_package("torch", "export") from None
    from ....models.checkpoint.recognize import load_network

    if options.precision not in ("fp32", TF32):
        raise UsageError(f"the torch engine runs only fp32 and tf32, not {options.precision}", "omit --precision")
    reject_provider(TorchEngine.name, options)
    device = select_device(options)
    threads = options.thread_count()
    torch.set_num_threads(threads)
    manifest = bundle.manifest
    elsewhere = {part: found for part, found in manifest.part_sources().items() if options.wants(part)}
    own = {part: part for part in manifest.parts if options.wants(part) and part not in manifest.part_sources()}
    names = {manifest.source: own}
    for part, (source, name) in elsewhere.items():
        names.setdefault(source, {})[part] = name
    modules: dict[str, nn.Module] = {}
    for source, wanted in names.items():
        network = load_network(_checkpoint(bundle, source, options.checkpoint), manifest.preprocessing.input_size)
        found = network.parts_by_name(wanted.values())
        modules |= {part: found[name].module.eval() for part, name in wanted.items()}
    rounded = frozenset(part for part in modules if uses_tf32(manifest.parts[part], options))
    if not options.graphs:
        return TorchEngine(modules, threads, device, rounded=rounded)
    worth = frozenset(part for part in modules if part != "preprocess" and is_large_part(manifest.parts[part]))
    return TorchEngine(modules, threads, device, CapturedParts(partial(record_on_gpu, device)), worth, rounded)


def _checkpoint(bundle: Bundle[Manifest], source: CheckpointSource, override: Path | None) -> Path:
    """Return the path of a checkpoint after verifying it.

    ``override`` is the current path of the bundle's main checkpoint; the others are expected in the same folder.
    """
    path = Path(bundle.path, source.path)
    if override is not None:
        path = override if source == bundle.manifest.source else override.with_name(path.name)
    if not path.is_file():
        raise BundleError(
            f"{path} does not exist: the torch engine requires this checkpoint of {bundle.path}",
            "pass its path with --checkpoint FILE (checkpoint= in Python)",
        )
    if sha256(path) != source.sha256:
        raise BundleError(
            f"{path} is not the checkpoint that {bundle.path} was exported from", "export this checkpoint again"
        )
    return path
