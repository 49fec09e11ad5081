"""``vbench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .needs import needs
from .output import print_json, stages


def export(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' checkpoint, a .pth file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Bundle to make.", show_default="bundles/<checkpoint's name>")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision of the graphs.")] = "fp32",
    input_size: Annotated[
        int | None,
        typer.Option(help="Side of the network's input in pixels.", show_default="224; 300 for EfficientNet"),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Text file of class names, one a line.", show_default="none")
    ] = None,
    max_error: Annotated[float, typer.Option(help="Largest relative difference from PyTorch that passes.")] = 1e-4,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 to 23.")] = 18,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a checkpoint to a bundle that runs without PyTorch.

    The network, its classes and its frames are found from the checkpoint. Every part and the whole are compared with
    PyTorch before the bundle gets its name.

    Example: vbench export frameexit_r50.pth
    """
    with needs("export"):
        from ..export.frameexit import ExportOptions, export_frameexit
    out = out or Path("bundles", checkpoint.name.removesuffix(".pth"))
    options = ExportOptions(
        precision=precision,
        input_size=input_size,
        opset=opset,
        max_error=max_error,
        class_names=classes,
        force=force,
    )
    with stages() as say:
        bundle = export_frameexit(checkpoint, out, options, say)
    check = bundle.manifest.check
    assert check is not None
    if as_json:
        print_json({"bundle": str(out), "network": bundle.manifest.network, "check": check.model_dump()})
        return
    worst = max(check.parts.items(), key=lambda item: item[1].relative)
    print(f"{out}: {bundle.manifest.network}, {len(bundle.manifest.parts)} parts, {bundle.manifest.classes} classes")
    print(
        f"against PyTorch: largest difference {worst[1].relative:.1e} ({worst[0]}), "
        f"logits {check.logits.absolute:.1e}, exit steps equal on {check.clips} clips"
    )
