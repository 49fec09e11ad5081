"""Text descriptions of a bundle's precisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...runtime.bundle.manifest import Check, Manifest, PrecisionSpec


_HALF_RANGE = 32752  # half the largest float16: the export keeps nodes with larger values in fp32


def check_line(check: Check) -> str:
    """Summarize in one line how much a precision differs from PyTorch."""
    name, worst = max(check.parts.items(), key=lambda item: item[1].relative)
    return (
        f"largest difference {worst.relative:.1e} ({name}), logits {check.logits.absolute:.1e}; "
        f"{_changed(check)} on {check.clips} clips"
    )


def _changed(check: Check) -> str:
    if not check.exit_steps_changed and not check.classes_changed:
        return "same exit steps and classes"
    return f"{check.exit_steps_changed} exit steps changed, {check.classes_changed} classes changed"


def kept_line(spec: PrecisionSpec) -> str | None:
    """Name the nodes that an fp16 conversion kept in fp32 because of their range; None if it kept no nodes."""
    names = [name for names in spec.kept.values() for name in names]
    if not names or spec.largest_activation is None or spec.largest_activation <= _HALF_RANGE:
        return None
    return f"activations reach {spec.largest_activation:.3g}, so these nodes stay in fp32: {', '.join(names)}"


def precision_lines(manifest: Manifest) -> list[str]:
    """Describe every precision: size, conversion and effect on the results."""
    lines = []
    for precision in manifest.precisions:
        files = {file for part in manifest.parts.values() for file in part.all_files(precision)}
        files |= {manifest.weights[precision]} if precision in manifest.weights else set()
        megabytes = sum(file.size_bytes for file in files) / 1e6
        lines.append(f"{precision:<12} {megabytes:.1f} MB{_backbone(manifest, precision)}")
        if precision in manifest.precision_details:
            lines += _conversion(manifest.precision_details[precision])
        if precision in manifest.checks:
            check = manifest.checks[precision]
            tolerance = "recorded only" if check.max_error is None else f"tolerance {check.max_error:g}"
            lines.append(f"  check      {check.engine} against PyTorch, {tolerance}: {check_line(check)}")
        else:
            lines.append("  check      none: never compared with PyTorch")
    return lines


def _backbone(manifest: Manifest, precision: str) -> str:
    if "backbone" not in manifest.parts:
        return ""
    return f", backbone {manifest.parts['backbone'].files[precision].size_bytes / 1e6:.1f} MB"


def _conversion(spec: PrecisionSpec) -> list[str]:
    converted = ", ".join(f"{count} {op}" for op, count in spec.converted.items())
    kept = ", ".join(f"{len(names)} {op}" for op, names in spec.kept.items())
    lines = [
        f"  converted  {', '.join(spec.parts)}: weights {spec.weights}, activations {spec.activations} "
        f"({spec.granularity}) by {spec.tool} {spec.version}",
        f"  nodes      {converted}; in float {kept or 'none'}",
    ]
    if (largest := kept_line(spec)) is not None:
        lines.append(f"  range      {largest}")
    if spec.weights_flushed_to_zero:
        lines.append(f"  weights    {spec.weights_flushed_to_zero} below the range of {spec.weights} flushed to 0")
    if spec.calibration is not None:
        source = spec.calibration
        lines.append(
            f"  calibrated {source.method} over {source.frames} frames of {source.videos} videos of {source.dataset}"
        )
    return lines
