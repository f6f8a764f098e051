"""The report: one HTML file that needs nothing else, with sortable tables, figures and a slider over the images."""

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
"""Pixels of the longer side of an image in the report."""


@dataclass(frozen=True)
class Scene:
    """One pair in the slider.

    Attributes:
        name: set and pair.
        images: caption -> image as a data address.
    """

    name: str
    images: Mapping[str, str]


@dataclass
class Section:
    """A part of the report: a heading, tables, figures, remarks.

    Attributes:
        title: the heading.
        tables: in order.
        figures: title -> the PNG file.
        remarks: what has to be said first: what is missing, what failed.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Path] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def scene(name: str, images: Mapping[str, Shown]) -> Scene:
    """Images of one pair, reduced to `LONGEST` and packed."""
    return Scene(name, {caption: packed_image(image) for caption, image in images.items()})


def packed_image(image: Shown) -> str:
    """An image, reduced to `LONGEST`, as a data address."""
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), (cv2.IMWRITE_WEBP_QUALITY, 88))
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def templates() -> jinja2.Environment:
    """What renders the pages.

    Raises:
        MissingDependencyError: Jinja is not installed.
    """
    with optional("benchmark", "Writing the report"):
        import jinja2
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


def as_html(title: str, convention: str, sections: Sequence[Section], scenes: Sequence[Scene] = ()) -> str:
    """The whole report; `convention` is empty where no metric of fusion is shown.

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
