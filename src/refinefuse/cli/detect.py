"""`refinefuse detect`."""

from __future__ import annotations

from pathlib import Path


def run(
    a: Path,
    b: Path,
    *,
    detector: str,
    output: Path,
    fused: Path | None = None,
    json: Path | None = None,
    classes: str = "",
    threshold: float = 0.3,
    weights: str | None = None,
    overwrite: bool = False,
) -> int:
    """Draw what a detector finds in the infrared, in the visible and in the fused image, side by side.

    Needs the extra `detection`. A gray image is looked at as three equal channels; a fused one without color gets
    that of B first.

    Args:
        a: the infrared image.
        b: the visible image.
        detector: FILE.onnx of the YOLOX family, a folder that transformers wrote, or hf://owner/name on the
            Hugging Face Hub (RT-DETR, D-FINE).
        output: the montage, an image file.
        fused: the fused image; without it the two are fused now.
        json: also write the boxes here, as COCO JSON with a score each, those below the threshold too.
        classes: which classes, with commas between; all by default.
        threshold: the score from which on a box is drawn.
        weights: what to fuse with, as `refinefuse fuse --weights` takes it.
        overwrite: replace files that are there.
    """
    from refinefuse.atomic import check_writable
    from refinefuse.errors import InputError, check_field
    from refinefuse.image.files import check_target
    from refinefuse.inference.device import retain_freed_memory

    check_field(0 <= threshold <= 1, "threshold", "a score from 0 to 1", threshold)
    if fused is not None and weights is not None:
        raise InputError("--weights and --fused exclude each other.\nGive the image, or what to fuse with.")
    check_target(output, overwrite=overwrite)
    if json is not None:
        check_writable(json, overwrite=overwrite)
    retain_freed_memory()
    from refinefuse.atomic import write_atomic
    from refinefuse.detection.boxes import coco_json
    from refinefuse.detection.montage import detect_pair
    from refinefuse.image.files import write_image

    chosen = [word.strip() for word in classes.split(",") if word.strip()]
    montage, found = detect_pair(a, b, fused, detector, chosen, threshold, weights)
    write_image(output, montage, overwrite=overwrite)
    if json is not None:
        write_atomic(json, coco_json(found).encode())
    for name, boxes in found.items():
        drawn = boxes.select(boxes.scores >= threshold)
        counts = {kind: drawn.classes.count(kind) for kind in dict.fromkeys(drawn.classes)}
        print(f"{name}: {', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'nothing'}")
    print(f"See '{output}'.")
    return 0
