"""Map physical units to [0, 1]: modalities, CT windows, fixed ranges per volume, and color maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.volume import NAMES, Modality, Volume
from refinefuse.image.thermal import IntensityRange

WINDOWS = {"brain": (40.0, 80.0), "bone": (400.0, 1800.0), "lung": (-600.0, 1500.0), "tissue": (40.0, 400.0)}
"""Center and width in Hounsfield units. Source: A. Murphy et al., "Windowing (CT)", Radiopaedia.org, article 52108."""

#: Color maps; inferno and magma are perceptually even (S. van der Walt, N. Smith, matplotlib 1.5, 2015), hot is not.
Colormap = Literal["inferno", "magma", "hot", "gray"]
_TABLES = {name: getattr(cv2, f"COLORMAP_{name.upper()}") for name in get_args(Colormap) if name != "gray"}
_CENTRAL, _HOTTEST = (0.5, 99.5), 99.9  # percentiles over the volume: of MRI, and of PET and SPECT
_BODY = -500.0  # HU: above lung and air
MAX_SATURATED = 0.2
"""Fraction of the body that may be white in a CT window without a warning."""
_KINDS: dict[str, Modality] = {"ct": "CT", "mri": "MR", "pet": "PT", "spect": "NM"}


def parse_kinds(text: str, count: int) -> tuple[Modality, ...]:
    """Parse the modality of each source: ct, mri, pet or spect, or empty to use that of the file.

    Raises:
        InputError: an unknown word, or not one per source.
    """
    words = [word.strip().lower() for word in text.split(",")]
    if len(words) != count or any(word and word not in _KINDS for word in words):
        raise InputError(
            f"`kind` must name the modality of each source, separated by commas.\n"
            f"  expected: {count} of {', '.join(_KINDS)}, or empty between commas\n  got: {text!r}"
        )
    return tuple(_KINDS.get(word, "") for word in words)


def with_kind(volume: Volume, kind: Modality) -> Volume:
    """A volume of the modality that the user names, if any; that of its file or name otherwise."""
    if not kind or kind == volume.modality:
        return volume
    units = "HU" if kind == "CT" else "" if volume.modality == "CT" else volume.units
    inverted = volume.is_inverted and kind == "MR"
    return replace(volume, modality=kind, units=units, is_inverted=inverted)


def parse_window(text: str) -> IntensityRange:
    """Parse a CT window: a name, or CENTER,WIDTH in Hounsfield units.

    Raises:
        InputError: if it is neither, or has no width.
    """
    try:
        center, width = WINDOWS[text] if text in WINDOWS else (float(number) for number in text.split(","))
        return IntensityRange("counts", center - width / 2, center + width / 2)
    except ValueError as error:  # InputError is one
        raise InputError(
            f"A window must be {', '.join(WINDOWS)} or CENTER,WIDTH in Hounsfield units.\n  got: {text!r}\n"
            "The width must be greater than 0."
        ) from error


def range_of(
    volume: Volume, window: IntensityRange | None, rule: IntensityRange | None, suv: IntensityRange | None
) -> IntensityRange:
    """The fixed range of a volume, by its modality, the same for all slices.

    `rule` holds for any modality. Without it: for CT `window`, else the file's own, else soft tissue; for PET and SPECT
    from 0 to `suv` or the 99.9th percentile; for everything else the 0.5th to the 99.5th percentile. Padding and NaN
    take no part in percentiles.

    Args:
        volume: the volume to display.
        window: window for CT.
        rule: the user's range for this volume.
        suv: range for PET.

    Raises:
        InputError: all values are equal, or `suv` is given and the tags give no SUV.
    """
    try:
        if rule is not None:
            return rule.fit(iter(volume.slice_values()))
        if volume.modality == "CT":
            return window or parse_window("{:g},{:g}".format(*(volume.window or WINDOWS["tissue"])))
        if volume.modality in ("PT", "NM"):
            return _uptake(volume, suv)
        return IntensityRange("percentile", *_CENTRAL).fit(iter(volume.slice_values()))
    except InputError as error:
        raise InputError(f"Cannot use '{volume.path}': {error}") from None


def intensity_ranges(
    volumes: Sequence[Volume],
    window: IntensityRange | None,
    rule: IntensityRange | None,
    suv: IntensityRange | None,
) -> list[IntensityRange]:
    """The fixed ranges of several sources, by their options.

    `range` applies to all sources but the last (`a`, if there are two), whatever their modality; `window` to every
    CT and `suv_range` to every PET in SUV that `range` does not apply to.

    Raises:
        InputError: an option that would apply to no source, or two to the same one; else as `range_of`.
    """
    rules = [rule] * (len(volumes) - 1) + [None]
    for option, given, modality in (("window", window, "CT"), ("suv_range", suv, "PT")):
        matching = [own for volume, own in zip(volumes, rules, strict=True) if volume.modality == modality]
        if given is not None and not matching:
            sources = "\n".join(f"  {volume.description}" for volume in volumes)
            raise InputError(
                f"`{option}` applies to {NAMES[modality]}, but none of the sources is one.\n{sources}\nRemove it."
            )
        if given is not None and None not in matching:
            raise InputError(
                f"`{option}` and `range` both set the black and white points of the {NAMES[modality]}.\n"
                "Use one of them."
            )
    return [range_of(volume, window, own, suv) for volume, own in zip(volumes, rules, strict=True)]


def _uptake(volume: Volume, suv: IntensityRange | None) -> IntensityRange:
    if suv is not None:
        if volume.units != "SUV":
            notes = "; ".join(volume.warnings) or "a file without such tags"
            raise InputError(f"`suv_range` needs a PET whose tags define the SUV.\n  got: {notes}\nRemove it.")
        return suv
    high = IntensityRange("percentile", 0, _HOTTEST).fit(iter(volume.slice_values())).high
    if high <= 0:
        raise InputError("it shows no uptake: no value is above 0.\nExport the volume again.")
    return IntensityRange("counts", 0, high)


def saturated_fraction(volume: Volume, fixed: IntensityRange) -> float:
    """Fraction of the body in a CT that is white in its window.

    Bone is white in a window of soft tissue, a few percent of the body; if much of the body is, the window is of
    another region or the values are not in HU.

    Args:
        volume: a CT in HU.
        fixed: its window.

    Returns:
        In [0, 1]; 0 if there is no body (nothing above -500 HU).
    """
    body = white = 0
    for values in volume.slice_values():
        inside = values[values > _BODY]
        body += inside.size
        white += int((inside >= fixed.high).sum())
    return white / body if body else 0.0


def intensity_warnings(volume: Volume, fixed: IntensityRange) -> list[str]:
    """Warnings about a volume in its range: a CT that is saturated by its window."""
    fraction = saturated_fraction(volume, fixed) if volume.modality == "CT" else 0.0
    if fraction <= MAX_SATURATED:
        return []
    return [
        f"{fraction:.0%} of the body in '{volume.path}' is white in the window {fixed.low:g} to {fixed.high:g} HU, so "
        "its structure is lost: use a wider `window`, or check that the values are in HU"
    ]


def scaled(values: NDArray[Any], fixed: IntensityRange, *, inverted: bool = False) -> Float32[np.ndarray, "h w"]:
    """Values as float32 in [0, 1] by a fixed range, clipped; then inverted, if they are displayed so."""
    found = ((values - np.float32(fixed.low)) / np.float32(fixed.high - fixed.low)).clip(0, 1).astype(np.float32)
    return np.float32(1) - found if inverted else found


def colored(values: Float32[np.ndarray, "h w"], name: Colormap) -> Float32[np.ndarray, "h w 3"]:
    """Values in [0, 1] as RGB in [0, 1], interpolated between the 256 colors of a map.

    Raises:
        InputError: the name is unknown, or `gray`, which has no colors.
    """
    if name not in _TABLES:
        raise InputError(f"`colormap` must be one of {', '.join(get_args(Colormap))}.\n  got: {name!r}")
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], _TABLES[name])[:, 0, ::-1] / np.float32(255)
    levels = np.linspace(0, 1, 256)
    return np.stack([np.interp(values, levels, table[:, channel]) for channel in range(3)], -1).astype(np.float32)
