"""What the product writes, one file of every kind, and what the Python API returns for the same sources."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))

from clips import beep, scene, write_video

from refinefuse import Fuser, VolumeOptions, export_onnx, fuse_video, fuse_volume, read_image, score, write_image
from refinefuse.benchmark.config import load_benchmark_config
from refinefuse.benchmark.experiment import run_experiment
from refinefuse.benchmark.image_datasets import PathVariables
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import fuse_files
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.samples import read_sample
from series import CT_CLASS, head, pet_tags, tilt, write_series

WEIGHTS = "infrared-visible-small"
FRAMES, RATE = 20, 10
STUDY = {"PatientSex": "F", "StudyInstanceUID": "1.2.3.9.8", "StudyID": "7", "StudyDate": "20240506"}
STUDY |= {
    "StudyTime": "101010",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "Roe^Max",
    "BodyPartExamined": "HEAD",
}
GEOTIFF: list[Any] = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 5_200_000.0, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
    (42113, 2, 2, "0", True),
]
FORMS = {"gray": 1, "gray-alpha": 2, "color": 3, "color-alpha": 4}


class Outputs:
    """Makes each kind when it is first asked for.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fuser = Fuser(WEIGHTS, device="cpu")

    def fuse(self, a: Path, b: Path, name: str) -> Path:
        """Fuse two files into a third, as the command does."""
        nothing = AlignmentOptions()
        outputs = OutputPaths(self.folder / name)
        fuse_files(lambda: self.fuser, [a, b], outputs, ThermalOptions(), nothing, overwrite=True)
        return outputs.output

    def sources(self, name: str, a: NDArray[Any], b: NDArray[Any]) -> tuple[Path, Path]:
        """Two TIFFs."""
        paths = self.folder / f"a-{name}.tif", self.folder / f"b-{name}.tif"
        for path, pixels in zip(paths, (a, b), strict=True):
            write_image(path, pixels, overwrite=True)
        return paths

    @cached_property
    def documented(self) -> tuple[Path, Path]:
        """A PNG, and a JPEG that says who, when, where, and how its colors are meant."""
        ir, vi = read_sample("night_street")
        paths = self.folder / "a.png", self.folder / "b.jpg"
        write_image(paths[0], ir, overwrite=True)
        exif = Image.Exif()
        exif[271], exif[306] = "Maker", "2024:05:06 07:08:09"
        exif.get_ifd(34665)[36867] = "2024:05:06 07:08:09"
        exif.get_ifd(34853).update({1: "N", 2: (47.0, 7.0, 24.0), 3: "E", 4: (8.0, 30.0, 0.0)})
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
        Image.fromarray(vi).save(paths[1], quality=95, exif=exif, icc_profile=profile, dpi=(300, 300), xmp=xmp)
        return paths

    @cached_property
    def stills(self) -> dict[str, tuple[Path, NDArray[Any]]]:
        """Files by name, each with what the API returns."""
        a, b = self.documented
        expected = np.asarray(self.fuser.fuse(a, b))
        found = {name: (self.fuse(a, b, name), expected) for name in ("x.png", "x.jpg", "x.tif", "x.webp", "x.bmp")}
        ir, vi = read_image(a), read_image(b)
        alpha = np.arange(ir.size, dtype=np.uint8).reshape(ir.shape) | 1
        sources = {1: vi[..., 1], 2: np.dstack([vi[..., 1], alpha]), 3: vi, 4: np.dstack([vi, alpha])}
        for form, channels in FORMS.items():
            for depth, suffixes in (
                (np.uint8, (".png", ".tif")),
                (np.uint16, (".png", ".tif")),
                (np.float32, (".tif",)),
            ):
                scale = {np.uint8: 1, np.uint16: 257, np.float32: np.float32(1 / 255)}[depth]
                files = self.sources(
                    f"{form}-{depth.__name__}", ir.astype(depth) * scale, sources[channels].astype(depth) * scale
                )
                wanted = np.asarray(self.fuser.fuse(*files))
                for suffix in suffixes:
                    name = f"{form}-{depth.__name__}{suffix}"
                    found[name] = self.fuse(*files, name), wanted
        return found

    @cached_property
    def georeferenced(self) -> Path:
        """A GeoTIFF."""
        paths = [self.folder / f"{side}-geo.tif" for side in "ab"]
        for path, pixels in zip(paths, read_sample("night_street"), strict=True):
            kind = "rgb" if pixels.ndim == 3 else "minisblack"
            tifffile.imwrite(path, pixels, photometric=kind, extratags=GEOTIFF)
        return self.fuse(paths[0], paths[1], "geo.tif")

    @cached_property
    def videos(self) -> dict[str, Path]:
        """By extension: two seconds at 10 frames per second, with German audio, subtitles, time and location."""
        frames = [np.dstack([scene(index, 96, 128, seed) for seed in (1, 2, 3)]) for index in range(FRAMES)]
        a = write_video(self.folder / "a.mkv", [frame[..., 0] for frame in frames])
        b = write_video(
            self.folder / "b.mp4",
            frames,
            codec="libx264",
            pixel_format="yuv420p",
            sounds=[("aac", beep(2, 0.5), 0, {"language": "deu"})],
            subtitles=[("mov_text", {"language": "eng"})],
            metadata={"creation_time": "2024-05-06T07:08:09.000000Z", "title": "Ride"},
        )
        found = {}
        for suffix in (".mp4", ".mov", ".mkv", ".avi"):
            found[suffix] = self.folder / f"v{suffix}"
            fuse_video(a, b, found[suffix], fuser=self.fuser, overwrite=True)
        return found

    @cached_property
    def volumes(self) -> dict[str, Path]:
        """NIfTI files, and DICOM files that hold the same volumes."""
        ct = {"Modality": "CT", "SOPClassUID": CT_CLASS}
        series = {
            "ct": (head() - 500, ct),
            "mr": (head(seed=2), {}),
            "pt": (head(seed=1), {"slope": 10.0, **pet_tags()}),
        }
        for name, (values, tags) in series.items():
            if not (self.folder / name).exists():
                write_series(self.folder / name, values, axes=tilt(15), **{**tags, **STUDY})
        found = {}
        for name, first, last in (("gray", "ct", "mr"), ("color", "ct", "pt")):
            for kind in (".nii.gz", "", "-anonymous"):
                options = VolumeOptions(anonymize=kind == "-anonymous")
                output = self.folder / f"{name}{kind}"
                fuse_volume(self.folder / first, self.folder / last, output, options=options, overwrite=True)
                found[f"{name}{kind}"] = output if kind == ".nii.gz" else output / "fused.dcm"
        return found

    @cached_property
    def networks(self) -> dict[str, Path]:
        """Exported networks: of any size, of one size, and half precision."""
        given: dict[str, dict[str, Any]] = {
            "any.onnx": {},
            "fixed.onnx": {"size": (240, 320)},
            "color.onnx": {"size": (240, 320), "color": True},
            "half.onnx": {"precision": "float16"},
        }
        for name, options in given.items():
            export_onnx(WEIGHTS, self.folder / name, overwrite=True, **options)
        return {name: self.folder / name for name in given}

    @cached_property
    def tables(self) -> str:
        """A table for LaTeX whose names have to be escaped."""
        a, b = self.documented
        fused = self.folder / "50% & <i>x</i>_1"
        for folder, pixels in ((self.folder / "t" / "a", read_image(a)), (self.folder / "t" / "b", read_image(b))):
            for name in ("1", "2"):
                write_image(folder / f"{name}.png", pixels, overwrite=True)
        for name in ("1", "2"):
            write_image(fused / f"{name}.png", self.stills["x.png"][1], overwrite=True)
        return score([fused], self.folder / "t" / "a", self.folder / "t" / "b", metrics=["EN", "SD", "Qabf"]).to_latex()

    @cached_property
    def report(self) -> Path:
        """The report of a small experiment, whose names have to be escaped; the tables lie beside it."""
        config = self.folder / "experiment.yaml"
        _ = self.tables
        config.write_text(
            "title: A <b>small</b> experiment\n"
            "methods: [{spec: laplacian, name: 'B_50% & <i>x</i>'}, {spec: average}, {spec: copy-of-b}]\n"
            "datasets: [{name: Set, a: a, b: b}]\nmetrics: [EN, SD]\nscenes: 1\n"
        )
        variables = PathVariables(self.folder / "t", self.folder)
        run_experiment(load_benchmark_config(config), variables, self.folder / "report", 1, False)
        return self.folder / "report" / "report.html"
