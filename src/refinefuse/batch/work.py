"""Process one pair: fetch, fuse, publish; independent of Ray."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from refinefuse.batch.items import BatchItem
from refinefuse.batch.storage import fetch, join, publish
from refinefuse.errors import RefineFuseError
from refinefuse.image.medical.nifti import is_nifti
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import fuse_files
from refinefuse.inference.fuser import Fuser, FuserOptions
from refinefuse.inference.outputs import OutputFormat, OutputPaths, suffix_of
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.fuse import fuse_video
from refinefuse.inference.video.options import VideoOptions
from refinefuse.inference.video.sources import is_video
from refinefuse.inference.volumes import fuse_volume


@dataclass(frozen=True)
class BatchOptions:
    """Options for fusing every pair.

    Attributes:
        weights: shipped name, or a file available on every machine; None selects the weights by the kind of sources.
        fuser: options of `Fuser`.
        thermal: range and polarity of `a`.
        alignment: how `a` is aligned to `b`.
        output_format: format of fused images, as in `fuse_folder`.
        png_level: PNG compression, as in `fuse_folder`.
    """

    weights: str = "infrared-visible"
    fuser: FuserOptions = field(default_factory=FuserOptions)
    thermal: ThermalOptions = field(default_factory=ThermalOptions)
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    output_format: OutputFormat = "auto"
    png_level: int = 1


@dataclass(frozen=True)
class BatchResult:
    """Result of one pair.

    Attributes:
        name: name of the pair.
        a: first source.
        b: second source.
        output: path or URL of the fused file; empty on failure.
        error: error message; empty on success.
        warnings: warnings about the pair.
        seconds: time from fetching to publishing.
        machine: host name of the worker.
        attempts: number of attempts.
        is_final: whether a retry would fail in the same way.
    """

    name: str
    a: str
    b: str
    output: str = ""
    error: str = ""
    warnings: Sequence[str] = ()
    seconds: float = 0.0
    machine: str = ""
    attempts: int = 1
    is_final: bool = True


class PairWorker:
    """Keep the network loaded and fuse pairs one by one.

    Args:
        options: options for all pairs.
        output: path or URL of the folder for results.
    """

    def __init__(self, options: BatchOptions, output: str) -> None:
        self.options = options
        self.output = output

    @cached_property
    def fuser(self) -> Fuser:
        """The network, loaded for the first pair."""
        return Fuser(self.options.weights, **self.options.fuser)

    def run(self, item: BatchItem) -> BatchResult:
        """Fuse one pair; errors are part of the result."""
        start = time.perf_counter()
        output, error, warnings, is_final = "", "", list[str](), True
        try:
            with tempfile.TemporaryDirectory(prefix="refinefuse-") as folder:
                output, warnings = self._fuse(item, Path(folder))
        except RefineFuseError as problem:
            error = str(problem)
        except Exception as problem:  # network or storage error: may be temporary
            error, is_final = f"{type(problem).__name__}: {problem}", False
        seconds = time.perf_counter() - start
        return BatchResult(
            item.name, item.a, item.b, output, error, warnings, seconds, socket.gethostname(), is_final=is_final
        )

    def _fuse(self, item: BatchItem, folder: Path) -> tuple[str, list[str]]:
        for side in "ab":
            (folder / side).mkdir()
        a, b = fetch(item.a, folder / "a"), fetch(item.b, folder / "b")
        fused = folder / f"fused{self._suffix(a, b)}"
        if is_video(str(a)):
            options = VideoOptions(thermal=self.options.thermal, alignment=self.options.alignment)
            warnings = [
                warning.message for warning in fuse_video(a, b, fused, fuser=self.fuser, options=options).warnings
            ]
        elif is_nifti(b):
            warnings = list(fuse_volume(a, b, fused, fuser=self.fuser).warnings)
        else:
            outputs = OutputPaths(fused, png_level=self.options.png_level)
            done = fuse_files(lambda: self.fuser, (a, b), outputs, self.options.thermal, self.options.alignment)
            warnings = [warning.message for found in done.warnings.values() for warning in found]
        output = join(self.output, f"{item.name}{self._suffix(a, b)}")
        publish(fused.read_bytes(), output)
        return output, warnings

    def _suffix(self, a: Path, b: Path) -> str:
        if is_video(str(a)):
            return b.suffix.lower()
        if is_nifti(b):
            return ".nii.gz"
        are_tiff = any(path.suffix.lower() in (".tif", ".tiff") for path in (a, b))
        return suffix_of(self.options.output_format) or (".tif" if are_tiff else ".png")
