"""``vbench inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common.input_size import input_size_text
from .common.output import print_json, print_lines
from .common.precision_table import precision_lines

if TYPE_CHECKING:
    from ..runtime.bundle.bundle import Bundle
    from ..runtime.bundle.manifest import Manifest


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to inspect.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON document.")] = False,
) -> None:
    """Show the contents of a bundle: parts, shapes, costs, policy, precisions, checks. Verify every file's digest.

    Example: vbench inspect bundles/frameexit_r50
    """
    from ..runtime.bundle.bundle import open_bundle

    opened = open_bundle(bundle)
    files = opened.check_files()
    if as_json:
        print_json(opened.manifest.model_dump(mode="json"))
        return
    print_lines((*_head(opened, files), "", *_parts(opened), "", *precision_lines(opened.manifest)))


def _head(bundle: Bundle[Manifest], files: int) -> list[str]:
    from ..runtime.families import family_of

    manifest = bundle.manifest
    rows = (
        ("precision", f"{', '.join(manifest.precisions)}; {files} files, all digests match"),
        *family_of(manifest).describe(manifest),
        ("input size", input_size_text(manifest)),
        ("created", f"{manifest.created} from {manifest.source.path} ({_versions(manifest)})"),
    )
    head = f"{bundle.path}: {manifest.network} ({manifest.architecture}), {manifest.classes} classes"
    return [head, *(f"{name:<12} {text}" for name, text in rows)]


def _versions(manifest: Manifest) -> str:
    return ", ".join(f"{name} {version}" for name, version in manifest.versions.items())


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
