"""Consistency of a fused video over time: BiSWE and MS2R, with OpenCV's DIS optical flow.

Source: Z. Zhao et al., "A Unified Solution to Video Fusion: From Multi-Frame Learning to Benchmarking", NeurIPS 2025,
as its published program computes them. Differs from it in the optical flow (SEA-RAFT there), so values compare only
among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_AGREED = 1.0  # pixels between the flow forth and back, below which a pixel is seen in both frames
Frames = Sequence[np.ndarray]


class _Flows:
    """Optical flow between frames of one video, each computed once; lumas in [0, 255]."""

    def __init__(self, frames: Frames) -> None:
        self._frames = [frame.clip(0, 255).round().astype(np.uint8) for frame in frames]
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def between(self, start: int, end: int) -> np.ndarray:
        """From the pixels of one frame to where they lie in another: (h, w, 2)."""
        if (start, end) not in self._known:
            self._known[start, end] = self._dis.calc(self._frames[start], self._frames[end], None)
        return self._known[start, end]

    def seen(self, start: int, end: int) -> np.ndarray:
        """Where the flow forth and back agree."""
        forth = self.between(start, end)
        return np.linalg.norm(forth + _warped(self.between(end, start), forth), axis=-1) < _AGREED


def _warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    h, w = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)
    return cv2.remap(image, (grid + flow).astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def biswe(fused: Frames, a: Frames, b: Frames) -> float:
    """Bidirectional self-warping error, in levels: how far a frame differs from both neighbors along its own motion."""
    flows, *sources = (_Flows(frames) for frames in (fused, a, b))
    errors = []
    for now in range(1, len(fused) - 1):
        for other in (now - 1, now + 1):
            seen = sources[0].seen(now, other) & sources[1].seen(now, other)
            apart = np.abs(fused[now] - _warped(fused[other], flows.between(now, other)))
            errors.append(apart[seen].mean() if seen.any() else np.nan)
    return 2 * float(np.nanmean(errors))


def ms2r(fused: Frames, a: Frames, b: Frames) -> float:
    """Motion smoothness with two references, in pixels: how far the change of motion differs from the sources'."""
    flows = [_Flows(frames) for frames in (fused, a, b)]
    differences = []
    for now in range(1, len(fused) - 1):
        own, *references = (one.between(now, now + 1) - one.between(now - 1, now) for one in flows)
        differences.extend(np.abs(own - reference).mean() for reference in references)
    return float(np.mean(differences))
