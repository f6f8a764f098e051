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
    """Draw what a detector finds in the infrared, in the visible and in the fused picture, side by side.

    Needs the extra `detection`. A grey picture is looked at as three equal channels; a fused one without colour gets
    that of B first.

    Args:
        a: the infrared picture.
        b: the visible picture.
        detector: FILE.onnx of the YOLOX family, a folder that transformers wrote, or a repository owner/name of the
            Hugging Face Hub (RT-DETR, D-FINE).
        output: the sheet, a picture file.
        fused: the fused picture; without it the two are fused now.
        json: also write the boxes here, as COCO JSON with a score each, those below the threshold too.
        classes: which classes, with commas between; all by default.
        threshold: the score from which on a box is drawn.
        weights: what to fuse with, as `refinefuse fuse --weights` takes it.
        overwrite: replace files that are there.
    """
    from refinefuse.errors import InputError
    from refinefuse.image.files import check_place, check_target
    from refinefuse.inference.device import keep_freed_memory

    if not 0 <= threshold <= 1:
        raise InputError(f"--threshold must be a score.\n  expected: 0 to 1\n  got: {threshold:g}")
    if fused is not None and weights is not None:
        raise InputError("--weights and --fused exclude each other.\nGive the picture, or what to fuse with.")
    check_target(output, overwrite=overwrite)
    if json is not None:
        check_place(json, overwrite=overwrite)
    keep_freed_memory()
    from refinefuse.detection.boxes import coco_json
    from refinefuse.detection.sheet import look_at_pair
    from refinefuse.image.files import place_file, write_image

    chosen = [word.strip() for word in classes.split(",") if word.strip()]
    sheet, found = look_at_pair(a, b, fused, detector, chosen, threshold, weights)
    write_image(output, sheet, overwrite=overwrite)
    if json is not None:
        place_file(json, coco_json(found).encode())
    for name, boxes in found.items():
        drawn = boxes.where(boxes.scores >= threshold)
        counts = {kind: drawn.classes.count(kind) for kind in dict.fromkeys(drawn.classes)}
        print(f"{name}: {', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'nothing'}")
    print(f"See '{output}'.")
    return 0
