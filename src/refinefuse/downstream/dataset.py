"""Labeled pairs and the fused images of each method: downsampled, 8 bit, one file per method.

An image file is named by a checksum of all its inputs and written image by image, so an interrupted run resumes at the
current image and a finished file is reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from refinefuse.benchmark.coverage import images_of
from refinefuse.benchmark.detection import SOURCES
from refinefuse.benchmark.identity import checksum, code_checksum, file_checksum
from refinefuse.benchmark.image_datasets import ImageDataset, PathVariables
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.data.pairs import Pair, pair_folders
from refinefuse.detection.boxes import Boxes
from refinefuse.detection.labels import Labels, Size
from refinefuse.downstream.config import LabeledPairs
from refinefuse.errors import ConfigError, InputError, PairingError, RefineFuseError, format_names
from refinefuse.image.color import to_rgb8, with_source_color
from refinefuse.image.files import read_image

IGNORED = 255
"""Mask value of pixels to ignore."""
_CODE = ("refinefuse.downstream.dataset", "refinefuse.image.color")


@dataclass(frozen=True)
class LabeledSet:
    """Labeled pairs on disk.

    Attributes:
        pairs: pairs in natural order.
        masks: (n, h, w) class numbers, downsampled.
        boxes: boxes of the detection classes per image, in pixels of the original image.
        sizes: original size of each image.
        checksum: checksum of all labels.
    """

    pairs: tuple[Pair, ...]
    masks: UInt8[np.ndarray, "n h w"]
    boxes: tuple[Boxes, ...]
    sizes: tuple[Size, ...]
    checksum: str

    @property
    def names(self) -> list[str]:
        """Return the names of the pairs."""
        return [pair.name for pair in self.pairs]


def read_labeled(
    entry: LabeledPairs,
    variables: PathVariables,
    classes: list[str],
    detection_classes: list[str],
    size: tuple[int, int],
) -> LabeledSet:
    """Find the pairs and read their masks.

    Raises:
        PairingError: a folder or a mask is missing, or no pair is selected.
        InputError: a mask cannot be read, differs from its image in size, or contains a number without a class.
    """
    root = variables.data_root
    left_out = _names_in(root / entry.without) if entry.without else set()
    pairs = [p for p in pair_folders(root / entry.a, root / entry.b).pairs if fnmatchcase(p.name, entry.pattern)]
    pairs = [pair for pair in pairs if pair.name not in left_out][:: entry.stride]
    if not pairs:
        raise PairingError(f"No labeled pair is left in '{root / entry.a}'.\n  pattern: {entry.pattern}")
    of_name = {found.name: found.a for found in pair_folders(root / entry.masks, root / entry.b).pairs}
    missing = [pair.name for pair in pairs if pair.name not in of_name]
    if missing:
        raise PairingError(f"{len(missing)} pairs have no mask in '{root / entry.masks}':\n{format_names(missing)}")
    paths = [of_name[pair.name] for pair in pairs]
    sizes = tuple(Size(*read_image(pair.b).shape[:2]) for pair in pairs)
    masks = [_read_mask(path, shape, classes, size) for path, shape in zip(paths, sizes, strict=True)]
    meanings = {str(n): name if name in detection_classes else "" for n, name in enumerate(classes)} | {
        str(IGNORED): ""
    }
    labels = Labels("mask", root / entry.masks, meanings)
    names = [pair.name for pair in pairs]
    boxes = labels.read(dict(zip(names, sizes, strict=True))) if detection_classes else {}
    return LabeledSet(
        tuple(pairs),
        np.stack(masks),
        tuple(boxes[name] for name in names) if detection_classes else (),
        sizes,
        checksum(*map(file_checksum, paths), *names, *classes, *detection_classes),
    )


def _names_in(path: Path) -> set[str]:
    try:
        return set(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read the names in '{path}': {error}.") from None


def _read_mask(path: Path, expected: Size, classes: list[str], size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    mask = read_image(path)
    if mask.ndim != 2 or mask.dtype != np.uint8 or mask.shape != tuple(expected):
        raise InputError(
            f"The mask '{path}' does not fit its image.\n"
            f"  expected: {expected.height} x {expected.width}, one channel of 8-bit class numbers\n"
            f"  got: {' x '.join(map(str, mask.shape))}, {mask.dtype}"
        )
    unknown = [n for n in np.unique(mask).tolist() if n >= len(classes) and n != IGNORED]
    if unknown:
        raise InputError(
            f"The mask '{path}' contains class numbers without a name.\n"
            f"  expected: 0 to {len(classes) - 1} ({', '.join(classes)}), or {IGNORED} (ignored)\n"
            f"  got: {', '.join(map(str, unknown))}\nName all classes in `classes`, in the order of their numbers."
        )
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)


@dataclass(frozen=True)
class ImageFile:
    """The images of one row of the study, in the order of the pairs.

    Attributes:
        row: `infrared`, `visible` or the name of the method.
        path: path of the file, which may be incomplete or missing.
        count: number of images.
        size: height and width of each image.
        checksum: checksum of all inputs of the images.
    """

    row: str
    path: Path
    count: int
    size: tuple[int, int]
    checksum: str

    def open(self) -> UInt8[np.ndarray, "n h w 3"]:
        """Memory-map the images; writes are not saved."""
        return np.memmap(self.path, np.uint8, "c", shape=(self.count, *self.size, 3))


@dataclass(frozen=True)
class ImageJob:
    """An image file and how its images are produced: copied from a source, fused by a method, or read from files."""

    file: ImageFile
    pairs: tuple[Pair, ...]
    method: Method | None
    images: Mapping[str, Path]

    def make(self, pair: Pair) -> UInt8[np.ndarray, "h w 3"]:
        """Produce the downsampled image of a pair."""
        if self.method is None:
            rgb = to_rgb8(read_image(pair.a if self.file.row == SOURCES[0] else pair.b))
        else:
            b = read_image(pair.b)
            path = self.images.get(pair.name)
            fused = fuse_checked(self.method, read_image(pair.a), b) if path is None else read_image(path)
            if fused.shape[:2] != b.shape[:2]:
                sizes = [" x ".join(map(str, x.shape[:2])) for x in (b, fused)]
                raise InputError(
                    f"The fused image '{path}' has the wrong size.\n  expected: {sizes[0]}\n  got: {sizes[1]}"
                )
            rgb = with_source_color(fused, b)
        return cv2.resize(rgb, self.file.size[::-1], interpolation=cv2.INTER_AREA)


def image_job(
    row: str, method: Method | None, labeled: LabeledSet, part: str, folder: Path, size: tuple[int, int]
) -> ImageJob:
    """Create the job that produces the images of a row.

    Raises:
        PairingError: the method is a folder of images and some are missing.
    """
    images: dict[str, Path] = {}
    if method is not None and not method.runs:
        with suppress(PairingError):  # the folder has only images of other pairs
            images, _ = images_of(method, ImageDataset(part, labeled.pairs[0].a.parent, labeled.pairs))
        missing = [name for name in labeled.names if name not in images]
        if missing:
            raise PairingError(f"{row} lacks {len(missing)} of the {len(labeled.names)} images of the {part} pairs.")
    if method is None:
        identity = [row, *(file_checksum(pair.a if row == SOURCES[0] else pair.b) for pair in labeled.pairs)]
    else:
        sources = [path for pair in labeled.pairs for path in (pair.a, pair.b)]
        identity = [method.identity, *map(file_checksum, [*images.values(), *sources])]
    key = checksum(*identity, *map(str, size), code_checksum(*_CODE))
    slug = row if method is None else method.slug
    path = folder / f"{part}-{slug}-{key[:12]}.u8"
    return ImageJob(ImageFile(row, path, len(labeled.pairs), size, key), labeled.pairs, method, images)


def fill_images(job: ImageJob) -> str:
    """Append the missing images to an image file; return an error message, or an empty string."""
    file = job.file
    length = file.size[0] * file.size[1] * 3
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with file.path.open("ab") as stream:
            done = stream.tell() // length
            stream.truncate(done * length)  # drop the incomplete image of a killed run
            for pair in job.pairs[done:]:
                stream.write(job.make(pair).tobytes())
    except RefineFuseError as error:
        return f"{file.row}: {error}"
    except OSError as error:
        raise InputError(
            f"Cannot write '{file.path}': {error.strerror}.\nFree some disk space, then run the command again."
        ) from None
    return ""


def is_filled(file: ImageFile) -> bool:
    """Whether the file contains all images."""
    length = file.count * file.size[0] * file.size[1] * 3
    return file.path.is_file() and file.path.stat().st_size == length
