"""Temporal smoothing for live fusion: the range of raw counts, the context of the network, and static areas."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refinefuse.errors import InputError
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.video.color_range import LumaRange, fit_range
from refinefuse.network.context import Context

_RATE = 0.1  # fraction of the span per second: too slow to be visible
_CATCH_UP = 0.5  # the same when the scene leaves the range: clipping is worse than a visible change
_DEAD = 0.05  # fraction of the span: smaller changes are ignored
_SECONDS = 0.5  # averaging time of the context
_KEPT = 0.1  # weight of the previous frame where both sources are static
_STILL = 2 / 255  # maximum mean local change of a static source; at twice that it counts as moving
_NEARBY = (9, 9)  # neighborhood in pixels
_CHANGED = 2.0  # multiple of the typical difference above which a token is replaced


class AdaptiveRange:
    """Black and white points of raw counts: initialized from the first frames, then adapted slowly to the scene.

    Args:
        rule: rule given by the user, which fixes the range; None covers nearly all counts and adapts.
    """

    def __init__(self, rule: IntensityRange | None) -> None:
        self._rule = rule
        self._fixed: LumaRange | None = None
        self._time = 0.0

    def update(self, counts: np.ndarray[Any, Any], moment: float) -> LumaRange:
        """Return the range for a frame that arrived at a time in seconds."""
        if self._fixed is not None and self._rule is not None:
            return self._fixed
        try:
            found = fit_range([counts[::2, ::2]], self._rule)
        except InputError:  # closed shutter: all counts are equal
            if self._fixed is None:
                raise
            return self._fixed
        wanted = LumaRange(found.low, found.high)
        if self._fixed is None:
            self._fixed = wanted
        else:
            self._follow(wanted, min(moment - self._time, 1.0))
        self._time = moment
        return self._fixed

    def _follow(self, wanted: LumaRange, seconds: float) -> None:
        before = self._fixed or wanted
        span = before.white - before.black
        limits = []
        for old, new, left in (
            (before.black, wanted.black, wanted.black < before.black),
            (before.white, wanted.white, wanted.white > before.white),
        ):
            step = (_CATCH_UP if left else _RATE) * span * seconds
            limits.append(old if abs(new - old) < _DEAD * span else old + float(np.clip(new - old, -step, step)))
        if limits[1] > limits[0]:
            self._fixed = LumaRange(*limits)


class SteadyContext:
    """Context of the network averaged over half a second, per token; tokens that changed are replaced.

    This avoids flicker in static areas without leaving ghosts of objects that have moved on.
    """

    def __init__(self) -> None:
        self._before: Context | None = None
        self._typical: list[torch.Tensor] = []
        self._time = 0.0

    def update(self, context: Context, moment: float) -> Context:
        """Return the averaged context for a frame that arrived at a time in seconds."""
        before = self._before
        if before is None or before.a.shape != context.a.shape:
            self._before, self._time = context, moment
            self._typical = [torch.zeros(()) for _ in context]
            return context
        keep = math.exp(-max(moment - self._time, 0.0) / _SECONDS)
        tokens = []
        for index, (new, old) in enumerate(zip(context, before, strict=True)):
            difference = (new - old).square().mean(-1, keepdim=True).sqrt()
            self._typical[index] = keep * self._typical[index] + (1 - keep) * difference.median()
            still = difference <= _CHANGED * self._typical[index]
            tokens.append(torch.where(still, keep * old + (1 - keep) * new, new))
        self._before, self._time = Context(*tokens), moment
        return self._before


class SteadyImage:
    """Blend in a tenth of the previous fused frame where both sources are static.

    The fused image contains the noise of both sources, so it flickers more than either; this compensates for that.
    Nothing is blended where a source moves, and elsewhere differences are below the noise, so there are no ghosts.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, Tensor, Tensor] | None = None

    def update(
        self, fused: Float[Tensor, "1 1 h w"], a: Float[Tensor, "1 1 h w"], b: Float[Tensor, "1 1 h w"]
    ) -> Float[Tensor, "1 1 h w"]:
        """Return the stabilized frame, given the fused frame and its sources."""
        if self._before is not None and self._before[0].shape == fused.shape:
            before, *sources = self._before
            changes = [
                cv2.blur((new - old)[0, 0].abs().numpy(), _NEARBY) for new, old in zip((a, b), sources, strict=True)
            ]
            kept = _KEPT * (2 - np.maximum(*changes) / _STILL).clip(0, 1)
            fused = torch.lerp(fused, before, torch.from_numpy(kept)[None, None])
        self._before = fused, a, b
        return fused
