"""Grids of images with zoomed regions, and the selection of scenes and regions where methods differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from refinefuse.benchmark.figures import COLORS, new_figure
from refinefuse.benchmark.summary import DatasetScores
from refinefuse.image.color import with_source_color
from refinefuse.image.files import read_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

Shown = UInt8[np.ndarray, "h w 3"]
_EDGES = (COLORS[1], COLORS[2], COLORS[4])


def to_display(image: Path, b: Path) -> Shown:
    """Load an image for display; a gray one gets the chroma of `b`, as fused images do by default."""
    return with_source_color(read_image(image), read_image(b))


def select_scenes(score: DatasetScores, methods: Sequence[str], count: int) -> list[str]:
    """Select the pairs on which the methods' scores differ most, relative to each metric's spread over the dataset."""
    spread = np.zeros(len(score.images))
    for values in score.values.values():
        table = np.array([values[name] for name in methods])
        whole = np.nanstd(table)
        spread += np.nan_to_num(np.nanstd(table, 0) / whole) if whole > 0 else 0
    return [score.images[i] for i in np.argsort(-spread, kind="stable")[:count]]


def select_zoom_region(images: Sequence[Shown]) -> list[int]:
    """Select the region (x, y, width, height), a quarter of the image per side, where the edges differ most.

    Differences in local brightness, global contrast and sensor noise are ignored.
    """
    edges = [_edges(image) for image in images]
    spread = np.sqrt(np.var(edges, 0).sum(-1))
    height, width = spread.shape
    h, w = max(4, height // 4), max(4, width // 4)
    if h >= height or w >= width:
        return [0, 0, width, height]
    mean = cv2.boxFilter(spread.astype(np.float32), cv2.CV_32F, (w, h), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inside = mean[: height - h + 1, : width - w + 1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return [int(x), int(y), w, h]


def _edges(image: Shown) -> Float32[np.ndarray, "h w 2"]:
    """Horizontal and vertical gradients of the smoothed gray image, normalized by its contrast."""
    gray = cv2.GaussianBlur(image.mean(-1, dtype=np.float32), (0, 0), 1.5)
    gradients = [cv2.Sobel(gray, cv2.CV_32F, x, y) for x, y in ((1, 0), (0, 1))]
    edges: Float32[np.ndarray, "h w 2"] = np.stack(gradients, -1) / max(float(gray.std()), 1.0)
    return edges


def grid(images: Mapping[str, Shown], windows: Sequence[Sequence[int]], columns: int = 5) -> Figure:
    """Draw images with captions, and below each its upsampled regions in frames of matching colors."""
    height, width = next(iter(images.values())).shape[:2]
    rows = math.ceil(len(images) / columns)
    zoomed = max((w[3] / w[2] for w in windows), default=0) / max(len(windows), 1)
    tall = height / width
    figure = new_figure(2.0 * columns, rows * (2.0 * (tall + zoomed) + 0.26))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    cells = figure.subfigures(rows, columns, squeeze=False, wspace=0, hspace=0)
    for cell, (name, image) in zip(cells.flat, images.items(), strict=False):
        ratios = [tall, zoomed] if windows else [tall]
        layout = cell.add_gridspec(len(ratios), max(len(windows), 1), height_ratios=ratios)
        axes = cell.add_subplot(layout[0, :])
        axes.imshow(image)
        axes.set_title(name, fontsize=9, pad=3)
        axes.set_axis_off()
        for index, window in enumerate(windows):
            x, y, w, h = window
            color = _EDGES[index % len(_EDGES)]
            axes.add_patch(_frame(x, y, w, h, color))
            inset = cell.add_subplot(layout[1, index])
            inset.imshow(image[y : y + h, x : x + w], interpolation="nearest")
            inset.set_xticks([])
            inset.set_yticks([])
            for spine in inset.spines.values():
                spine.set(visible=True, color=color, linewidth=1.5)
    return figure


def _frame(x: int, y: int, width: int, height: int, color: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=color, linewidth=1.2)
