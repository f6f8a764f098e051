"""How well known motions of real pairs are recovered, what that costs, and how often the check before fusing errs.

Usage: python benchmarks/bench_alignment.py DATA [--pairs 20] [--sets RoadScene,TNO] [--motions shift,rigid]
DATA is the folder of the datasets. Without DATA the pairs that the package renders are used.

For each pair, `a` is moved, both are cropped by a tenth (40 pixels at most), and `align` is asked for the motion:

  abs   mean distance of the four corners from where the motion and the dataset's own registration put them
  self  the same against the motion after what `align` finds for the pair that was not moved. A dataset that is itself
        off by a few pixels counts in `abs`, not in `self`; what the method always gets wrong by the same counts in
        `abs` alone
  wrong both are above 4 pixels

The residual is what `align` finds for pairs that were not moved, where the moved pair was trusted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from refinefuse.alignment.align import SimilarityMetric, align
from refinefuse.alignment.check import Evidence, find_evidence
from refinefuse.alignment.edges import luma
from refinefuse.alignment.transform import TransformType, centering, corners, project
from refinefuse.data.pairs import pair_folders
from refinefuse.image.files import read_image
from rendering import SCENES

SETS = {
    "RoadScene": ("RoadScene/{}/ir", "RoadScene/{}/vi"),
    "M3SVD": ("M3SVD/{}/ir", "M3SVD/{}/vi"),
    "TNO": ("TNO/{}/ir", "TNO/{}/vi"),
    "LLVIP": ("LLVIP/{}/ir", "LLVIP/{}/vi"),
    "MSRS": ("MSRS/{}/ir", "MSRS/{}/vi"),
    "VIFB": ("VIFB/{}/ir", "VIFB/{}/vi"),
    "IVmisc": ("IVmisc/{}/ir", "IVmisc/{}/vi"),
    "NIR_Country": ("NIR_Country/{}/nir", "NIR_Country/{}/vi"),
    "Lytro": ("Lytro/{}/near", "Lytro/{}/far"),
    "CT-MRI": ("harvard/CT-MRI/{}/CT", "harvard/CT-MRI/{}/MRI"),
    "PET-MRI": ("harvard/PET-MRI/{}/MRI", "harvard/PET-MRI/{}/PET"),
    "SPECT-MRI": ("harvard/SPECT-MRI/{}/MRI", "harvard/SPECT-MRI/{}/SPECT"),
    "CDDFuse CT-MRI": ("harvard_cddfuse/MRI_CT/CT", "harvard_cddfuse/MRI_CT/MRI"),
    "CDDFuse PET-MRI": ("harvard_cddfuse/MRI_PET/MRI", "harvard_cddfuse/MRI_PET/PET"),
    "CDDFuse SPECT-MRI": ("harvard_cddfuse/MRI_SPECT/MRI", "harvard_cddfuse/MRI_SPECT/SPECT"),
}
MOTIONS: dict[str, TransformType] = {
    "shift": "translation",
    "rigid": "rigid",
    "similarity": "similarity",
    "affine": "affine",
    "homography": "homography",
}
GOOD = 4.0  # pixels


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--motions", default="shift,rigid,similarity,homography")
    parser.add_argument("--metric", default="edges", choices=["edges", "mutual-information"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.sets.split(",") if options.data else ["rendered"]
    rows: list[dict[str, object]] = []
    for name in names:
        for motion in options.motions.split(","):
            new = [measure(name, *pair, motion, options.metric) for pair in _pairs(options.data, name, options.pairs)]
            rows += new
            print(summary(new), flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows), encoding="utf-8")
        print(checked(name, list(_pairs(options.data, name, 3 * options.pairs))), flush=True)


def _pairs(data: Path | None, name: str, count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Pairs of a dataset, spread evenly over it: test pairs, then training pairs."""
    if data is None:
        yield from _rendered()
        return
    found = []
    for part in ("test", "train"):
        a, b = (data / folder.format(part) for folder in SETS[name])
        if a.is_dir() and (part == "test" or not name.endswith("MRI")):
            found += list(pair_folders(a, b).pairs)
    for i in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int):
        yield found[i].name, luma(read_image(found[i].a)), luma(read_image(found[i].b))


def _rendered() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name in SCENES:
        a, b = render(name)
        yield name, luma(a), luma(b)


def moved(a: np.ndarray, b: np.ndarray, motion: str, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """`a` after a motion and `b`, both cropped, and the true matrix from `b` to `a`."""
    h, w = b.shape
    crop = int(min(40, 0.1 * min(h, w)))
    back = random_motion(motion, (h, w), generator)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    image = cv2.warpPerspective(a, back, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)
    cut = np.array([[1, 0, crop], [0, 1, crop], [0, 0, 1]], float)
    truth = np.linalg.inv(cut) @ np.linalg.inv(back) @ cut
    inner = np.s_[crop : h - crop, crop : w - crop]
    return image[inner], b[inner], truth, a[inner]


def random_motion(motion: str, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Up to 40 pixels, 8 degrees and a scale of 0.8 to 1.25 about the center; homographies move each corner by itself.

    A corner moves by up to 40 pixels, and by up to 8 % of the longer side of a small image.
    """
    ends = corners(size).astype(np.float32)
    if motion in ("affine", "homography"):
        limit = min(40, 0.08 * max(size))
        by = generator.uniform(-1, 1, (4, 2))
        by = by / np.maximum(1, np.linalg.norm(by, axis=1, keepdims=True)) * limit
        if motion == "affine":
            by[3] = by[0] - by[1] + by[2]  # a parallelogram stays one
        return np.asarray(cv2.getPerspectiveTransform(ends, (ends + by).astype(np.float32)), float)
    length, towards = 40 * np.sqrt(generator.uniform(0.06, 1)), generator.uniform(0, 2 * np.pi)
    angle = np.deg2rad(generator.uniform(-8, 8)) if motion != "shift" else 0.0
    scale = np.exp(generator.uniform(np.log(0.8), np.log(1.25))) if motion == "similarity" else 1.0
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, -s, length * np.cos(towards)], [s, c, length * np.sin(towards)], [0, 0, 1]])
    return np.asarray(centering(size) @ turn @ np.linalg.inv(centering(size)))


def measure(
    name: str, pair: str, a: np.ndarray, b: np.ndarray, motion: str, metric: SimilarityMetric
) -> dict[str, object]:
    """What `align` makes of one moved pair."""
    seed = int.from_bytes(f"{name}{pair}{motion}".encode()[-8:], "big")
    image, still, truth, unmoved = moved(a, b, motion, np.random.default_rng(seed))
    start = time.process_time()
    found = align(image, still, transform_type=MOTIONS[motion], metric=metric)
    seconds = time.process_time() - start
    own = align(unmoved, still, transform_type=MOTIONS[motion], metric=metric)

    def off(matrix: np.ndarray, expected: np.ndarray) -> float:
        ends = corners(still.shape)
        return float(np.linalg.norm(project(matrix, ends) - project(expected, ends), axis=1).mean())

    return {
        "set": name, "pair": pair, "motion": motion, "seconds": seconds, "size": still.shape,
        "abs": off(found.transform.matrix, truth), "self": off(found.transform.matrix, truth @ own.transform.matrix),
        "residual": off(own.transform.matrix, np.eye(3)),
        "is_reliable": found.is_reliable, "score_before": found.score_before, "score_after": found.score_after,
        "peak_ratio": found.peak_ratio, "corner_error": found.corner_error, "overlap": found.overlap,
    }  # fmt: skip


def summary(rows: list[dict[str, object]]) -> str:
    """One line for a dataset and a motion."""
    off = {key: np.array([row[key] for row in rows], float) for key in ("abs", "self", "residual", "seconds")}
    trusted = np.array([row["is_reliable"] for row in rows], bool)
    wrong = np.minimum(off["abs"], off["self"]) > GOOD
    cells = [f"{key} {np.median(off[key]):5.2f} px, {np.mean(off[key] <= GOOD):4.0%}" for key in ("abs", "self")]
    good = f"of {trusted.sum():2d} trusted {np.mean(off['self'][trusted] <= GOOD) if trusted.any() else 0:4.0%}"
    errors = (
        f"wrong {wrong.sum()}, not reported {(wrong & trusted).sum()}, right but refused {(~wrong & ~trusted).sum()}"
    )
    rest = f"residual {np.median(off['residual'][trusted]) if trusted.any() else np.nan:5.2f} px"
    head = f"{rows[0]['set']:<18}{rows[0]['motion']:<11}{len(rows):3d}"
    return f"{head}  {'; '.join(cells)}; {good}; {errors}; {rest}; {np.median(off['seconds']):.2f} s"


POOL = 10  # pairs of one size whose evidence is added up
CHECKED = {
    "as they are": (0, 1, 0), "8 px": (0, 1, 8), "20 px": (0, 1, 20), "3 degrees": (3, 1, 0), "x 1.05": (0, 1.05, 0),
    "x 0.85": (0, 0.85, 0),
}  # fmt: skip
"""Degrees, factor and pixels by which `a` is moved before it is checked."""


def checked(name: str, pairs: list[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """How often the check before fusing warns of aligned pairs and of moved ones, one by one and pooled."""
    generator, start = np.random.default_rng(0), time.process_time()
    singles: dict[str, list[bool]] = {}
    pools: dict[str, list[bool]] = {}
    towards = generator.uniform(0, 2 * np.pi)  # one rig
    for label, (degrees, scale, shift) in CHECKED.items():
        by_size: dict[tuple[int, ...], list[Evidence]] = {}
        for _, a, b in pairs:
            about, angle = centering(b.shape), np.deg2rad(degrees)
            c, s, x, y = scale * np.cos(angle), scale * np.sin(angle), shift * np.cos(towards), shift * np.sin(towards)
            matrix = about @ np.array([[c, -s, x], [s, c, y], [0, 0, 1]]) @ np.linalg.inv(about)
            moved_a = cv2.warpPerspective(a, matrix, b.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            if evidence := find_evidence(moved_a, b):
                singles.setdefault(label, []).append(evidence.misalignment() is not None)
                by_size.setdefault(b.shape, []).append(evidence)
        for of_size in by_size.values():
            generator.shuffle(of_size)
            for first in range(0, len(of_size) - POOL + 1, POOL):
                pooled = sum(of_size[first + 1 : first + POOL], of_size[first]).misalignment()
                pools.setdefault(label, []).append(pooled is not None)
    lines = [", ".join(f"{label} {np.mean(found):.0%}" for label, found in of.items()) for of in (singles, pools)]
    cost = 1000 * (time.process_time() - start) / sum(map(len, singles.values()))
    count = len(next(iter(pools.values()), ()))
    return f"{name:<18}warned of, of {len(pairs)}: {lines[0]}; of {count} pools of {POOL}: {lines[1]}; {cost:.1f} ms"


if __name__ == "__main__":
    main()
