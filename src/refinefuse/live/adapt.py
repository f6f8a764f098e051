"""What changes slowly from frame to frame: the range of raw counts, and the context of the network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from refinefuse.errors import InputError
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.video.color_range import LumaRange, fit_range
from refinefuse.network.context import Context

_RATE = 0.1  # of the span, per second: so slowly that nobody sees it
_CATCH_UP = 0.5  # the same where the scene left the range: clipped is worse than a visible change
_DEAD = 0.05  # of the span: smaller changes are none
_SECONDS = 0.5  # over which the context is averaged
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
