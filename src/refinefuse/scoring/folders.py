"""Score files and folders: fused images of one or several methods against their sources.

Means are computed over the images common to all methods, with bootstrap confidence intervals over images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError, PairingError, RefineFuseError
from refinefuse.filters import LUMA
from refinefuse.image.files import IMAGE_EXTENSIONS, read_image
from refinefuse.metrics import evaluate
from refinefuse.metrics.conventions import chosen_metrics, convention_named
from refinefuse.progress import progress_bar

Channels: TypeAlias = Literal["luma", "rgb"]


@dataclass(frozen=True)
class Triplet:
    """One fused image and its sources.

    Attributes:
        method: name of the method.
        name: name of the scene.
        fused: file of the fused image.
        a: file of the first source.
        b: file of the second source.
    """

    method: str
    name: str
    fused: Path
    a: Path
    b: Path

    def read(self, channels: Channels) -> tuple[Tensor, Tensor, Tensor]:
        """Read the fused image and its sources, as `read_triplet`."""
        return read_triplet(self, channels)


@dataclass(frozen=True)
class ScoringTask:
    """A scoring task.

    Attributes:
        triplets: triplets to score, method by method.
        unmatched: fused images without a source.
        missing: number of source pairs without a fused image, by method.
        notes: further remarks for the user.
    """

    triplets: tuple[Triplet, ...]
    unmatched: tuple[str, ...]
    missing: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mean:
    """A mean over images with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one or several methods.

    Attributes:
        convention: key of the convention.
        metrics: keys of the metrics, in order.
        scores: method -> image -> metric -> value.
        failures: images that could not be scored, with the reasons.
    """

    convention: str
    metrics: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: tuple[str, ...]

    @property
    def common(self) -> list[str]:
        """Return the images common to all methods."""
        methods = list(self.scores.values())
        return [name for name in methods[0] if all(name in other for other in methods)] if methods else []

    def means(self) -> dict[str, dict[str, Mean]]:
        """Return method -> metric -> mean over the common images."""
        return {
            method: {key: bootstrap([images[name][key] for name in self.common]) for key in self.metrics}
            for method, images in self.scores.items()
        }

    def to_csv(self) -> str:
        """Return all scores as CSV, one row per image."""
        from refinefuse.scoring.tables import as_csv

        return as_csv(self)

    def to_json(self) -> str:
        """Return scores, means and intervals as JSON; NaN becomes null."""
        from refinefuse.scoring.tables import as_json

        return as_json(self)

    def to_latex(self) -> str:
        """Return the means as a LaTeX table with the best and second-best marked."""
        from refinefuse.scoring.tables import as_latex

        return as_latex(self)

    def deviations(self) -> dict[str, dict[str, float]]:
        """Return method -> metric -> standard deviation over the common images."""
        return {
            method: {key: float(np.std([images[name][key] for name in self.common])) for key in self.metrics}
            for method, images in self.scores.items()
        }


def find_triplets(fused: Sequence[Path], a: Path, b: Path) -> ScoringTask:
    """Match fused images with their sources by name.

    Args:
        fused: images, folders of images, or folders of such folders; each folder of images is one method.
        a: the first source: an image or a folder, like `fused`.
        b: the second source, likewise.

    Raises:
        PairingError: files and folders are mixed, or nothing matches.
    """
    if a.is_file() and b.is_file():
        for path in fused:
            if not path.is_file():
                found = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
                raise PairingError(f"The sources are files, but '{path}' {found}.\nPass three files, or three folders.")
        return ScoringTask(tuple(Triplet(file_method(path, fused), a.stem, path, a, b) for path in fused), (), {})
    sources = {pair.name: pair for pair in pair_folders(a, b).pairs}
    triplets: list[Triplet] = []
    unmatched: list[str] = []
    missing = {}
    for method, folder in _methods(fused).items():
        pairing = pair_folders(folder, a)
        matched = [pair for pair in pairing.pairs if pair.name in sources]
        unmatched = [pair.a.name for pair in pairing.pairs if pair.name not in sources]
        triplets += [Triplet(method, p.name, p.a, p.b, sources[p.name].b) for p in matched]
        unmatched += [str(folder / name) for name in (*pairing.only_a, *unmatched)]
        if len(sources) > len(matched):
            missing[method] = len(sources) - len(matched)
    return ScoringTask(tuple(triplets), tuple(unmatched), missing)


def file_method(path: Path, paths: Sequence[Path]) -> str:
    """Return the shortest name that distinguishes the file from the others."""
    names = [other.name for other in paths]
    return path.stem if names.count(path.name) == 1 else str(path)


def _methods(fused: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in fused:
        folders = [path] if _holds_images(path) else sorted(f for f in path.glob("*") if _holds_images(f))
        for folder in folders or [path]:
            name = folder.name if folder.name not in found else str(folder)
            found[name] = folder
    return found


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(f.suffix.lower() in IMAGE_EXTENSIONS for f in folder.iterdir())


def read_levels(path: Path, channels: Channels) -> Float[Tensor, "1 c h w"]:
    """Read the 8-bit levels of an image as float64: BT.601 luma rounded to integers, or three channels."""
    return to_levels(read_image(path), channels)


def to_levels(pixels: NDArray[Any], channels: Channels) -> Float[Tensor, "1 c h w"]:
    """Return the levels of an image in memory, as `read_levels`."""
    scale = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 1 / 257}.get(pixels.dtype, 255.0)
    values = np.atleast_3d(pixels).astype(np.float64) * scale
    color = values[..., :3] if values.shape[-1] >= 3 else values[..., :1].repeat(3, -1)
    if channels == "luma":
        luma = color @ np.array(LUMA) if values.shape[-1] >= 3 else color[..., 0]
        color = luma[..., None]
    levels: NDArray[np.float64] = np.floor(color + 0.5)
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)))[None]


def read_triplet(triplet: Triplet, channels: Channels) -> tuple[Tensor, Tensor, Tensor]:
    """Read the levels of the three images.

    Raises:
        InputError: a file cannot be read, or the sizes differ.
    """
    files = {"fused": triplet.fused, "a": triplet.a, "b": triplet.b}
    loaded = {name: read_levels(path, channels) for name, path in files.items()}
    sizes = {name: "{} x {}".format(*image.shape[-2:]) for name, image in loaded.items()}
    if len(set(sizes.values())) > 1:
        lines = "\n".join(f"  {name + ':':<7}{sizes[name]}   '{path}'" for name, path in files.items())
        raise InputError(f"The fused image and its sources must have the same height and width.\n{lines}")
    return loaded["fused"], loaded["a"], loaded["b"]


def score_triplets(
    triplets: Iterable[Triplet],
    metrics: Sequence[str] = ("common", "diagnostics"),
    convention: str = "default",
    channels: Channels = "luma",
    num_workers: int = 1,
    progress: bool | None = False,
) -> ScoreTable:
    """Score triplets of files; those that fail are reported and left out.

    Args:
        triplets: triplets to score.
        metrics: metric keys, as in `evaluate`.
        convention: whose definitions to use.
        channels: luma, or the three color channels separately.
        num_workers: number of parallel workers, with one thread each; with 1, torch uses its own threads.
        progress: show a progress bar on standard error; None shows it only on a terminal.
    """
    triplets = list(triplets)
    rules = convention_named(convention)
    keys = chosen_metrics(metrics, rules)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    failures: list[str] = []

    def work(triplet: Triplet) -> dict[str, float] | RefineFuseError:
        try:
            values = evaluate(*triplet.read(channels), metrics=keys, convention=convention)
        except RefineFuseError as error:
            return error
        return {key: float(value) for key, value in values.items()}

    def collect() -> Iterator[None]:
        for triplet, found in zip(triplets, _in_parallel(work, triplets, num_workers), strict=True):
            if isinstance(found, RefineFuseError):
                failures.append(f"{triplet.method}, {triplet.name}: {found}")
            else:
                scores.setdefault(triplet.method, {})[triplet.name] = found
            yield

    for _ in progress_bar("scoring", collect(), total=len(triplets), show=progress):
        pass
    return ScoreTable(rules.key, tuple(keys), scores, tuple(failures))


def _in_parallel(
    work: Callable[[Triplet], dict[str, float] | RefineFuseError], triplets: list[Triplet], num_workers: int
) -> Iterator[dict[str, float] | RefineFuseError]:
    """Yield results in order. Threads suffice, since torch releases the GIL while it computes."""
    if num_workers == 1:
        yield from map(work, triplets)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, triplets)
    finally:
        torch.set_num_threads(threads)


def bootstrap(values: Sequence[float], bootstrap_samples: int = 2000) -> Mean:
    """Compute the mean and its 95 % interval by the percentile bootstrap with a fixed seed, ignoring NaN.

    Source: B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    if not sample.size:
        return Mean(float("nan"), float("nan"), float("nan"))
    index = np.random.default_rng(0).integers(0, sample.size, (bootstrap_samples, sample.size))
    low, high = np.quantile(sample[index].mean(1), [0.025, 0.975], method="inverted_cdf")  # infinity has no midpoint
    return Mean(float(sample.mean()), float(low), float(high))
