"""Flicker: how much a fused video changes where both sources are still, beside the sources' own change.

For the network as it is, with a context that is averaged over time or never changes, and as `refinefuse live` does it.
Videos, or folders of frames that are paired by name.
"""

from __future__ import annotations

import argparse
import os
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from consistency import biswe, ms2r

from refinefuse import Fuser, read_image
from refinefuse.alignment.edges import luma
from refinefuse.inference.video.color_range import luma_plane, luma_range_of, with_luma
from refinefuse.inference.video.file_source import VideoSource
from refinefuse.inference.video.frames import Frame
from refinefuse.live.adapt import SteadyContext, SteadyImage
from refinefuse.network.context import Context


def lumas(path: Path, count: int) -> list[np.ndarray]:
    """The first frames of a video or folder in [0, 255]."""
    if path.is_dir():
        return [luma(read_image(file)) * 255 for file in sorted(path.iterdir())[:count]]
    frames = (frame.image for frame in VideoSource(str(path)) if isinstance(frame, Frame))
    return [luma_range_of(f).normalize(luma_plane(with_luma(f)))[0, 0].numpy() * 255 for f in islice(frames, count)]


def as_luma(plane: np.ndarray) -> torch.Tensor:
    """A plane as the fuser takes it."""
    return torch.from_numpy(plane / np.float32(255))[None, None]


def larger_mean(steps: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """By pixel, how much the sources change nearby: the larger of the two."""
    return np.maximum(*(cv2.blur(step, (9, 9)) for step in steps))


def fused(fuser: Fuser, a: list[np.ndarray], b: list[np.ndarray], keep: float) -> list[np.ndarray]:
    """Fused lumas; `keep` of the context comes from the frame before."""
    results, context = [], None
    for pair in zip(a, b, strict=True):
        x, y = (as_luma(plane) for plane in pair)
        own = fuser.encode_context(x, y)
        before = context or own
        context = Context(*(keep * p + (1 - keep) * q for p, q in zip(before, own, strict=True)))
        results.append(fuser.predict(x, y, context).fused[0, 0].numpy() * 255)
    return results


def live(fuser: Fuser, a: list[np.ndarray], b: list[np.ndarray], rate: float) -> list[np.ndarray]:
    """Fused lumas as a live view makes them."""
    context, image, results = SteadyContext(), SteadyImage(), []
    for number, pair in enumerate(zip(a, b, strict=True)):
        x, y = (as_luma(plane) for plane in pair)
        known = context.update(fuser.encode_context(x, y), number / rate)
        results.append(image.update(fuser.predict(x, y, known).fused, x, y)[0, 0].numpy() * 255)
    return results


def main() -> None:
    """Print the table."""
    data = Path(os.environ.get("REFINEFUSE_DATA", "data")) / "M3SVD/video"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--a", type=Path, default=data / "ir/0111_1716.mp4")
    parser.add_argument("--b", type=Path, default=data / "vi/0111_1716.mp4")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--still", type=float, default=2, help="levels of change, in the mean of 9 x 9 pixels")
    options = parser.parse_args()
    if not options.a.exists():
        print(f"left out: there is no '{options.a}' (set REFINEFUSE_DATA, or give --a and --b)")
        return
    a, b = (lumas(path, options.frames) for path in (options.a, options.b))
    fuser = Fuser(device="cpu")
    rows = {"a": a, "b": b, "live": live(fuser, a, b, 25)} | {
        f"fused, {keep} of the context kept": fused(fuser, a, b, keep) for keep in (0, 0.9, 1)
    }
    steps = {name: np.abs(np.diff(np.stack(frames), axis=0)) for name, frames in rows.items()}
    still = [larger_mean(pair) < options.still for pair in zip(steps["a"], steps["b"], strict=True)]
    print(f"{'':<32}{'change':>8}{'of the mean':>13}{'BiSWE':>8}{'MS2R':>8}")
    for name, frames in rows.items():
        change = np.mean([step[mask].mean() for step, mask in zip(steps[name], still, strict=True)])
        level = np.abs([np.mean((q - p)[mask]) for (p, q), mask in zip(pairwise(frames), still, strict=True)]).mean()
        print(f"{name:<32}{change:>8.3f}{level:>13.3f}{biswe(frames, a, b):>8.2f}{ms2r(frames, a, b):>8.3f}")


if __name__ == "__main__":
    main()
