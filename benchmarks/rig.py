"""Calibration of rigs: real pairs, moved by 30 known rigs, calibrated from 20 frames each, and checked with others.

Usage: python benchmarks/rig.py DATA [--sets M3SVD LLVIP] [--rigs 30] [--checks 7] [--num-workers 1] [--store rig.jsonl]

No set of real pairs is aligned to a fraction of a pixel. The error is that against the set as it is, and against the
set on top of its own misalignment, as calibrating the unmoved pairs finds it.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from refinefuse import read_image
from refinefuse.alignment.transform import centering, project
from refinefuse.errors import AlignmentError, InputError
from refinefuse.rig.calibrate import calibrate_rig, overlap_corners
from refinefuse.rig.cells import local_scale
from refinefuse.rig.check import check_rig
from refinefuse.rig.lens import nominal_lens
from refinefuse.rig.model import LensTransform

FRAMES = 20
MOVED, MOVES = 3.0, 2  # pixels of `b`, and how often per rig
Pairs = list[tuple[np.ndarray, np.ndarray]]


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


@dataclass
class StudiedRig:
    """What became of one rig; lengths in pixels of `b`."""

    name: str
    number: int
    text: str
    refused: str = ""
    errors: tuple[float, float] | None = None
    expected: float = 0.0
    held: list[bool] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)


def draw(generator: np.random.Generator) -> DrawnRig:
    """Focal ratio 0.5 to 2, up to 5 degrees about each axis in all, k1 to 0.2, shifts to 60 pixels."""
    axis = generator.normal(size=3)
    degrees = axis / np.linalg.norm(axis) * generator.uniform(0, 5)
    shift = generator.uniform(-1, 1, 2)
    shift *= min(1, 1 / np.linalg.norm(shift)) * 60
    focal, k1_a, k1_b = np.exp(generator.uniform(np.log(0.5), np.log(2))), *generator.uniform(-0.2, 0.1, 2)
    return DrawnRig(float(focal), degrees, shift, (float(k1_a), float(k1_b)))


def moved(pairs: Pairs, rig: LensTransform) -> Pairs:
    """Pairs as the two cameras of a rig would see them."""
    h, w = pairs[0][0].shape[:2]
    grid = np.stack(np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float)), -1).reshape(-1, 2)
    inverse = LensTransform("homography", (h, w), (h, w), np.linalg.inv(rig.matrix))
    in_b = inverse.map_points(rig.lens_moving.undistort(grid)).reshape(h, w, 2).astype(np.float32)
    from_b = rig.lens_fixed.undistort(grid).reshape(h, w, 2).astype(np.float32)
    return [(cv2.remap(a, in_b, None, cv2.INTER_CUBIC), cv2.remap(b, from_b, None, cv2.INTER_CUBIC)) for a, b in pairs]


def errors(found: LensTransform, true: LensTransform, own: LensTransform) -> tuple[float, float]:
    """Mean distance at the corners of the overlap, in pixels of `b`: to the truth, and to it on top of `own`."""
    ends, scale = overlap_corners(true), local_scale(true)
    through = true.lens_moving.distort(project(true.matrix, own.map_points(true.lens_fixed.undistort(ends))))
    return tuple(
        float(np.linalg.norm(found.map_points(ends) - positions, axis=1).mean()) / scale
        for positions in (true.map_points(ends), through)
    )


def pairs_of(folder: Path) -> Pairs:
    """All pairs of a dataset, cut to their common size."""
    visible = {file.stem: file for file in folder.glob("t*/vi/*")}
    pairs = [(read_image(file), read_image(visible[file.stem])) for file in sorted(folder.glob("t*/ir/*"))]
    h, w = (min(a.shape[axis] for a, _ in pairs) for axis in (0, 1))
    return [tuple(x[(x.shape[0] - h) // 2 :, (x.shape[1] - w) // 2 :][:h, :w] for x in pair) for pair in pairs]


def study(job: tuple[str, int], data: Path, checks: int) -> StudiedRig:
    """Calibrate one rig from 20 frames, and check it with draws of 20 others, as it is and after a move."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    name, number = job
    generator = np.random.default_rng([0, number])
    rig, pairs = draw(generator), pairs_of(data / name)
    order = generator.permutation(len(pairs))
    used, later = ([pairs[index] for index in part] for part in (order[:FRAMES], order[FRAMES:]))
    true = rig.transform(pairs[0][1].shape[:2])
    lenses = " ".join(f"{k1:+.2f}" for k1 in rig.k1)
    turned, shifted = np.linalg.norm(rig.degrees), np.linalg.norm(rig.shift)
    studied_rig = StudiedRig(
        name, number, f"{number:3} {name:6} x{rig.focal:.2f} {turned:.1f} deg, {shifted:2.0f} px, k1 {lenses}"
    )
    try:
        found = calibrate_rig(moved(used, true))
        studied_rig.errors = errors(found.transform(), true, calibrate_rig(used).transform())
    except AlignmentError as error:
        studied_rig.refused = "; ".join(map(str.strip, str(error).splitlines()[1:-1]))
        return studied_rig
    studied_rig.expected = found.quality.corner_error
    for turn in range(checks):
        chosen = [later[index] for index in generator.permutation(len(later))[:FRAMES]]
        angle, shift = generator.uniform(0, 2 * np.pi), np.eye(3)
        shift[:2, 2] = MOVED * np.cos(angle), MOVED * np.sin(angle)
        after = replace(true, matrix=true.matrix @ shift)
        for seen, results in ((true, studied_rig.held), (after, studied_rig.found))[: 2 if turn < MOVES else 1]:
            try:
                results.append(check_rig(found, moved(chosen, seen)).has_moved)
            except InputError:
                results.append(False)
    return studied_rig


def table(studied: list[StudiedRig]) -> str:
    """All rigs, by dataset."""
    lines = [
        "| set | calibrated | corner error, median | within 3 px | on top of the set's own, median | within 3 px "
        "| false alarms | moves of 3 px found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one.name for one in studied):
        ones = [one for one in studied if one.name == name]
        values = np.array([one.errors for one in ones if one.errors])
        parts = [f"{np.median(column):.2f} px | {np.mean(column < 3):.0%}" for column in values.T]
        held, found = ([seen for one in ones for seen in getattr(one, side)] for side in ("held", "found"))
        lines.append(
            f"| {name} | {len(values)} of {len(ones)} | {' | '.join(parts)} | {sum(held)} of {len(held)} "
            f"| {sum(found)} of {len(found)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print a line for each rig and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["M3SVD", "LLVIP"])
    parser.add_argument("--rigs", type=int, default=30)
    parser.add_argument("--checks", type=int, default=7)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--store", type=Path, default=Path("rig.jsonl"), help="what is in it is not run again")
    options = parser.parse_args()
    store = options.store.read_text().splitlines() if options.store.exists() else []
    studied = [StudiedRig(**json.loads(line)) for line in store]
    known = {(one.name, one.number) for one in studied}
    jobs = [job for job in product(options.sets, range(options.rigs)) if job not in known]
    with ProcessPoolExecutor(options.num_workers) as pool, options.store.open("a") as file:
        for one in pool.map(partial(study, data=options.data, checks=options.checks), jobs):
            studied.append(one)
            print(json.dumps(asdict(one)), file=file, flush=True)
            print(one.text, one.refused or f"off by {one.errors}, expected {one.expected:.2f}", flush=True)
    print(table(studied))


if __name__ == "__main__":
    main()
