"""What changes slowly from frame to frame: the range of raw counts, the context of the network, and still areas."""

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

_RATE = 0.1  # of the span, per second: so slowly that nobody sees it
_CATCH_UP = 0.5  # the same where the scene left the range: clipped is worse than a visible change
_DEAD = 0.05  # of the span: smaller changes are none
_SECONDS = 0.5  # over which the context is averaged
_KEPT = 0.1  # of the frame before, where both sources are still
_STILL = 2 / 255  # mean change of a source nearby up to which it is still; from twice that on it moves
_NEARBY = (9, 9)  # pixels
_CHANGED = 2.0  # times the typical difference: a token that changed by more is new


class AdaptiveRange:
    """The counts that are black and white: those of the first frames, and then after the scene, slowly.

    Args:
        rule: of the user, which then stays; None: nearly all counts.
    """

    def __init__(self, rule: IntensityRange | None) -> None:
        self._rule = rule
        self._fixed: LumaRange | None = None
        self._time = 0.0

    def update(self, counts: np.ndarray[Any, Any], moment: float) -> LumaRange:
        """The range for a frame that came at a moment, in seconds."""
        if self._fixed is not None and self._rule is not None:
            return self._fixed
        try:
            found = fit_range([counts[::2, ::2]], self._rule)
        except InputError:  # a shutter closed before the sensor: all counts are equal
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
    """The context of the network averaged over half a second, token by token; what changed is taken as it is.

    So nothing flickers where nothing happens, and nothing that has gone lingers on as a ghost.
    """

    def __init__(self) -> None:
        self._before: Context | None = None
        self._typical: list[torch.Tensor] = []
        self._time = 0.0

    def update(self, context: Context, moment: float) -> Context:
        """The averaged context for a frame that came at a moment, in seconds."""
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
    """A tenth of the fused frame before in areas where both sources are still.

    The noise of both sources meets in the fused image, so it flickers more than either; this takes that off. Where a
    source moves, nothing is kept, and elsewhere a tenth of less than noise: there are no ghosts.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, Tensor, Tensor] | None = None

    def update(
        self, fused: Float[Tensor, "1 1 h w"], a: Float[Tensor, "1 1 h w"], b: Float[Tensor, "1 1 h w"]
    ) -> Float[Tensor, "1 1 h w"]:
        """The steadied frame, from it and its sources."""
        if self._before is not None and self._before[0].shape == fused.shape:
            before, *sources = self._before
            changes = [
                cv2.blur((new - old)[0, 0].abs().numpy(), _NEARBY) for new, old in zip((a, b), sources, strict=True)
            ]
            kept = _KEPT * (2 - np.maximum(*changes) / _STILL).clip(0, 1)
            fused = torch.lerp(fused, before, torch.from_numpy(kept)[None, None])
        self._before = fused, a, b
        return fused
