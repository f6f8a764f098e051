"""One pair: what a detector finds in both sources and in the fused picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes
from refinefuse.detection.detectors import locate_detector, open_detector
from refinefuse.detection.drawing import drawn
from refinefuse.errors import InputError
from refinefuse.image.color import as_rgb, as_seen
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.sheet import side_by_side
from refinefuse.weights.store import DEFAULT


def look_at_pair(
    a: Path, b: Path, fused: Path | None, detector: str, classes: Sequence[str], threshold: float, weights: str | None
) -> tuple[UInt8[np.ndarray, "h w 3"], dict[str, Boxes]]:
    """The sheet, and the boxes by what stands for each picture in COCO JSON: the path, or `fused`.

    Args:
        a: the infrared picture.
        b: the visible picture.
        fused: the fused picture; None: it is made.
        detector: as `locate_detector` takes it.
        classes: which classes; none: all.
        threshold: the score from which on a box is drawn.
        weights: what to fuse with; None: the shipped weights.

    Raises:
        InputError: a picture or the detector cannot be used, the pictures differ in size, or the detector does not know
            one of the classes.
    """
    pictures: dict[str, Pixels] = {str(a): read_image(a), str(b): read_image(b)}
    find = open_detector(locate_detector(detector))
    unknown = [name for name in classes if name not in find.names]
    if unknown:
        raise InputError(
            f"The detector does not know the class '{unknown[0]}'.\n  expected: {', '.join(find.names[:12])}"
            f"{', ...' if len(find.names) > 12 else ''}\n  got: {', '.join(classes)}"
        )
    if fused is None:
        pictures["fused"] = np.asarray(Fuser(weights or DEFAULT)(a, b))
    else:
        pictures[str(fused)] = read_image(fused)
    sizes = {name: picture.shape[:2] for name, picture in pictures.items()}
    if len(set(sizes.values())) > 1:
        told = "\n".join(f"  {height} x {width}   '{name}'" for name, (height, width) in sizes.items())
        raise InputError(f"The pictures must have the same height and width.\n{told}")
    infrared, visible, result = pictures.values()
    seen = [as_rgb(infrared), as_rgb(visible), as_seen(result, visible)]
    found = [boxes.of(classes) if classes else boxes for boxes in map(find, seen)]
    captions = ("infrared", "visible", "fused")
    panels = [drawn(rgb, boxes.where(boxes.scores >= threshold)) for rgb, boxes in zip(seen, found, strict=True)]
    return side_by_side(dict(zip(captions, panels, strict=True))), dict(zip(pictures, found, strict=True))
