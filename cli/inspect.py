"""``vbench inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common.output import print_json
from .common.precision_table import precision_lines

if TYPE_CHECKING:
    from ..runtime.bundle.bundle import Bundle
    from ..runtime.bundle.manifest import FlexibleManifest, FrameExitManifest, Manifest


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to look at.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON document.")] = False,
) -> None:
    """Show what a bundle holds: parts, shapes, costs, policy, precision, check. Every file's digest is verified.

    Example: vbench inspect bundles/frameexit_r50
    """
    from ..runtime.bundle.bundle import open_bundle

    opened = open_bundle(bundle)
    files = opened.check_files()
    if as_json:
        print_json(opened.manifest.model_dump(mode="json"))
        return
    print("\n".join((*_head(opened, files), "", *_parts(opened), "", *precision_lines(opened.manifest))))


def _head(bundle: Bundle[FrameExitManifest | FlexibleManifest], files: int) -> list[str]:
    from ..runtime.bundle.manifest import FrameExitManifest

    manifest = bundle.manifest
    return [
        f"{bundle.path}: {manifest.network} ({manifest.family}), {manifest.classes} classes",
        f"precision    {', '.join(manifest.precisions)}; {files} files, all digests right",
        *(_frameexit_lines(manifest) if isinstance(manifest, FrameExitManifest) else _flexible_lines(manifest)),
        f"made         {manifest.created} from {manifest.source.path} "
        f"({', '.join(f'{name} {version}' for name, version in manifest.versions.items())})",
    ]


def _frameexit_lines(manifest: FrameExitManifest) -> list[str]:
    size, policy = manifest.preprocessing.input_size, manifest.policy
    return [
        f"input        {manifest.frames} frames of {size} x {size} in the order {list(manifest.frame_order)}",
        f"policy       exit at step 1 above confidence {policy.first_threshold:g}, later above gate value "
        f"{policy.gate_threshold:g}",
    ]


def _flexible_lines(manifest: FlexibleManifest) -> list[str]:
    size, views = manifest.preprocessing.input_size, manifest.views
    counts = (
        f"{count} (branch {branch})" if branch else str(count)
        for count, branch in zip(manifest.frame_counts, manifest.branches)
    )
    shared = sum(file.size_bytes for file in manifest.weights.values()) / 1e6
    return [
        f"input        clips of {', '.join(counts)} frames of {size} x {size}, {views} crop{'s' * (views > 1)} each",
        f"weights      {manifest.layout}, {shared:.2f} MB in one file for all frame counts",
    ]


def _parts(bundle: Bundle[Manifest]) -> list[str]:
    lines = [f"{'part':<15} {'MMACs':>10} {'parameters':>11} {'MB':>7}  tensors"]
    for name, part in bundle.manifest.parts.items():
        megabytes = max(file.size_bytes for file in part.files.values()) / 1e6
        inputs = ", ".join(f"{tensor.name}{_shape(tensor.shape)}" for tensor in part.inputs)
        lines.append(
            f"{name:<15} {part.macs / 1e6:>10.2f} {part.parameters:>11,} {megabytes:>7.2f}  "
            f"{inputs} -> {part.output.name}{_shape(part.output.shape)}"
        )
    return lines


def _shape(shape: tuple[int | str, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
