"""PyTorch as the reference: the authors' layers with the authors' weights, nothing folded.

It needs the checkpoint that the bundle was made from, which is found by the path and checked by the SHA-256 in the
manifest. The only place in the runtime that imports torch and the models, and only when this engine is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleError, UsageError
from .bundle import Bundle
from .engine import Array, Engine, EngineOptions, Handle, missing_package
from .files import sha256
from .manifest import FlexibleManifest, Manifest

if TYPE_CHECKING:
    from torch import nn


class TorchEngine:
    """Runs the network's own modules, on the CPU, in float32."""

    name = "torch"

    def __init__(self, modules: dict[str, nn.Module], threads: int) -> None:
        self._modules = modules
        self._threads = threads

    def describe(self) -> dict[str, str]:
        """Return version, device and threads."""
        import torch

        threads = str(self._threads or torch.get_num_threads())
        return {"torch": torch.__version__, "device": "cpu", "precision": "fp32", "threads": threads}

    def zeros(self, shape: tuple[int, ...]) -> Handle:
        """Make a tensor of zeros."""
        import torch

        return torch.zeros(shape)

    def put(self, array: Array) -> Handle:
        """Wrap the array without a copy where torch can."""
        import torch

        return torch.from_numpy(array if array.flags.writeable else array.copy())

    def get(self, handle: Handle) -> Array:
        """Return the tensor as an array."""
        array: Array = handle.numpy()
        return array

    def rows(self, handle: Handle, start: int, stop: int) -> Handle:
        """Return a slice."""
        return handle[start:stop]

    def view(self, handle: Handle, shape: tuple[int, ...]) -> Handle:
        """Return the tensor's memory under another shape."""
        return handle.view(shape)

    def copy(self, source: Handle, target: Handle) -> None:
        """Copy the values."""
        target.copy_(source)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        """Call the part's module."""
        import torch

        with torch.inference_mode():
            output = self._modules[part](*inputs)
            return output if out is None else out.copy_(output)


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load the checkpoint the bundle was made from; see ``load_engine``."""
    try:
        import torch
    except ImportError:
        raise missing_package("torch", "export") from None
    from ..models.recognise import load_network

    if options.precision != "fp32":
        raise UsageError(f"the torch engine runs fp32, not {options.precision}", "leave --precision out")
    if options.threads:
        torch.set_num_threads(options.threads)
    checkpoint = _checkpoint(bundle, options.checkpoint)
    manifest = bundle.manifest
    network = load_network(checkpoint, manifest.preprocessing.input_size)
    counts = manifest.frame_counts if isinstance(manifest, FlexibleManifest) else ()
    parts = [part for part in network.bundle_parts(counts) if options.wants(part.name)]
    return TorchEngine({part.name: part.module.eval() for part in parts}, options.threads)


def _checkpoint(bundle: Bundle[Manifest], given: Path | None) -> Path:
    source = bundle.manifest.source
    path = given or Path(bundle.path, source.path)
    if not path.is_file():
        raise BundleError(
            f"{path}: the checkpoint of {bundle.path} is not there, and the torch engine needs it",
            "say where it is with --checkpoint FILE (checkpoint= in Python)",
        )
    if sha256(path) != source.sha256:
        raise BundleError(f"{path}: not the checkpoint that {bundle.path} was made from", "export it again")
    return path
