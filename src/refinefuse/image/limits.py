"""How many pixels a file may declare: checked before memory is taken for them."""

from __future__ import annotations

import os

from refinefuse.errors import InputError

#: Pixels of the largest image that is read as a whole, unless the environment variable `VARIABLE` says otherwise.
MAX_PIXELS = 200_000_000
#: The environment variable that raises (or lowers) the limit, for this process and those that it starts.
VARIABLE = "REFINEFUSE_MAX_PIXELS"


def max_pixels() -> int:
    """The limit that is in force.

    Raises:
        InputError: the environment variable holds no whole number above 0.
    """
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError(f"{VARIABLE} must be a whole number above 0.\n  got: {text!r}\nCorrect or unset it.")
    return int(text)


def check_pixel_count(height: int, width: int) -> None:
    """Refuse a size that an image cannot have, or that is beyond the limit.

    Raises:
        InputError: with the declared size, the limit and how to raise it.
    """
    if height < 1 or width < 1:
        raise InputError(
            f"the image holds no pixels.\n  expected: at least 1 x 1\n  got: {height} x {width}\nExport it again."
        )
    limit = max_pixels()
    if height * width > limit:
        raise InputError(
            f"the file declares more pixels than are read at once.\n  expected: at most {limit}\n"
            f"  got: {height * width} ({height} x {width})\n"
            f"If the file is sound, raise the limit: `{VARIABLE}` in the environment."
        )
