"""Determine the kind of video source from its name, and open two sources."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from refinefuse.data.pairs import images_in, pair_folders
from refinefuse.errors import InputError, format_names
from refinefuse.inference.video.file_source import VideoSource, is_camera
from refinefuse.inference.video.folder_source import FolderSource
from refinefuse.inference.video.frames import exact_rate

VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv")

Source: TypeAlias = VideoSource | FolderSource


def is_video(source: str) -> bool:
    """Whether a command-line argument is a video, a camera or a stream; folders never are."""
    if is_camera(source) or "://" in source:
        return True
    return Path(source).suffix.lower() in VIDEO_EXTENSIONS and not Path(source).is_dir()


def open_sources(a: str, b: str, rate: float | None, *, same_size: bool = True) -> tuple[Source, Source]:
    """Open the two sources of a video.

    Two folders are paired by name, as for images; a folder paired with a video is read in name order.

    Args:
        a: file, folder, camera or URL of the first source.
        b: the second source, likewise.
        rate: frame rate of folders; None means that of the other video, or 25.
        same_size: whether both must have the same size.

    Raises:
        InputError: if one cannot be opened, or their sizes differ and `same_size` is set.
        PairingError: if two folders cannot be paired.
    """
    by_user = None if rate is None else exact_rate(rate)
    with ExitStack() as opened:  # closes the first if the second fails
        if Path(a).is_dir() and Path(b).is_dir():
            sources = _paired_folders(a, b, by_user or Fraction(25))
        else:
            videos = [
                None if Path(name).is_dir() else opened.enter_context(closing(VideoSource(name))) for name in (a, b)
            ]
            beside = by_user or next(video.rate for video in videos if video)
            first, second = (
                video or FolderSource(images_in(name), beside) for video, name in zip(videos, (a, b), strict=True)
            )
            sources = first, second
        if same_size:
            _check_sizes(*sources)
        opened.pop_all()
    turns = [source.tags.rotation for source in sources]
    if turns[0] != turns[1]:
        sources[0].remarks.append(
            f"`a` is tagged with a rotation of {turns[0]} degrees and `b` of {turns[1]}: their pixels were "
            "fused as stored"
        )
    if Path(a).exists() and Path(a).resolve() == Path(b).resolve():
        sources[0].remarks.append(f"both sources are '{a}'")
    return sources


def _paired_folders(a: str, b: str, rate: Fraction) -> tuple[Source, Source]:
    pairing = pair_folders(a, b)
    first, second = (FolderSource([getattr(pair, side) for pair in pairing.pairs], rate) for side in "ab")
    for source, alone in ((first, pairing.only_a), (second, pairing.only_b)):
        if alone:
            source.remarks.append(f"{len(alone)} files of '{source.name}' have no counterpart: {_short(alone)}")
    return first, second


def _short(names: Sequence[str]) -> str:
    return ", ".join(line.strip() for line in format_names(list(names)).splitlines())


def _check_sizes(a: Source, b: Source) -> None:
    if a.size == b.size:
        return
    said = []
    for source in (a, b):
        turned = f", tagged with a rotation of {source.tags.rotation} degrees" if source.tags.rotation else ""
        said.append(f"{source.size[0]} x {source.size[1]}   '{source.name}'{turned}")
    raise InputError(
        f"`a` and `b` must have the same height and width.\n  a: {said[0]}\n  b: {said[1]}\n"
        "Align one frame of each with `refinefuse align`, save the transform, and pass it as `transform`."
    )
