"""The 80 classes of COCO and their category ids (1 to 90, with gaps).

Source: T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the ids are those of the 2017
annotation files.
"""

from __future__ import annotations

from pathlib import PurePosixPath

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_NUMBERS = dict(zip((n for n in range(1, 91) if n not in _UNUSED), COCO_CLASSES, strict=True))
"""COCO category id -> class name."""


def coco_id(value: object) -> str:
    """Normalize an id from a COCO file: some tools write 7, some "7", some 7.0.

    Raises:
        TypeError: the id is neither a number nor a string.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"an id must be a number or text, not {type(value).__name__}")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def stem_of(file_name: str) -> str:
    """Return the file name without folders and extension, for POSIX and Windows paths."""
    return PurePosixPath(file_name.replace("\\", "/")).stem
