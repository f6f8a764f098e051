"""How large a tile may be: by the memory that is free, and by what the user asks for."""

import pytest

from refinefuse.errors import InputError
from refinefuse.inference import tiling
from refinefuse.network.config import SMALL, STANDARD, NetworkConfig


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (STANDARD, 4 * 36),  # 18 maps of 32 channels, of patches of 4 x 4
        (SMALL, 4 * 28),  # 18 maps of 16 channels would be fewer than the planes of the head
        (NetworkConfig(channels=(33, 64), patch_size=4), 4 * 38),  # rounded up
        (NetworkConfig(channels=(16, 64), patch_size=1), 4 * 18 * 16),
        (NetworkConfig(channels=(16, 64), patch_size=2), 4 * 18 * 4),
    ],
)
def test_bytes_per_pixel(config, expected):
    assert tiling.bytes_per_pixel(config) == expected


def test_memory_is_at_least_what_was_measured():
    """`_MAPS` and `_PLANES` stand a little above the largest figures that their comments give."""
    assert 17 < tiling._MAPS < 20
    assert 25 < tiling._PLANES < 32


def test_whole_up_to_four_million_pixels():
    plenty = 1 << 40
    assert tiling.tile_side("auto", 2000, 2000, STANDARD, 64, plenty) is None
    assert tiling.tile_side("auto", 1, 4_000_001, STANDARD, 64, plenty) == tiling.CPU.crop - 128
    assert tiling.tile_side("auto", 2000, 2001, STANDARD, 64, plenty) == tiling.CPU.crop - 128
    just = 2 * tiling.bytes_per_pixel(STANDARD) * 90_000
    assert tiling.tile_side("auto", 300, 300, STANDARD, 64, just) is None
    assert tiling.tile_side("auto", 300, 301, STANDARD, 64, just) == 300 - 128
    assert tiling.tile_side("auto", 300, 301, STANDARD, 128, just) == 128  # never less than the halo


def test_crops_are_no_larger_than_is_fast():
    assert 1024 <= tiling.CPU.crop <= 2048
    assert tiling.CPU.crop % 64 == 0


def test_a_number_is_taken_as_it_is():
    assert tiling.tile_side(1200, 1200, 1000, STANDARD, 64, 0) is None
    assert tiling.tile_side(1201, 1200, 1000, STANDARD, 64, 0) is None
    assert tiling.tile_side(199, 200, 100, STANDARD, 64, 0) == 199
    assert tiling.tile_side(199, 100, 200, STANDARD, 64, 0) == 199


@pytest.mark.parametrize("tile", ["auto", "off", 64, 65])
def test_tiles_of_the_halo_and_more(tile):
    tiling.check_tile(tile, 64)


@pytest.mark.parametrize("tile", ["", "AUTO", 63, 0])
def test_others_are_refused(tile):
    with pytest.raises(InputError, match="`tile` must be"):
        tiling.check_tile(tile, 64)


def test_a_tile_reaches_as_far_as_the_network_sees():
    """By hand: 100 x 50, tiles of 40, halo 10, stride 4."""
    rows = list(tiling.iter_tiles(100, 50, 40, 10, 4))
    assert [[tuple(tile.region) for tile in row] for row in rows] == [
        [(0, 0, 40, 40), (0, 40, 40, 10)],
        [(40, 0, 40, 40), (40, 40, 40, 10)],
        [(80, 0, 20, 40), (80, 40, 20, 10)],
    ]
    assert tuple(rows[1][1].padded) == (28, 28, 64, 22)  # 40 - 10 down to a multiple of 4, 80 + 10 up to one
    assert tuple(rows[1][1].inner) == (12, 12, 40, 10)
    assert tuple(rows[0][0].padded) == (0, 0, 52, 50)  # no further than the edge


def test_a_batch_is_as_large_as_half_of_the_memory_allows():
    need = tiling.bytes_per_pixel(STANDARD) * 30 * 50
    for count in (1, 2, 7):
        assert tiling.batch_size((16, 1, 30, 50), STANDARD, 2 * need * count) == count
    assert tiling.batch_size((16, 1, 30, 50), STANDARD, 2 * need * 3 - 1) == 2
    assert tiling.batch_size((16, 1, 30, 50), STANDARD, 0) == 1


def test_tiles_of_wide_images_are_low_and_as_large():
    assert tiling.strip_tile(1056, 4000, 144) == (1056, 1056)
    low, wide = tiling.strip_tile(1056, 10_000, 144)
    assert (low + 288) * 10_000 == 6_000_000
    assert wide == 1344**2 // 600 - 288  # as many pixels as in a square tile with its halo
    assert tiling.strip_tile(1056, 10**6, 144)[0] == 288  # the halo would be most of what is read
    row = next(tiling.iter_tiles(600, 900, (300, 500), 10, 4))
    assert [tile.region for tile in row] == [(0, 0, 300, 500), (0, 500, 300, 400)]
