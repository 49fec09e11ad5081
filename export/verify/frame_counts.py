"""Compare an exported frame-flexible network with PyTorch before anyone may use it."""

from __future__ import annotations

from ...errors import CheckError
from ...runtime.bundle.manifest import Check, Difference, FlexibleManifest, frames_part
from ...runtime.engines.base import Engine
from .tolerances import CLIPS, HEIGHT_WIDTH, both, check_clips, difference, larger, require


def verify_counts(manifest: FlexibleManifest, reference: Engine, candidate: Engine, max_error: float) -> Check:
    """Run both engines at every frame count and return the differences; see ``verify``.

    Raises:
        CheckError: a difference is larger than ``max_error``, or a clip is of another class.
    """
    parts: dict[str, Difference] = {}
    classes = 0
    for count in manifest.frame_counts:
        pixels = []
        for height, width in HEIGHT_WIDTH:
            for clip in check_clips(count, height, width):
                wanted, found = both(reference, candidate, "preprocess", clip)
                parts["preprocess"] = larger(parts.get("preprocess"), difference(wanted, found))
                pixels.append(wanted[:, 0])
        # One size is enough for what comes after it.
        for clip_pixels in pixels[:CLIPS]:
            part = frames_part(count)
            wanted, found = both(reference, candidate, part, clip_pixels[None])
            parts[part] = larger(parts.get(part), difference(wanted, found))
            classes += int(wanted.argmax()) != int(found.argmax())
    for name, found_difference in parts.items():
        require(name, found_difference, max_error, "fp32")
    if classes:
        raise CheckError("classes differ from PyTorch's on the check clips", "report this network to vbench")
    logits = max((parts[frames_part(count)] for count in manifest.frame_counts), key=lambda found: found.relative)
    clips = CLIPS * len(manifest.frame_counts)
    return Check(
        engine=candidate.name,
        max_error=max_error,
        parts=parts,
        clips=clips,
        exit_steps_changed=0,
        classes_changed=classes,
        logits=logits,
    )
