"""Probes for PyTorch, which run the same convolution as the others; ``probe_main`` runs them in a subprocess."""

from __future__ import annotations

from .probe_engines import SHAPE, Facts, check_output


def torch() -> Facts:
    """Run PyTorch on the CPU."""
    import torch

    _run_torch("cpu")
    matmul, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda or "",
        "tf32": f"matrix products {'on' if matmul else 'off'}, convolutions {'on' if convolutions else 'off'}",
    }


def torch_cuda() -> Facts:
    """Run PyTorch on the GPU."""
    import torch

    _run_torch("cuda")
    return {"gpu": torch.cuda.get_device_name(0)}


def _run_torch(device: str) -> None:
    import torch

    pixels = torch.ones(SHAPE, device=device)
    check_output(torch.nn.functional.conv2d(pixels, torch.ones((1, 3, 1, 1), device=device)).cpu().numpy())
