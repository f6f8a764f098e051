"""Make the files of the browser tests: sources, and what the Python package makes of them."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import nibabel
import numpy as np
import tifffile

from refinefuse.alignment.transform import Transform
from refinefuse.cli import main as refinefuse
from refinefuse.image.files import write_image
from refinefuse.samples import read_sample
from rendering import render

WEIGHTS, FASTEST = "infrared-visible-small", "infrared-visible-nano"
FRAMES, SIDES = 30, (120, 160)
MANY_FRAMES = 900


def fuse(folder: Path, *options: str, weights: str = WEIGHTS, name: str = "fused") -> None:
    """Fuse `a.*` and `b.png` of a folder with the command line."""
    (a,) = folder.glob("a.*")
    results = ["-o", str(folder / f"{name}.png"), "--weight-map", str(folder / f"{name}_weight_map.png")]
    code = refinefuse(
        ["fuse", str(a), str(folder / "b.png"), "--weights", weights, "--device", "cpu", *results, *options]
    )
    if code:
        raise SystemExit(f"the pair in '{folder}' was not fused")


def pair(folder: Path, a: np.ndarray, b: np.ndarray) -> Path:
    """Write a pair as PNG."""
    folder.mkdir()
    write_image(folder / "a.png", a)
    write_image(folder / "b.png", b)
    return folder


def counts(folder: Path) -> None:
    """A pair whose A holds raw thermal counts, in a compressed TIFF of tiles."""
    a, b = render("ridge_16bit")
    folder.mkdir()
    raw = (7000 + a.astype(np.float64) * 2500 / 65535).astype(np.uint16)
    tifffile.imwrite(folder / "a.tif", raw, compression="zlib", predictor=True, tile=(64, 64))
    write_image(folder / "b.png", b)
    fuse(folder)


def aligned(folder: Path) -> None:
    """A pair of two sizes with the transform between them."""
    a, b = render("smoke")
    pair(folder, cv2.resize(a[40:, 30:], (320, 240), interpolation=cv2.INTER_AREA), b)
    matrix = np.array([[0.52, 0.01, -14.3], [-0.01, 0.52, -20.6], [0, 0, 1]])
    Transform("similarity", (240, 320), b.shape[:2], matrix).save(folder / "transform.json")
    fuse(folder, "--transform", str(folder / "transform.json"))


def shifted(folder: Path) -> None:
    """A pair whose A lies 25 pixels too far right and 14 too far down."""
    a, b = read_sample("smoke")
    pair(folder, np.pad(a, ((14, 0), (25, 0)), mode="reflect")[: a.shape[0], : a.shape[1]], b)
    fuse(folder)


def tiny(folder: Path) -> None:
    """A pair that a GPU made of software fuses in a moment."""
    a, b = render("night_street")
    fuse(pair(folder, a[200:272, 250:346], b[200:272, 250:346]))


def large(folder: Path) -> None:
    """A pair of 4000 x 3000 pixels, which is fused in tiles."""
    a, b = (np.tile(x, (7, 7, 1)[: x.ndim])[:3000, :4000] for x in render("smoke"))
    light = np.linspace(0.5, 1, 4000)[None, :]
    pair(folder, (a * light).astype(np.uint8), (b * light[..., None]).astype(np.uint8))
    fuse(folder)


def broken(folder: Path) -> None:
    """Files that are no images."""
    folder.mkdir()
    a, _ = render("night_street")
    whole = cv2.imencode(".png", a)[1].tobytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.png").write_bytes(whole[:5000] + bytes([whole[5000] ^ 255]) + whole[5001:])
    (folder / "text.png").write_text("no image")
    (folder / "empty.tif").write_bytes(b"")
    tifffile.imwrite(folder / "rare.tif", a.astype(">u2") * 99, byteorder=">", compression="zlib", predictor=True)
    tifffile.imwrite(folder / "pages.tif", np.stack([a, a]), photometric="minisblack")
    (folder / "truncated.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")


def video(path: Path, ground: tuple[int, int, int], square: int, frames: int) -> None:
    """A bright square moves over the ground."""
    height, width = SIDES
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            image = np.full((height, width, 3), ground, np.uint8)
            left = 4 * (index % FRAMES)
            image[40:80, left : left + 40] = square
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def videos(folder: Path) -> None:
    """Two short videos and two long ones: over gray ground in A, over color in B."""
    folder.mkdir()
    for suffix, frames in (("", FRAMES), ("-long", MANY_FRAMES)):
        video(folder / f"a{suffix}.webm", (60, 60, 60), 255, frames)
        video(folder / f"b{suffix}.webm", (40, 90, 60), 110, frames)


def volumes(folder: Path) -> None:
    """A CT and an MRI of a rendered head, eight slices of 3 mm."""
    folder.mkdir()
    affine = np.diag([-0.9, -0.9, 3.0, 1.0])
    for name, image in zip(("ct", "mri"), render("head_ct_mri"), strict=True):
        stack = np.stack([image.T * light for light in np.linspace(0.6, 1, 8)], -1)
        values = stack * 8 - 1000 if name == "ct" else stack
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), folder / f"{name}.nii.gz")


def main() -> None:
    """Write everything into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder to create")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True)
    for name in ("night_street", "ridge_16bit", "smoke"):
        fuse(pair(folder / name, *render(name)))
    fuse(folder / "night_street", weights=FASTEST, name="fastest")
    fuse(pair(folder / "sample", *read_sample("smoke")))
    for make in (tiny, counts, aligned, shifted, large, broken, videos, volumes):
        make(folder / make.__name__)


if __name__ == "__main__":
    main()
