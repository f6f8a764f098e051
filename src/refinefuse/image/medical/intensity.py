"""From units to [0, 1]: CT windows, ranges that hold for a whole volume, and color maps."""

from __future__ import annotations

from typing import Any, Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from refinefuse.errors import InputError
from refinefuse.image.medical.volume import Volume
from refinefuse.image.thermal import IntensityRange

WINDOWS = {"brain": (40.0, 80.0), "bone": (400.0, 1800.0), "lung": (-600.0, 1500.0), "tissue": (40.0, 400.0)}
"""Center and width in Hounsfield units. Source: A. Murphy et al., "Windowing (CT)", Radiopaedia.org, article 52108."""

#: Color maps; inferno and magma are perceptually even (S. van der Walt, N. Smith, matplotlib 1.5, 2015), hot is not.
Colormap = Literal["inferno", "magma", "hot", "gray"]
_TABLES = {"inferno": cv2.COLORMAP_INFERNO, "magma": cv2.COLORMAP_MAGMA, "hot": cv2.COLORMAP_HOT}
_USUAL, _HOTTEST = (0.5, 99.5), 99.9  # percentiles over the volume: of MRI, and of PET and SPECT


def parse_window(text: str) -> IntensityRange:
    """A CT window by its name, or as CENTER,WIDTH in Hounsfield units.

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
    """The fixed range of a volume, by what made it; none of its slices gets one of its own.

    CT: the window that is asked for, else the file's own, else soft tissue. PET and SPECT: from 0 to `suv` or the
    99.9th percentile. Everything else: `rule`, else from the 0.5th to the 99.5th percentile.

    Args:
        volume: what is to be shown.
        window: of CT.
        rule: of MRI and of volumes of unknown kind.
        suv: of PET.

    Raises:
        InputError: all values are equal, or an SUV is asked for that the tags do not give.
    """
    slices = np.moveaxis(volume.values, -1, 0)
    if volume.modality == "CT" and rule is None:
        return window or parse_window("{:g},{:g}".format(*(volume.window or WINDOWS["tissue"])))
    try:
        if volume.modality in ("PT", "NM"):
            return _uptake(volume, slices, suv)
        return (rule or IntensityRange("percentile", *_USUAL)).fit(iter(slices))
    except InputError as error:
        raise InputError(f"Cannot use '{volume.path}': {error}") from None


def _uptake(volume: Volume, slices: NDArray[Any], suv: IntensityRange | None) -> IntensityRange:
    if suv is not None:
        if volume.units != "SUV":
            notes = "; ".join(volume.warnings) or "a file without such tags"
            raise InputError(
                f"--suv-range needs a PET whose tags give the SUV.\n  found: {notes}\nLeave --suv-range out."
            )
        return suv
    high = IntensityRange("percentile", 0, _HOTTEST).fit(iter(slices)).high
    if high <= 0:
        raise InputError("there is no uptake in it: no value above 0.\nExport the volume again.")
    return IntensityRange("counts", 0, high)


def scaled(values: NDArray[Any], fixed: IntensityRange) -> Float32[np.ndarray, "h w"]:
    """Values as float32 in [0, 1] by a fixed range, clipped."""
    return ((values - np.float32(fixed.low)) / np.float32(fixed.high - fixed.low)).clip(0, 1).astype(np.float32)


def colored(values: Float32[np.ndarray, "h w"], name: Colormap) -> Float32[np.ndarray, "h w 3"]:
    """Values in [0, 1] as RGB in [0, 1], interpolated between the 256 colors of a map.

    Raises:
        InputError: there is no such map, or it is `gray`, which has no colors.
    """
    if name not in _TABLES:
        raise InputError(f"A color map must be one of {', '.join(get_args(Colormap))}.\n  got: {name!r}")
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], _TABLES[name])[:, 0, ::-1] / np.float32(255)
    levels = np.linspace(0, 1, 256)
    return np.stack([np.interp(values, levels, table[:, channel]) for channel in range(3)], -1).astype(np.float32)
