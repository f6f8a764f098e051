"""Output and exit codes of the fusion commands. Imports torch, so import it only when a command runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from refinefuse.batch.run import BatchSummary
from refinefuse.cli.session import print_failures, to_stderr
from refinefuse.errors import InputError, format_names
from refinefuse.image.files import IMAGE_EXTENSIONS
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.results import FolderResult, VolumeResult
from refinefuse.inference.video.options import VideoResult
from refinefuse.inference.video.sources import VIDEO_EXTENSIONS, is_video
from refinefuse.inference.volumes import are_volumes
from refinefuse.weights.store import shipped

WINDOW = 2.0
"""Length in seconds of the window for the lowest frame rate."""


class Loader:
    """Create the fuser on first use, and keep it to report its weights.

    Args:
        make: creates the fuser.
    """

    def __init__(self, make: Callable[[], Fuser]) -> None:
        self._make = make
        self._fuser: Fuser | None = None

    def __call__(self) -> Fuser:
        """Return the fuser."""
        if self._fuser is None:
            self._fuser = self._make()
        return self._fuser

    def describe(self) -> str:
        """Describe the weights used, in one line."""
        entry = shipped().get(self().weights)
        return f"Weights: {self().weights}{f' ({entry.file})' if entry else ''}"


def check_kind(command: str, sources: Sequence[str], output: str) -> None:
    """Reject inputs and outputs that belong to another command.

    Raises:
        InputError: another command is needed; the message names it.
    """
    are_images = all(Path(one).suffix.lower() in IMAGE_EXTENSIONS and not Path(one).is_dir() for one in sources)
    if any(map(is_video, sources)):
        belongs = "video"
    elif are_volumes([Path(source) for source in sources]):
        belongs = "volume"
    elif are_images:
        belongs = "fuse"
    else:  # folders of images or frames; the extension of the result may be wrong
        suffix = Path(output).suffix.lower()
        if command == "video" and suffix not in IMAGE_EXTENSIONS:
            return
        belongs = "video" if suffix in VIDEO_EXTENSIONS else "fuse"
    if belongs == command:
        return
    kinds = {"fuse": "images", "video": "videos", "volume": "volumes"}
    raise InputError(f"These are {kinds[belongs]}, not {kinds[command]}.\nUse `refinefuse {belongs}`.")


def report_pair(result: FolderResult, output: Path, loader: Loader) -> int:
    """Report the result of one pair."""
    _print_warnings(warning.message for found in result.warnings.values() for warning in found)
    print(f"Saved '{output}'.\n{loader.describe()}")
    return 0


def report_folder(result: FolderResult, output: Path, loader: Loader) -> int:
    """Report the results of a folder run."""
    counts = f"{len(result.fused)} fused, {len(result.skipped)} skipped, {len(result.failed)} failed"
    print(f"{counts}. See '{output}'.")
    for fitted in result.ranges:
        print(f"range: {fitted.low:g} to {fitted.high:g} counts for all images (--range-per-image fits each image)")
    _print_warnings(warning.message for warning in result.pooled_warnings)
    _print_by_message((warning.message, name) for name, found in result.warnings.items() for warning in found)
    code = print_failures(result.failed, result.unpaired)
    print(loader.describe())
    return code


def report_batch(summary: BatchSummary, output: str) -> int:
    """Report the results of a batch."""
    counts = f"{len(summary.fused)} fused, {summary.skipped} skipped, {len(summary.failed)} failed"
    print(f"{counts}. See '{output}'.")
    _print_by_message((message, name) for name, messages in summary.warnings.items() for message in messages)
    code = print_failures(summary.failed)
    if summary.stopped:
        to_stderr("\nToo many pairs failed, so the batch ended early (--max-failures).")
    return code


def report_video(result: VideoResult, loader: Loader) -> int:
    """Report the result of a video.

    Raises:
        KeyboardInterrupt: the user stopped it.
    """
    rate, lowest, slowest = result.frames / result.seconds, result.lowest_rate(WINDOW), result.slowest()
    at_least = "" if lowest is None else f", at least {lowest:.1f} in any {WINDOW:g} s"
    _print_warnings(dict.fromkeys(warning.message for warning in result.warnings))
    print(
        f"{result.frames} frames in {result.seconds:.1f} s, {rate:.1f} per second{at_least}; slowest: {slowest.name} "
        f"({slowest.busy / result.seconds:.0%} of the time). See '{result.path}'."
    )
    if result.note:
        print(f"{result.note}.")
    if result.damaged:
        to_stderr(f"\nDamaged frames ({len(result.damaged)}):\n{format_names(result.damaged)}")
    if result.failure:
        to_stderr(f"\n{result.failure}")
    print(loader.describe())
    if result.interrupted is not None:
        raise result.interrupted
    return 1 if result.damaged or result.failure else 0


def report_volume(result: VolumeResult, loader: Loader) -> int:
    """Report the result of a volume."""
    print("\n".join(result.messages))
    _print_warnings([*result.warnings, *(warning.message for warning in result.pair_warnings)])
    print(loader.describe())
    return 0


def _print_warnings(messages: Iterable[str]) -> None:
    for message in messages:
        to_stderr(f"warning: {message}.")


def _print_by_message(warnings: Iterable[tuple[str, str]]) -> None:
    """Print each distinct warning once, with the pairs it applies to."""
    by_message: dict[str, list[str]] = {}
    for message, name in warnings:
        by_message.setdefault(message, []).append(name)
    for message, names in by_message.items():
        to_stderr(f"warning, in {len(names)} of the pairs: {message}.\n{format_names(names)}")
