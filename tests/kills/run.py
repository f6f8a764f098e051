"""Kill runs at random moments: `python tests/kills/run.py --kills 12`. Prints a row per kind, with the longest
training that was lost, and what went wrong.

Whatever kills a run, each old result is there unchanged or the new one is complete; the next run gives what a run gives
that nothing disturbed, and removes what the killed one left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from signal import SIGINT, Signals, default_int_handler, signal

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmark"))
sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))

from clips import beep, scene, write_video
from harness import SIGNALS, Runs
from safetensors.torch import load
from small import CONFIG

from refinefuse.image.files import write_image
from series import CT_CLASS, head, write_series

RECIPE = """\
name: tiny
datasets: [{a: ir, b: vi, weight: 1}]
network: {channels: [4, 6], context_size: 8, context_channels: 4, num_heads: 2, num_interactions: 1}
max_steps: 200
batch_size: 2
crop_size: 32
"""


def colored(index: int, height: int, width: int) -> np.ndarray:
    """A rendered scene in color."""
    return np.dstack([scene(index, height, width, seed) for seed in (1, 2, 3)])


class Images(Runs):
    """A folder of pairs, over old results."""

    count, size, options = 24, (240, 320), ("--overwrite", "--weights", "infrared-visible-small")

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        return ["fuse", "ir", "vi", "-o", "fused", "--quiet", *self.options]

    def make_sources(self) -> None:
        """Write pairs of images."""
        for folder in ("ir", "vi", "fused"):
            (self.folder / folder).mkdir()
        for index in range(self.count):
            write_image(self.folder / "ir" / f"{index}.png", scene(index, *self.size, 1))
            write_image(self.folder / "vi" / f"{index}.png", colored(index, *self.size))

    def make_old(self) -> None:
        """Fuse them in gray."""
        self.undisturbed("--color", "gray")

    def files(self) -> list[Path]:
        """The fused images."""
        return sorted((self.folder / "fused").glob("*.png"))


class LargeTiff(Runs):
    """A TIFF that is read and written strip by strip, over an old result."""

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        given = ["fuse", "a.tif", "b.tif", "-o", "fused.tif", "--overwrite", "--quiet"]
        return [*given, "--tile", "512", "--weights", "infrared-visible-small"]

    def make_sources(self) -> None:
        """Write one pair."""
        write_image(self.folder / "a.tif", np.tile(scene(0, 800, 1000, 1), (2, 2)))
        write_image(self.folder / "b.tif", np.tile(colored(0, 800, 1000), (2, 2, 1)))

    def make_old(self) -> None:
        """Fuse them in gray."""
        self.undisturbed("--color", "gray")

    def files(self) -> list[Path]:
        """The fused image."""
        return sorted(self.folder.glob("fused.tif"))


class Video(Runs):
    """A video over an old one."""

    suffix = ".mp4"

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        given = ["video", "a.mkv", "b.mp4", "-o", f"fused{self.suffix}", "--overwrite", "--quiet"]
        return [*given, "--weights", "infrared-visible-small"]

    def make_sources(self) -> None:
        """Write two videos, one with sound."""
        frames = [colored(index, 240, 320) for index in range(60)]
        write_video(self.folder / "a.mkv", [frame[..., 0] for frame in frames])
        sounds = [("aac", beep(6, 1), 0, {})]
        write_video(self.folder / "b.mp4", frames, codec="libx264", pixel_format="yuv420p", sounds=sounds)

    def make_old(self) -> None:
        """Write a short video."""
        codec = "ffv1" if self.suffix == ".avi" else "libx264"
        frames = [colored(index, 240, 320) for index in range(3)]
        write_video(self.folder / f"fused{self.suffix}", frames, codec=codec, pixel_format="yuv420p")

    def files(self) -> list[Path]:
        """The fused video; what an interrupted run wrote is beside it, as `fused.partial`, and stays."""
        return list(self.folder.glob(f"fused{self.suffix}"))


class Matroska(Video):
    """A video in Matroska."""

    suffix = ".mkv"


class Avi(Video):
    """A video in AVI."""

    suffix = ".avi"


class Nifti(Runs):
    """Volumes, over an old result."""

    output = "fused.nii.gz"

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        return ["volume", "ct", "mr", "-o", self.output, "--overwrite", "--quiet"]

    def make_sources(self) -> None:
        """Write two series of DICOM files."""
        write_series(self.folder / "ct", head((96, 90, 24)) - 500, Modality="CT", SOPClassUID=CT_CLASS)
        write_series(self.folder / "mr", head((96, 90, 24), seed=1))

    def make_old(self) -> None:
        """Fuse them in another window."""
        self.undisturbed("--window", "bone")

    def files(self) -> list[Path]:
        """The fused volume."""
        return sorted(self.folder.glob("fused*.nii.gz"))


class Dicom(Nifti):
    """Volumes that become DICOM."""

    output = "fused"

    def files(self) -> list[Path]:
        """The fused volume."""
        return sorted(self.folder.glob("fused/*.dcm"))


class Training(Runs):
    """A training with a data worker, from the start; the next run resumes it, up to rounding."""

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        return ["train", "recipe.yaml", "--data-root", ".", "-o", "run", "--accelerator", "cpu", "--quiet"]

    def make_sources(self) -> None:
        """Write pairs and a recipe."""
        (self.folder / "recipe.yaml").write_text(RECIPE)
        for folder in ("ir", "vi"):
            (self.folder / folder).mkdir()
            for index in range(12):
                write_image(self.folder / folder / f"{index}.png", scene(index, 48, 64, len(folder) + index))

    def make_old(self) -> None:
        """Nothing: a finished training is not done again."""

    def files(self) -> list[Path]:
        """The trained weights."""
        return sorted(self.folder.glob("run/tiny.safetensors"))

    def lost_work(self, moment: float) -> list[str]:
        """Training since the last checkpoint, or since the start: at most a minute; by SIGTERM one is written."""
        saved = [self.folder / "run" / name for name in ("recipe.yaml", "last.ckpt")]
        times = [path.stat().st_mtime for path in saved if path.exists()]
        seconds = moment - max(times, default=moment)
        self.longest = max(self.longest, seconds)
        return ["more than a minute of training was lost"] if seconds > 60 else []

    def put_back(self) -> None:
        """Remove the run."""
        for path in sorted(self.folder.glob("run/**/*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def is_same(self, one: bytes, other: bytes) -> bool:
        """Whether the weights are the same up to rounding."""
        found, wanted = load(one), load(other)
        return found.keys() == wanted.keys() and all(np.allclose(found[n], wanted[n], atol=5e-4) for n in found)


class Benchmark(Training):
    """A benchmark, from the start; the next run resumes it."""

    @property
    def command(self) -> list[str]:
        """The words after `refinefuse`."""
        return ["benchmark", "config.yaml", "--data-root", ".", "-o", "run", "--num-workers", "1"]

    def make_sources(self) -> None:
        """Write pairs, the results of two methods, and a config."""
        (self.folder / "config.yaml").write_text(CONFIG)
        for folder in ("ir", "vi", "results/Set/Mine", "results/Set/Theirs"):
            (self.folder / folder).mkdir(parents=True)
            for index in range(12):
                write_image(self.folder / folder / f"{index}.png", scene(index, 96, 128, len(folder)))

    def files(self) -> list[Path]:
        """Scores, tables and report."""
        return sorted(
            [*self.folder.glob("run/*.csv"), *self.folder.glob("run/tables/*"), *self.folder.glob("run/*.html")]
        )

    def is_same(self, one: bytes, other: bytes) -> bool:
        """Whether they are equal."""
        return one == other


KINDS: dict[str, type[Runs]] = {
    "images": Images,
    "tiff": LargeTiff,
    "mp4": Video,
    "mkv": Matroska,
    "avi": Avi,
    "nifti": Nifti,
    "dicom": Dicom,
    "training": Training,
    "benchmark": Benchmark,
}


def main() -> int:
    """Kill runs of each kind, by each signal in turn, and print a table; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--kills", type=int, default=12, help="of each kind")
    parser.add_argument("--signals", nargs="+", choices=[s.name for s in SIGNALS], default=[s.name for s in SIGNALS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal(SIGINT, default_int_handler)  # a shell lets what it runs in the background ignore it, and so would the runs
    random = np.random.default_rng(options.seed)
    failures = 0
    print(f"{'kind':<12}{'kills':>8}{'failures':>10}{'s lost':>10}", flush=True)
    for kind in options.kinds:
        wrong: Counter[tuple[str, str]] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            runs = KINDS[kind](Path(folder) / kind)
            for index in range(options.kills):
                number = Signals[options.signals[index % len(options.signals)]]
                for failure in runs.kill(number, random.uniform(0.3, 1) * runs.seconds):
                    wrong[number.name, failure] += 1
        print(f"{kind:<12}{options.kills:>8}{sum(wrong.values()):>10}{runs.longest:>10.0f}", flush=True)
        for (name, failure), times in wrong.items():
            print(f"  {times} x {name}: {failure}", flush=True)
        failures += sum(wrong.values())
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
