"""Detections in both sources and the fused image of one pair, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.detectors import locate_detector, open_detector
from refinefuse.detection.drawing import draw_boxes
from refinefuse.errors import InputError
from refinefuse.image.color import to_rgb8, with_source_color
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.montage import side_by_side
from refinefuse.weights.store import DEFAULT


def detect_pair(
    a: Path, b: Path, fused: Path | None, detector: str, classes: Sequence[str], threshold: float, weights: str | None
) -> tuple[UInt8[np.ndarray, "h w 3"], dict[str, Boxes]]:
    """Return a montage, and the detections by image name for COCO JSON: the path, or `fused`.

    Args:
        a: infrared image.
        b: visible image.
        fused: fused image; None fuses the pair.
        detector: file, folder or `hf://owner/name`, as for `locate_detector`.
        classes: classes to detect; empty for all.
        threshold: minimum score of the boxes that are drawn.
        weights: weights for fusion; None for the default weights.

    Raises:
        InputError: an image or the detector cannot be used, the images differ in size, or the detector lacks one of
            the classes.
    """
    images: dict[str, Pixels] = {str(a): read_image(a), str(b): read_image(b)}
    find = open_detector(locate_detector(detector))
    unknown = [name for name in classes if name not in find.names]
    if unknown:
        raise InputError(
            f"The detector has no class '{unknown[0]}'.\n  expected: {', '.join(find.names[:12])}"
            f"{', ...' if len(find.names) > 12 else ''}\n  got: {', '.join(classes)}"
        )
    if fused is None:
        images["fused"] = np.asarray(Fuser(weights or DEFAULT, check=False)(a, b))
    else:
        images[str(fused)] = read_image(fused)
    sizes = {name: image.shape[:2] for name, image in images.items()}
    if len(set(sizes.values())) > 1:
        listed = "\n".join(f"  {height} x {width}   '{name}'" for name, (height, width) in sizes.items())
        raise InputError(f"The images must have the same height and width.\n{listed}")
    infrared, visible, result = images.values()
    seen = [to_rgb8(infrared), to_rgb8(visible), with_source_color(result, visible)]
    found = [boxes.select_classes(classes) if classes else boxes for boxes in map(find, seen)]
    captions = ("infrared", "visible", "fused")
    panels = [draw_boxes(rgb, boxes.select(boxes.scores >= threshold)) for rgb, boxes in zip(seen, found, strict=True)]
    return side_by_side(dict(zip(captions, panels, strict=True))), dict(zip(images, found, strict=True))
