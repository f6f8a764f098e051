"""Read frames of two cameras for calibration from image folders or videos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from refinefuse.data.pairs import pair_folders
from refinefuse.image.files import read_image
from refinefuse.image.pixels import Pixels
from refinefuse.inference.video.color_range import luma_plane, with_luma
from refinefuse.inference.video.frames import Frame, listening
from refinefuse.inference.video.match import TimestampMatcher
from refinefuse.inference.video.sources import Source, open_sources


def read_frames(a: str, b: str, limit: int) -> list[tuple[Pixels, Pixels]]:
    """Read frame pairs spread over two sources: folders paired by name, or videos, cameras and streams paired by time.

    Args:
        a: the first source.
        b: the second source.
        limit: maximum number of pairs, evenly spaced; one per second from cameras.

    Raises:
        InputError: a source cannot be read.
        PairingError: the folders have no name in common.
    """
    if Path(a).is_dir() and Path(b).is_dir():
        pairs = pair_folders(a, b).pairs
        chosen = np.unique(np.linspace(0, len(pairs) - 1, limit).round().astype(int))
        return [(read_image(pairs[number].a), read_image(pairs[number].b)) for number in chosen]
    with listening():
        sources = open_sources(a, b, None, same_size=False)
        with closing(sources[0]), closing(sources[1]):
            return list(_matched(*sources, limit))


def _matched(a: Source, b: Source, limit: int) -> Iterator[tuple[Pixels, Pixels]]:
    stride = max(1, b.count // limit if b.count else round(b.rate))
    every_nth = islice(_intact(b), 0, None, stride)
    matcher = TimestampMatcher(_intact(a), every_nth, period=float(1 / a.rate))
    for _, (one, other) in zip(range(limit), matcher, strict=False):
        yield luma_plane(with_luma(one.image)).copy(), luma_plane(with_luma(other.image)).copy()


def _intact(source: Source) -> Iterator[Frame]:
    return (frame for frame in source if isinstance(frame, Frame))
