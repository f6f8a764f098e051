"""Sample pairs to try the package with, rendered by `tools/rendering` and shipped as files (`make samples`)."""

from __future__ import annotations

import os
from pathlib import Path

from refinefuse.errors import InputError, format_names
from refinefuse.image.files import read_image, write_image
from refinefuse.image.pixels import Pixels

FOLDER = Path(__file__).parent
SAMPLES = {
    "night_street": ("ir", "vi"),
    "smoke": ("ir", "vi"),
    "ridge_16bit": ("ir", "vi"),
    "head_ct_mri": ("ct", "mri"),
}
"""Name of each pair (the name of its two files), and the folders of its first and second source."""


def read_sample(name: str) -> tuple[Pixels, Pixels]:
    """Read a sample pair: infrared (240, 320) and visible (240, 320, 3), or CT and MRI, both (256, 256)."""
    a, b = (read_image(FOLDER / side / f"{name}.png") for side in SAMPLES[name])
    return a, b


def write_samples(folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Write all pairs to folders that are ready to fuse: ir and vi, ct and mri.

    Args:
        folder: folder to write to; created if it does not exist.
        overwrite: replace existing files.

    Returns:
        The PNG files, pair by pair.

    Raises:
        InputError: a file already exists (nothing is written), or the folder cannot be written to.
    """
    files = [Path(folder) / side / f"{name}.png" for name, sides in SAMPLES.items() for side in sides]
    present = [str(path) for path in files if path.exists()]
    if present and not overwrite:
        raise InputError(
            f"{len(present)} of the {len(files)} files already exist:\n{format_names(present)}\n"
            "Use `overwrite` to replace them, or choose another folder."
        )
    for path in files:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"Cannot create the folder '{path.parent}': {error.strerror}.\nChoose another one."
            ) from None
        write_image(path, read_image(FOLDER / path.parent.name / path.name), overwrite=overwrite)
    return files
