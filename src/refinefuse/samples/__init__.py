"""Pairs that the package renders itself, for a first try, the examples and the tests where no data is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refinefuse.errors import InputError, format_names
from refinefuse.image.files import write_image
from refinefuse.image.pixels import Pixels
from refinefuse.samples import head, night_street, ridge, smoke


@dataclass(frozen=True)
class Sample:
    """A pair that can be rendered.

    Attributes:
        name: also the name of its two files.
        folders: of the first and of the second source.
        render: makes both from a seed.
    """

    name: str
    folders: tuple[str, str]
    render: Callable[[int], tuple[Pixels, Pixels]]


SAMPLES = (
    Sample("night_street", ("ir", "vi"), night_street.render),
    Sample("smoke", ("ir", "vi"), smoke.render),
    Sample("ridge_16bit", ("ir", "vi"), ridge.render),
    Sample("head_ct_mri", ("ct", "mri"), head.render),
)


def render(name: str, seed: int = 0) -> tuple[Pixels, Pixels]:
    """Render one pair; the same seed gives the same images.

    Args:
        name: "night_street" (480 x 640, 8 bit), "smoke" (480 x 640, 8 bit), "ridge_16bit" (480 x 640, 16 bit) or
            "head_ct_mri" (256 x 256, 8 bit).
        seed: another one gives other noise, clouds and trees, 0 or more.

    Returns:
        Infrared (h, w) and visible (h, w, 3) in RGB order; for "head_ct_mri" CT and MRI, both (h, w).

    Raises:
        InputError: an unknown name.
    """
    for sample in SAMPLES:
        if sample.name == name:
            return sample.render(seed)
    raise InputError(
        f"There is no sample of this name.\n  expected: {', '.join(sample.name for sample in SAMPLES)}\n"
        f"  found: {name}\nChoose one of these."
    )


def write_samples(folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Render every pair into folders that can be fused at once: ir and vi, ct and mri.

    Args:
        folder: made if it is missing.
        overwrite: replace files that are there.

    Returns:
        The PNG files: the two of the first pair, the two of the second, and so on.

    Raises:
        InputError: a file exists already (nothing is written then), or the folder cannot be written to.
    """
    root = Path(folder)
    paths = [(root / a / f"{one.name}.png", root / b / f"{one.name}.png") for one in SAMPLES for a, b in [one.folders]]
    files = [path for pair in paths for path in pair]
    present = [str(path) for path in files if path.exists()]
    if present and not overwrite:
        raise InputError(
            f"{len(present)} of the {len(files)} files exist:\n{format_names(present)}\n"
            "Allow them to be replaced (--overwrite), or choose another folder."
        )
    for path in files:
        _make_folder(path.parent)
    for sample, pair in zip(SAMPLES, paths, strict=True):
        for path, pixels in zip(pair, sample.render(0), strict=True):
            write_image(path, pixels, overwrite=overwrite)
    return files


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder '{folder}': {error.strerror}.\nChoose another place.") from None
