"""The configuration of the network: a frozen dataclass, saved with every set of weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from refinefuse.errors import ConfigError, check_field

LARGEST = 1024
"""Upper limit for channels, cells and heads, so that a damaged file cannot request terabytes."""


@dataclass(frozen=True)
class NetworkConfig:
    """What `RefineFuse.from_config` builds. The three switches and `channels` make every ablation a config.

    Args:
        channels: channels at each scale, from shallow to deep; each scale has half the resolution of the previous one.
        patch_size: side of the non-overlapping pixel patches that become one cell of the first scale (1, 2 or 4).
        num_interactions: number of shallow scales at which the modalities interact in the pixel domain.
        context_size: side of the grid of statistics from which the context is computed, in cells, a multiple of 4.
        context_channels: channels of the context's tokens.
        num_heads: heads of the global attention; they divide the last of `channels`.
        pixel_interaction: False disables it: the modalities meet only where their features are concatenated.
        global_attention: False disables it: the deepest features stay as they are.
        gradual_refinement: False adds the deepest features once, at the end, instead of scale by scale.
        residual_bound: largest move of the level from the mean of the sources, in multiples of their difference.
        contrast: how much of that move is made, from 0 (the level is the mean of the sources) to 1 (all of it).
        symmetric: True fuses the pair in both orders and averages: exchanging the sources changes no bit, at twice the
            cost.
    """

    channels: tuple[int, ...] = (32, 48, 64)
    patch_size: int = 4
    num_interactions: int = 2
    context_size: int = 32
    context_channels: int = 64
    num_heads: int = 4
    pixel_interaction: bool = True
    global_attention: bool = True
    gradual_refinement: bool = True
    residual_bound: float = 1.0
    contrast: float = 0.5
    symmetric: bool = False

    def __post_init__(self) -> None:
        is_list = isinstance(self.channels, tuple | list) and 1 <= len(self.channels) <= 8
        counts = is_list and all(type(count) is int and 1 <= count <= LARGEST for count in self.channels)
        self._check_field(counts, "channels", f"a list of 1 to 8 whole numbers from 1 to {LARGEST}")
        object.__setattr__(self, "channels", tuple(self.channels))
        for name in ("patch_size", "num_interactions", "context_size", "context_channels", "num_heads"):
            value = getattr(self, name)
            self._check_field(type(value) is int and 0 <= value <= LARGEST, name, f"a whole number up to {LARGEST}")
        for name in ("pixel_interaction", "global_attention", "gradual_refinement", "symmetric"):
            self._check_field(type(getattr(self, name)) is bool, name, "true or false")
        self._check_field(self.patch_size in (1, 2, 4), "patch_size", "1, 2 or 4")
        self._check_field(self.context_size >= 4 and self.context_size % 4 == 0, "context_size", "a multiple of 4")
        self._check_field(self.context_channels >= 2, "context_channels", "2 or more")
        self._check_field(
            self.num_heads >= 1 and self.channels[-1] % self.num_heads == 0,
            "num_heads",
            f"a divisor of the last of `channels`, {self.channels[-1]}",
        )
        in_range = isinstance(self.residual_bound, int | float) and 0 <= self.residual_bound <= 10
        self._check_field(in_range, "residual_bound", "a number from 0 to 10")
        in_range = isinstance(self.contrast, int | float) and 0 <= self.contrast <= 1
        self._check_field(in_range, "contrast", "a number from 0 to 1")

    def _check_field(self, holds: bool, name: str, rule: str) -> None:
        check_field(holds, name, rule, getattr(self, name))

    @cached_property
    def stride(self) -> int:
        """Pixels per side of the image that one cell of the deepest scale covers."""
        return self.patch_size << (len(self.channels) - 1)

    def to_json(self) -> str:
        """The config as one line of JSON, as stored in the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """Parse a config written by `to_json`.

        Raises:
            ConfigError: if the text is not a JSON object, lacks a key or has an unknown one.
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
"""The highest quality."""

SMALL = NetworkConfig(channels=(16, 32, 32), num_interactions=1, context_channels=32)
"""Fewer channels and one interaction, for video on a small processor."""
