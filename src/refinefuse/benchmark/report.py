"""The report: a self-contained HTML file with sortable tables, figures and an image comparison slider."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import refinefuse
from refinefuse.benchmark.grids import Shown
from refinefuse.errors import optional
from refinefuse.metrics.table import METRICS
from refinefuse.scoring.rendering import Table

if TYPE_CHECKING:
    import jinja2

LONGEST = 640
"""Longer side of an image in the report, in pixels."""


@dataclass(frozen=True)
class Scene:
    """One pair in the slider.

    Attributes:
        name: dataset and pair.
        images: caption -> image as a data URL.
    """

    name: str
    images: Mapping[str, str]


@dataclass
class Section:
    """A part of the report: a heading, tables, figures, remarks.

    Attributes:
        title: heading.
        tables: tables in order.
        figures: title -> PNG file.
        remarks: remarks at the top, about missing data and failures.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Path] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def scene(name: str, images: Mapping[str, Shown]) -> Scene:
    """Create a scene from the images of one pair, downsampled to `LONGEST`."""
    return Scene(name, {caption: packed_image(image) for caption, image in images.items()})


def packed_image(image: Shown) -> str:
    """Encode an image, downsampled to `LONGEST`, as a data URL."""
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), (cv2.IMWRITE_WEBP_QUALITY, 88))
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def templates() -> jinja2.Environment:
    """Return the Jinja environment that renders the pages.

    Raises:
        MissingDependencyError: Jinja is not installed.
    """
    with optional("benchmark", "Writing the report"):
        import jinja2
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


def as_html(title: str, convention: str, sections: Sequence[Section], scenes: Sequence[Scene] = ()) -> str:
    """Render the report; `convention` is empty if it shows no fusion metrics.

    Raises:
        MissingDependencyError: Jinja is not installed.
    """
    template = templates().from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    images = {
        path: base64.b64encode(path.read_bytes()).decode("ascii") for s in sections for path in s.figures.values()
    }
    return template.render(
        title=title,
        convention=convention,
        version=refinefuse.__version__,
        sections=sections,
        images=images,
        scenes=[{"name": one.name, "images": dict(one.images)} for one in scenes],
        metrics={key: row.summary for key, row in METRICS.items()},
    )
