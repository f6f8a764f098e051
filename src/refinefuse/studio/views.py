"""Views of a result for the page: 8-bit images, their metrics, and the orientation of volumes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.image.color import to_array, to_ycbcr
from refinefuse.image.files import read_image, write_image
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.outputs import OutputPaths
from refinefuse.metrics.evaluate import evaluate
from refinefuse.metrics.table import COMMON, DIAGNOSTICS, METRICS

LONGEST = 4096
"""Maximum longer side of displayed images; larger ones are downscaled for display and saved at full size."""
MOST_EVALUATED = 4_000_000
"""Maximum number of pixels of a result to evaluate."""
LAYERS = ("fused", "a", "b", "weight", "overlay")
SOURCES = ("a", "b", "fused")


@dataclass(frozen=True)
class Views:
    """The layers of a result.

    Attributes:
        images: 8-bit image of each layer.
        names: file name of each layer.
        size: height and width of the full-size result.
    """

    images: dict[str, NDArray[Any]]
    names: dict[str, str]
    size: tuple[int, int]


def write_views(
    folder: Path, sources: tuple[Tensor, Tensor], alignment: AlignmentOptions, results: OutputPaths
) -> Views:
    """Write the layers displayed by the page.

    Args:
        folder: folder to write to.
        sources: (1, c, h, w) in [0, 1].
        alignment: how the first source is aligned to the second.
        results: paths of the fused image and its weight map.
    """
    a, b = sources
    a = alignment.register(a, b)[0] if alignment.moves else a
    lumas = [to_ycbcr(image).luma for image in (a, b)]
    images = {
        "fused": _eight_bits(read_image(results.output)),
        "a": to_array(a, np.uint8),
        "b": to_array(b, np.uint8),
        "weight": read_image(results.weight_map or results.output),
        "overlay": to_array(torch.cat([lumas[0], (lumas[0] + lumas[1]) / 2, lumas[1]], 1), np.uint8),
    }
    for layer, image in images.items():
        write_image(folder / f"view-{layer}.png", _shrunk(image))
    height, width = images["fused"].shape[:2]
    return Views(images, {layer: f"view-{layer}.png" for layer in LAYERS}, (height, width))


def _eight_bits(image: NDArray[Any]) -> NDArray[Any]:
    if image.dtype == np.uint8:
        return image
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    rounded: NDArray[Any] = np.floor(image.astype(np.float32) * (255 / top) + 0.5).astype(np.uint8)
    return rounded


def _shrunk(image: NDArray[Any]) -> NDArray[Any]:
    scale = LONGEST / max(image.shape[:2])
    return (
        image if scale >= 1 else np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    )


def evaluate_views(views: Views) -> list[dict[str, Any]]:
    """Compute common and diagnostic metrics, one row each; none for large images."""
    if math.prod(views.size) > MOST_EVALUATED:
        return []
    fused, a, b = (_without_alpha(views.images[layer]) for layer in ("fused", "a", "b"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metrics for which the image is too small are NaN
        scores = evaluate(fused, a, b, metrics=[*COMMON, *DIAGNOSTICS])
    return [_row(key, float(value[0])) for key, value in scores.items()]


def _without_alpha(image: NDArray[Any]) -> NDArray[Any]:
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[..., :-1]
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _row(key: str, value: float) -> dict[str, Any]:
    metric = METRICS[key]
    best = "higher is better" if metric.higher_is_better else "lower is better"
    return {
        "key": key,
        "value": value if math.isfinite(value) else None,
        "best": best if metric.ideal is None else f"{metric.ideal:g} is ideal",
        "summary": metric.summary,
        "group": "diagnostics" if key in DIAGNOSTICS else "common",
    }


def write_slice(folder: Path, number: int, images: Sequence[NDArray[Any]]) -> None:
    """Write one slice of the sources and of the result."""
    for source, image in zip(SOURCES, images, strict=True):
        write_image(folder / f"{source}-{number}.png", image)


def volume_geometry(affine: NDArray[np.float64]) -> dict[str, Any]:
    """Return the spacing in millimeters, and the orientation letters at the edges of a slice.

    Args:
        affine: maps row, column and slice to patient coordinates (RAS) in millimeters.
    """
    import nibabel

    down, right, onward = nibabel.aff2axcodes(affine)  # type: ignore[no-untyped-call]
    opposite = dict(zip("LRPAIS", "RLAPSI", strict=True))
    return {
        "spacing": [round(float(length), 4) for length in np.linalg.norm(affine[:3, :3], axis=0)],
        "edges": {"top": opposite[down], "bottom": down, "left": opposite[right], "right": right},
        "ends": {"first": opposite[onward], "last": onward},
    }
