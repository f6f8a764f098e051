"""The least and the greatest value of each field of a network's config, and the next one, which is refused."""

import math
from dataclasses import asdict, replace

import pytest

from refinefuse.errors import ConfigError
from refinefuse.network.config import LARGEST, SMALL, STANDARD, NetworkConfig

TINY = 1e-9
BOUNDS = [
    ("channels", [(4,), (LARGEST,), (4,) * 8], [(), (4,) * 9, (LARGEST + 4,), (0,), (True,)]),
    ("patch_size", [1, 2, 4], [0, 3, 8]),
    ("num_interactions", [0, LARGEST], [-1, LARGEST + 1]),
    ("context_size", [4, LARGEST], [0, 2, 6, LARGEST + 4]),
    ("context_channels", [2, LARGEST], [0, 1, LARGEST + 1]),
    ("num_heads", [1, 2, 64], [0, -1, 3, 128]),
    ("residual_bound", [0, 10], [-TINY, 10.001, math.nan]),
]


@pytest.mark.parametrize(("name", "good", "bad"), BOUNDS, ids=[name for name, _, _ in BOUNDS])
def test_bounds(name, good, bad):
    config = NetworkConfig(num_heads=1) if name == "channels" else NetworkConfig()
    for value in good:
        assert getattr(replace(config, **{name: value}), name) == value
    for value in bad:
        with pytest.raises(ConfigError, match=f"`{name}`"):
            replace(config, **{name: value})


def test_shipped_sizes():
    """Weights that are shipped have these; another size needs other weights."""
    assert (STANDARD.channels, STANDARD.num_interactions, STANDARD.context_channels) == ((32, 48, 64), 2, 64)
    assert (SMALL.channels, SMALL.num_interactions, SMALL.context_channels) == ((16, 32, 32), 1, 32)
    rest = {"patch_size": 4, "context_size": 32, "num_heads": 4, "residual_bound": 1.0}
    for config in (STANDARD, SMALL):
        assert {name: asdict(config)[name] for name in rest} == rest
