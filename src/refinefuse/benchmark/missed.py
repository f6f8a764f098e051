"""Objects that a detector misses in each row of a study, as a table and as an HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from refinefuse.atomic import write_text_atomic
from refinefuse.benchmark.detection import SOURCES
from refinefuse.benchmark.grids import Shown
from refinefuse.benchmark.report import packed_image, templates
from refinefuse.detection.drawing import LABEL
from refinefuse.detection.missed import LabeledObject
from refinefuse.scoring.rendering import Cell, Table, marks

MOST_SHOWN = 300
"""Maximum number of objects on a page, to keep it usable; the largest ones missed in the fused image come first."""
CROP = 128
"""Side of a crop in pixels."""


class Property(NamedTuple):
    """Property by which objects are grouped and sorted."""

    title: str
    unit: str
    of: Callable[[LabeledObject], float]


PROPERTIES = (
    Property("size", "pixels", lambda x: x.size),
    Property("light", "of 255", lambda x: x.light),
    Property("contrast in infrared", "levels", lambda x: x.contrast[SOURCES[0]]),
    Property("contrast in visible", "levels", lambda x: x.contrast[SOURCES[1]]),
)


def missed_table(title: str, objects: Sequence[LabeledObject], rows: Sequence[str]) -> Table:
    """Create a table of the miss rate of each row: over all objects and over each tercile of each property.

    Args:
        title: title of the labels.
        objects: all labeled objects.
        rows: rows of the table, the sources first.
    """
    groups = {f"all {len(objects)}": list(objects)}
    for name, unit, of in PROPERTIES:
        low, high = np.quantile([of(one) for one in objects], (1 / 3, 2 / 3))
        groups[f"{name} below {low:.0f} {unit}"] = [one for one in objects if of(one) < low]
        groups[f"{name} {low:.0f} to {high:.0f}"] = [one for one in objects if low <= of(one) < high]
        groups[f"{name} from {high:.0f}"] = [one for one in objects if of(one) >= high]
    groups = {name: group for name, group in groups.items() if group}
    parts = {
        row: [sum(row not in one.found_in for one in group) / len(group) for group in groups.values()] for row in rows
    }
    marked = [marks({row: parts[row][n] for row in rows if row not in SOURCES}) for n in range(len(groups))]
    cells = {
        row: tuple(Cell(f"{part:.3f}", part, mark.get(row, "")) for part, mark in zip(values, marked, strict=True))
        for row, values in parts.items()
    }
    sources = sum(row in SOURCES for row in rows)
    return Table(
        f"{title}-missed",
        f"{title}: fraction of the labeled objects that are missed",
        ("", *(f"{group} ↓" for group in groups)),
        tuple(cells.items()),
        ("Light: mean of the visible image inside the box; contrast: against a frame around the box.",),
        rules=frozenset({sources}) if 0 < sources < len(rows) else frozenset(),
    )


def write_missed_page(
    path: Path,
    title: str,
    objects: Sequence[LabeledObject],
    rows: Sequence[str],
    panels: Callable[[str], Mapping[str, Shown]],
) -> None:
    """Write the page of all objects that are missed in a source or in the fused image.

    Args:
        path: path of the self-contained HTML file.
        title: title of the labels.
        objects: all labeled objects.
        rows: images shown per object: both sources, then one fused image.
        panels: returns the images of a pair by row.
    """
    missed = [one for one in objects if not set(rows) <= one.found_in]
    missed.sort(key=lambda one: (rows[-1] in one.found_in, -one.size))
    shown = sorted(missed[:MOST_SHOWN], key=lambda one: one.image)
    cards, name = [], ""
    images: Mapping[str, Shown] = {}
    for one in shown:
        if one.image != name:
            name, images = one.image, panels(one.image)
        values = {prop.title: round(prop.of(one), 1) for prop in PROPERTIES}
        crops = {row: packed_image(_crop(images[row], one.corners)) for row in rows}
        missing = [row for row in rows if row not in one.found_in]
        cards.append({"image": one.image, "kind": one.kind, "values": values, "crops": crops, "missed": missing})
    page = templates().from_string(Path(__file__).with_name("missed.html").read_text(encoding="utf-8"))
    units = {prop.title: prop.unit for prop in PROPERTIES}
    write_text_atomic(
        path, page.render(title=title, cards=cards, rows=rows, units=units, total=len(objects), missed=len(missed))
    )


def _crop(image: Shown, corners: tuple[int, int, int, int]) -> Shown:
    """Crop an object with its surroundings, draw a thin frame around it, and resize the crop to a square."""
    left, top, right, bottom = corners
    side = max(32, 2 * max(right - left, bottom - top))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    margins = max(0, -y), max(0, y + side - image.shape[0]), max(0, -x), max(0, x + side - image.shape[1])
    padded = cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    crop = padded[y + margins[0] :, x + margins[2] :][:side, :side]
    scale = CROP / side
    crop = cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    start = round((left - x) * scale) - 1, round((top - y) * scale) - 1
    return np.asarray(
        cv2.rectangle(crop, start, (round((right - x) * scale), round((bottom - y) * scale)), LABEL, 1), np.uint8
    )
