"""The only place where numbers meet the network: a frozen config, saved beside every set of weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from refinefuse.errors import ConfigError, require

LARGEST = 1024
"""No network needs more channels, cells or heads, and a damaged file must not ask for terabytes."""
COUNTS = f"whole numbers up to {LARGEST}"


@dataclass(frozen=True)
class NetworkConfig:
    """What `RefineFuse.from_config` builds. The three switches and `widths` make every ablation a config.

    Args:
        widths: channels at each scale, from shallow to deep; each scale halves the one before. One entry: single scale.
        fold: side of the pixel blocks that are one cell of the first scale each (1, 2 or 4).
        interactions: number of shallow scales at which the modalities interact in the pixel domain.
        grid: side of the reduced picture from which the context is computed, in cells, a multiple of 4.
        context_width: channels of the context's tokens.
        heads: heads of the global attention; they divide the deepest width.
        pixel_interaction: False leaves plain features, which meet only where they are concatenated.
        global_attention: False leaves the deepest features as they are.
        gradual_refinement: False lets the deepest features enter once, at the end, instead of scale by scale.
        correction: how far the level of a place may be moved from the mix, in multiples of the sources' difference.
    """

    widths: tuple[int, ...] = (32, 48, 64)
    fold: int = 4
    interactions: int = 2
    grid: int = 32
    context_width: int = 64
    heads: int = 4
    pixel_interaction: bool = True
    global_attention: bool = True
    gradual_refinement: bool = True
    correction: float = 1.0

    def __post_init__(self) -> None:
        self._require(isinstance(self.widths, tuple | list), "widths", "a list of whole numbers")
        object.__setattr__(self, "widths", tuple(self.widths))
        self._require(all(type(width) is int and 1 <= width <= LARGEST for width in self.widths), "widths", COUNTS)
        self._require(1 <= len(self.widths) <= 8, "widths", "1 to 8 widths")
        for name in ("fold", "interactions", "grid", "context_width", "heads"):
            value = getattr(self, name)
            self._require(type(value) is int and 0 <= value <= LARGEST, name, COUNTS)
        for name in ("pixel_interaction", "global_attention", "gradual_refinement"):
            self._require(type(getattr(self, name)) is bool, name, "true or false")
        self._require(self.fold in (1, 2, 4), "fold", "1, 2 or 4")
        self._require(self.grid >= 4 and self.grid % 4 == 0, "grid", "a multiple of 4")
        self._require(self.context_width >= 2, "context_width", "2 or more")
        self._require(self.heads >= 1 and self.widths[-1] % self.heads == 0, "heads", "a divisor of the deepest width")
        sound = isinstance(self.correction, int | float) and 0 <= self.correction <= 10
        self._require(sound, "correction", "a number from 0 to 10")

    def _require(self, holds: bool, name: str, rule: str) -> None:
        require(holds, name, rule, getattr(self, name))

    @property
    def stride(self) -> int:
        """Pixels of the picture that one cell of the deepest scale covers, a side."""
        return self.fold << (len(self.widths) - 1)

    def to_json(self) -> str:
        """The config as one line of JSON, as it stands in the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """The config that `to_json` wrote.

        Raises:
            ConfigError: if the text is not a JSON object, or has a key that no field of the config bears.
        """
        try:
            values: Any = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"The network config is not valid JSON: {error}.") from error
        if not isinstance(values, dict):
            raise ConfigError(f"The network config must be a JSON object.\n  got: {text[:80]}")
        known = [field.name for field in fields(cls)]
        missing = sorted(set(known) - set(values))
        if missing:
            raise ConfigError(f"The network config lacks keys.\n  missing: {', '.join(missing)}")
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"The network config has unknown keys.\n  known: {', '.join(known)}\n  unknown: {', '.join(unknown)}"
            )
        return cls(**values)


STANDARD = NetworkConfig()
"""The best pictures."""

SMALL = NetworkConfig(widths=(16, 32, 32), interactions=1, context_width=32)
"""Narrower, with one interaction: video on a small processor."""
