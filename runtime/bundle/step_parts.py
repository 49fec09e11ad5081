"""Manifests of FrameExit bundles from earlier versions, which evaluated gates and classifiers in a part per step."""

from __future__ import annotations

from collections.abc import Mapping

from .manifest import Check, FileSpec, FrameExitManifest, PartSpec


class StepPartsManifest(FrameExitManifest):
    """A manifest with the parts ``gate_02`` ... and ``classifier_01`` ..., which `with_heads` replaces."""

    @property
    def head_parts(self) -> tuple[str, ...]:
        return tuple(part for parts in self.step_parts.values() for part in parts)

    def with_heads(self, parts: Mapping[str, PartSpec], weights: FileSpec) -> FrameExitManifest:
        """Return the manifest with ``parts``, which evaluate all steps, in place of those for single steps."""
        replaced = set(self.head_parts)
        kept = {name: part for name, part in self.parts.items() if name not in replaced}
        changes = {
            "parts": {**kept, **parts},
            "weights": dict.fromkeys(self.precisions, weights),
            "checks": {precision: self._merged(check) for precision, check in self.checks.items()},
        }
        return FrameExitManifest(**{**dict(self), **changes})

    def _merged(self, check: Check) -> Check:
        """Give each part that evaluates all steps the largest difference of its steps."""
        replaced = set(self.head_parts)
        differences = {name: each for name, each in check.parts.items() if name not in replaced}
        for part, names in self.step_parts.items():
            of_steps = [check.parts[name] for name in names if name in check.parts]
            if of_steps:
                differences[part] = max(of_steps, key=lambda each: each.relative)
        return check.model_copy(update={"parts": differences})
