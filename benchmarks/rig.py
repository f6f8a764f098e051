"""Calibration of rigs: real pairs, moved by 30 known rigs, and calibrated from 20 frames each.

Usage: python benchmarks/rig.py DATA [--sets M3SVD/train LLVIP/test] [--rigs 30]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from refinefuse import read_image
from refinefuse.alignment.transform import centering, project
from refinefuse.errors import AlignmentError
from refinefuse.rig.calibrate import calibrate_rig, overlap_corners
from refinefuse.rig.cells import local_scale
from refinefuse.rig.lens import nominal_lens
from refinefuse.rig.model import LensTransform

FRAMES = 20


@dataclass
class DrawnRig:
    """One synthetic rig: where pixels of the new `b` lie in the new `a`."""

    focal: float
    degrees: np.ndarray
    shift: np.ndarray
    k1: tuple[float, float]

    def transform(self, size: tuple[int, int]) -> LensTransform:
        """Two cameras of one mount: a rotation, another focal length, a shift, and two lenses."""
        focal = 1.1 * max(size)
        turn, _ = cv2.Rodrigues(np.deg2rad(self.degrees))
        camera = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1]])
        zoomed = np.diag([self.focal, self.focal, 1])
        seen = zoomed @ camera @ turn @ np.linalg.inv(camera)
        x, y = self.shift - seen[:2, 2] / seen[2, 2]  # what the rotation shifts is part of the shift
        about = centering(size)
        matrix = about @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ seen @ np.linalg.inv(about)
        lenses = (nominal_lens(size, k1) for k1 in self.k1)
        return LensTransform("homography", size, size, matrix / matrix[2, 2], None, *lenses)


def draw(generator: np.random.Generator) -> DrawnRig:
    """Focal ratio 0.5 to 2, up to 5 degrees about each axis in all, k1 to 0.2, shifts to 60 pixels."""
    axis = generator.normal(size=3)
    degrees = axis / np.linalg.norm(axis) * generator.uniform(0, 5)
    shift = generator.uniform(-1, 1, 2)
    shift *= min(1, 1 / np.linalg.norm(shift)) * 60
    focal, k1_a, k1_b = np.exp(generator.uniform(np.log(0.5), np.log(2))), *generator.uniform(-0.2, 0.1, 2)
    return DrawnRig(float(focal), degrees, shift, (float(k1_a), float(k1_b)))


def moved(a: np.ndarray, b: np.ndarray, rig: LensTransform) -> tuple[np.ndarray, np.ndarray]:
    """The pair as the two cameras of a rig would see it."""
    h, w = a.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float)), -1).reshape(-1, 2)
    ideal = rig.lens_moving.undistort(grid)
    inverse = LensTransform("homography", (h, w), (h, w), np.linalg.inv(rig.matrix))
    in_b = inverse.map_points(ideal).reshape(h, w, 2).astype(np.float32)
    from_b = rig.lens_fixed.undistort(grid).reshape(h, w, 2).astype(np.float32)
    return cv2.remap(a, in_b, None, cv2.INTER_CUBIC), cv2.remap(b, from_b, None, cv2.INTER_CUBIC)


def errors(found: LensTransform, true: LensTransform, own: LensTransform) -> tuple[float, float]:
    """Mean distance at the corners of the overlap, in pixels of `b`: to the truth, and to it on top of `own`."""
    ends, scale = overlap_corners(true), local_scale(true)
    through = true.lens_moving.distort(project(true.matrix, own.map_points(true.lens_fixed.undistort(ends))))
    return tuple(
        float(np.linalg.norm(found.map_points(ends) - positions, axis=1).mean()) / scale
        for positions in (true.map_points(ends), through)
    )


def frames_of(folder: Path, generator: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a dataset, cut to their common size."""
    visible = {file.stem: file for file in (folder / "vi").iterdir()}
    files = sorted((folder / "ir").iterdir())
    chosen = [files[number] for number in generator.permutation(len(files))[:FRAMES]]
    pairs = [(read_image(file), read_image(visible[file.stem])) for file in chosen]
    h, w = (min(a.shape[axis] for a, _ in pairs) for axis in (0, 1))
    return [tuple(x[(x.shape[0] - h) // 2 :, (x.shape[1] - w) // 2 :][:h, :w] for x in pair) for pair in pairs]


def main() -> None:
    """Print a line for each rig and the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["M3SVD/train", "LLVIP/test", "RoadScene/test"])
    parser.add_argument("--rigs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    results, refused = [], 0
    for number in range(options.rigs):
        name, rig = options.sets[number % len(options.sets)], draw(generator)
        pairs = frames_of(options.data / name, generator)
        true = rig.transform(pairs[0][1].shape[:2])
        turned, lenses = np.linalg.norm(rig.degrees), " ".join(f"{k1:+.2f}" for k1 in rig.k1)
        head = (
            f"{number:3} {name:14} x{rig.focal:.2f} {turned:.1f} deg, {np.linalg.norm(rig.shift):2.0f} px, k1 {lenses}"
        )
        start = time.process_time()
        try:
            found = calibrate_rig([moved(a, b, true) for a, b in pairs])
        except AlignmentError as error:
            refused += 1
            print(head, "refused:", "; ".join(map(str.strip, str(error).splitlines()[1:-1])), flush=True)
            continue
        seconds = time.process_time() - start
        results.append(errors(found.transform(), true, calibrate_rig(pairs).transform()))
        print(
            head, "off by {:.2f}, {:.2f}".format(*results[-1]), f"expected {found.quality.corner_error:.2f}",
            f"residual {found.quality.residual:.2f}, {seconds:.0f} s", flush=True
        )  # fmt: skip
    print(f"{len(results)} calibrated, {refused} refused")
    for name, values in zip(("dataset", "itself"), np.array(results).T, strict=True):
        print(f"against {name}: median {np.median(values):.2f} px, within 3 px {np.mean(values < 3):.0%}")


if __name__ == "__main__":
    main()
