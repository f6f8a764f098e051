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
    """Draw what a detector finds in the infrared, the visible and the fused image, side by side.

    A gray image is passed to the detector as three equal channels; a fused image without color first gets the color of
    B. Needs the extra `detection`.

    Args:
        a: Infrared image.
        b: Visible image.
        detector: FILE.onnx of the YOLOX family, a folder saved by transformers, or hf://owner/name on the Hugging Face
            Hub (RT-DETR, D-FINE).
        output: Montage to write, an image file.
        fused: Fused image; without it, A and B are fused first.
        json: Also write the boxes as COCO JSON with scores, including those below the threshold.
        classes: Classes to detect, separated by commas; by default all.
        threshold: Minimum score of the boxes to draw.
        weights: Weights for fusing, as in `refinefuse fuse --weights`.
        overwrite: Replace existing files.
    """
    from refinefuse.atomic import check_writable
    from refinefuse.errors import InputError, check_field
    from refinefuse.image.files import check_target
    from refinefuse.inference.device import retain_freed_memory

    check_field(0 <= threshold <= 1, "threshold", "a score from 0 to 1", threshold)
    if fused is not None and weights is not None:
        raise InputError("--weights and --fused exclude each other.\nPass a fused image, or the weights to fuse with.")
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
