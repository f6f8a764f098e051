"""False color is recognized, read as values, and never mistaken for color."""

import cv2
import numpy as np
import pytest

from refinefuse.errors import InputError
from refinefuse.image.palettes import PALETTES, _tables, find_palette, read_palette


def values(seed=0):
    """A smooth thermal image with hot and cold things, and some noise."""
    rng = np.random.default_rng(seed)
    image = np.linspace(40, 150, 120)[:, None].repeat(160, 1) + 15 * np.sin(np.arange(160) / 25)
    image[60:90, 20:40], image[20:30, 100:150] = 235, 12
    blurred = cv2.GaussianBlur(image + rng.normal(0, 2, image.shape), (0, 0), 1)
    return blurred.round().clip(0, 255).astype(np.uint8)


def street():
    """An ordinary image: things of many colors, with shading and noise."""
    rng = np.random.default_rng(1)
    image = np.zeros((120, 160, 3))
    for _ in range(60):
        top, left = rng.integers(0, 110), rng.integers(0, 150)
        image[top : top + 40, left : left + 40] = rng.uniform(30, 220, 3)
    shade = np.linspace(0.5, 1.1, 160)[:, None]
    return (image * shade + rng.normal(0, 5, image.shape)).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("palette", PALETTES)
def test_known_palettes_are_recognized_and_read(palette):
    for table in _tables()[palette]:
        image = table[values()]
        found = find_palette(image)
        assert (found.palette, found.is_readable) == (palette, True)
        read = read_palette(image, palette).astype(int)
        assert abs(read - values()).max() <= 3


@pytest.mark.parametrize("quality", [75, 90])
def test_after_a_jpeg(quality):
    bgr = cv2.applyColorMap(values(), cv2.COLORMAP_JET)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert find_palette(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]).palette == "jet"


def test_a_palette_that_is_not_known():
    x = np.linspace(0, 1, 256)
    table = np.stack([0.9 * np.sqrt(x), 0.4 + 0.2 * np.sin(3 * x), 1 - x], 1)
    found = find_palette((table * 255).astype(np.uint8)[values()])
    assert (found.palette, found.is_readable) == ("", False)


@pytest.mark.parametrize(
    "image", [street(), values()[..., None].repeat(3, 2), np.full((40, 40, 3), (200, 30, 30), np.uint8)]
)
def test_ordinary_images_are_in_no_palette(image):
    found = find_palette(image)
    assert found is None or not image.std()


def test_the_wrong_palette_is_refused_with_the_right_one():
    image = cv2.applyColorMap(values(), cv2.COLORMAP_JET)[..., ::-1]
    with pytest.raises(InputError, match="those of jet"):
        read_palette(image, "inferno")
    with pytest.raises(InputError, match="must be one of"):
        read_palette(image, "jett")
    with pytest.raises(InputError, match="8-bit color images"):
        read_palette(values(), "jet")
