"""The widget, built by napari from the signature of `fuse_layers`; its annotations must be types, not strings."""

from typing import Annotated, Any

import numpy as np
from napari.layers import Image
from napari.qt.threading import FunctionWorker, thread_worker
from napari.types import LayerDataTuple

from refinefuse.errors import InputError
from refinefuse.napari.display import Displayed, fuse_displayed
from refinefuse.weights.store import DEFAULT, list_models


def fuse_layers(
    a: Image,
    b: Image,
    weights: Annotated[str, {"choices": list_models()}] = DEFAULT,
    weight_map: bool = False,
) -> FunctionWorker[list[LayerDataTuple]]:
    """Fuse two layers as they are displayed: images, or volumes slice by slice.

    Args:
        a: the layer whose color is not used: infrared, CT, or MRI with PET.
        b: the layer whose color or colormap is kept.
        weights: weights of the network.
        weight_map: also add the weight map of `a`.

    Raises:
        InputError: the layers are not on the same grid.
    """
    _check_grids(a, b)
    first, second = _displayed(a), _displayed(b)
    geometry = {name: getattr(b, name) for name in ("scale", "translate", "rotate", "shear", "affine", "units")}

    def fuse() -> list[LayerDataTuple]:
        fused, weight = fuse_displayed(first, second, weights)
        is_rgb = fused.ndim > b.ndim
        limits = {} if is_rgb else {"contrast_limits": (0, 1)}
        layers: list[Any] = [(fused, {"name": f"{a.name} + {b.name}", "rgb": is_rgb, **limits, **geometry}, "image")]
        if weight_map:
            name = f"weight of {a.name}"
            layers.append((weight, {"name": name, "contrast_limits": (0, 1), "visible": False, **geometry}, "image"))
        return layers

    worker: FunctionWorker[list[LayerDataTuple]] = thread_worker(fuse)()  # keeps napari responsive
    return worker


def _displayed(layer: Image) -> Displayed:
    is_gray = layer.rgb or layer.colormap.name == "gray"
    low, high = layer.contrast_limits
    return Displayed(layer.data, (float(low), float(high)), bool(layer.rgb), None if is_gray else layer.colormap.map)


def _check_grids(a: Image, b: Image) -> None:
    for name in ("scale", "translate", "rotate", "shear"):
        if not np.allclose(getattr(a, name), getattr(b, name)):
            raise InputError(
                f"The layers are on different grids: they differ in `{name}`.\n  A: {getattr(a, name)}\n"
                f"  B: {getattr(b, name)}\nResample one onto the grid of the other first."
            )
