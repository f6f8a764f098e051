"""One inspection of a pair, as data, behind every door."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import refinefuse
from refinefuse.alignment.check import check_registration
from refinefuse.errors import AlignmentError, InputError, PairCheckWarning
from refinefuse.image.files import write_image
from refinefuse.inference.inspection import PairWarning, PooledCheck, Preview, inspect_pair


def thermal(height=120, width=160):
    """White-hot: cold sky, warmer ground, two hot things; uint8."""
    image = np.linspace(0.1, 0.4, height)[:, None].repeat(width, 1)
    image[80:95, 20:30] = image[70:95, 100:115] = 0.9
    return np.round(image * 255).astype(np.uint8)


def visible(height=120, width=160):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def scene(seed, height=240, width=320):
    """Rectangles of many sizes: edges that both sensors see."""
    generator = np.random.default_rng(seed)
    image = np.full((height, width), 60, np.uint8)
    for _ in range(60):
        top, left = generator.integers(0, height - 30), generator.integers(0, width - 40)
        rows, columns = generator.integers(8, 30), generator.integers(8, 40)
        image[top : top + rows, left : left + columns] = generator.integers(20, 250)
    return image


def kinds(a, b, **options):
    return [warning.kind for warning in inspect_pair(a, b, **options)]


def test_a_good_pair_causes_no_warning():
    assert inspect_pair(thermal(), visible()) == ()
    assert inspect_pair(scene(1), 255 - scene(1), polarity="white-hot") == ()


def test_black_hot_is_a_score_with_its_probability():
    (warning,) = inspect_pair(255 - thermal(), visible())
    assert warning.kind == "polarity"
    assert warning.value < -1.5
    assert 0.8 < warning.confidence < 1
    assert str(warning) == warning.message
    assert kinds(255 - thermal(), visible(), polarity="black-hot") == []
    assert kinds(255 - thermal(), visible(), polarity="white-hot") == []


@pytest.mark.parametrize("source", ["a", "b"])
def test_two_channels_are_named_unless_the_second_looks_like_alpha(source):
    def found(alpha):
        pair = {"a": thermal(), "b": visible()[..., 0]}
        pair[source] = np.dstack((pair[source], alpha))
        return [(warning.kind, warning.message) for warning in inspect_pair(**pair)]

    ((kind, message),) = found(visible()[..., 1])
    assert kind == "alpha"
    assert f"`{source}` has two channels, which are read as gray + alpha" in message
    mask = np.full((120, 160), 255, np.uint8)
    assert found(mask) == []
    mask[:60], mask[60:70] = 0, 128
    assert found(mask) == []


def test_a_swapped_pair_with_the_pale_colors_of_a_night_is_one():
    pale = np.dstack([visible()[..., 0] // 2 + 60] * 3)
    pale[..., 0] += 12
    assert kinds(pale, thermal()) == ["order"]


def test_a_swapped_pair_is_no_question_of_polarity():
    (warning,) = inspect_pair(visible(), 255 - thermal())
    assert (warning.kind, warning.confidence) == ("order", 1)
    assert warning.value > 0.02


def test_raw_counts_say_how_much_of_their_range_they_use():
    counts = (7000 + 4 * thermal().astype(np.uint16)).astype(np.uint16)
    (warning,) = inspect_pair(counts, visible())
    assert warning.kind == "counts"
    assert warning.value == pytest.approx((int(counts.max()) - int(counts.min())) / 65535)


def test_a_shift_is_measured_in_pixels():
    image = scene(2)
    warning = inspect_pair(np.roll(image, (12, 20), (0, 1)), image, polarity="white-hot")[0]
    assert warning.kind == "alignment"
    assert warning.value == pytest.approx(np.hypot(12, 20), abs=4)
    assert 0 < warning.confidence < 1


def test_every_pair_of_a_batch_is_looked_at():
    good, bad = torch.from_numpy(thermal())[None] / 255, torch.from_numpy(255 - thermal())[None] / 255
    color = torch.from_numpy(visible()).movedim(2, 0) / 255
    assert kinds(torch.stack([good, good]), torch.stack([color, color])) == []
    assert kinds(torch.stack([good, bad]), torch.stack([color, color])) == ["polarity"]


def test_only_what_is_asked_for_is_looked_for():
    images = tuple(torch.from_numpy(x)[None, None] / 255 for x in (255 - thermal(), thermal()))
    assert Preview(images).inspect(("alignment", "order")) == []
    assert [found.kind for found in Preview(images).inspect(("polarity",))] == ["polarity"]


def slice_of_a_head(level):
    """Black around; `level` inside, and something brighter in a tenth of it."""
    image = np.zeros((120, 160), np.uint8)
    image[25:95, 40:120] = level
    image[40:60, 60:80] = 255
    return image


def test_slices_of_a_patient_ask_for_other_weights():
    ct, mri = slice_of_a_head(90), slice_of_a_head(140)
    with pytest.warns(PairCheckWarning, match="weights=medical"):
        refinefuse.fuse(ct, mri, weights="infrared-visible-nano")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PairCheckWarning)
        refinefuse.fuse(ct, mri, weights="medical")
        refinefuse.fuse(thermal(), visible(), weights="infrared-visible-nano")


def test_a_saturated_slice_is_measured():
    (warning,) = inspect_pair(slice_of_a_head(255), slice_of_a_head(140), polarity="white-hot")
    assert (warning.kind, round(warning.value, 1)) == ("range", 1)


def head(body, *, skull=0, shift=(0, 0)):
    """An ellipse on black, with something in it and a skull so thick."""
    image = np.zeros((256, 256), np.uint8)
    inside = np.zeros_like(image)
    for canvas, thickness in ((image, 0), (inside, skull)):
        cv2.ellipse(canvas, (128 + shift[0], 128 + shift[1]), (80 - thickness, 100 - thickness), 0, 0, 360, 255, -1)
    return np.where(inside > 0, body, image).astype(np.uint8)


def test_a_white_skull_is_no_saturation():
    skull = head(80, skull=14)
    assert (skull == 255).sum() > 0.2 * (skull > 0).sum()
    assert inspect_pair(skull, head(140), polarity="white-hot") == ()


def test_slices_are_shifted_if_their_bodies_are():
    """Spots of uptake fit the edges of an MRI elsewhere too, which says nothing of the heads."""
    texture = 60 + scene(2, 256, 256) // 2
    moved = np.roll(texture, (10, 18), (0, 1))
    mri = head(texture)
    (found,) = inspect_pair(head(moved, shift=(18, 10)), mri, polarity="white-hot")
    assert (found.kind, round(found.value)) == ("alignment", 21)
    images = [image / np.float32(255) for image in (head(moved), mri)]
    assert check_registration(*images) is not None  # as images of two cameras
    assert inspect_pair(head(moved), mri, polarity="white-hot") == ()


@pytest.mark.parametrize("make", [lambda x: x, lambda x: torch.from_numpy(x)[None] / 255, Image.fromarray])
def test_python_warns_as_the_command_line_does(make):
    image = scene(2)
    fuser = refinefuse.Fuser("infrared-visible-nano")
    with pytest.warns(PairCheckWarning, match="shifted by about 2. pixels"):
        fuser.fuse(make(np.roll(image, (12, 20), (0, 1))), make(image))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PairCheckWarning)
        refinefuse.fuse(make(np.roll(image, (12, 20), (0, 1))), make(image), weights=fuser.model, check=False)


def test_the_pairs_of_a_folder_are_looked_at_together(tmp_path):
    for index in range(5):
        image = scene(index)
        write_image(tmp_path / "ir" / f"{index}.png", np.roll(image, (12, 20), (0, 1)))
        write_image(tmp_path / "vi" / f"{index}.png", image)
    result = refinefuse.fuse_folder(tmp_path / "ir", tmp_path / "vi", tmp_path / "fused")
    (pooled,) = result.pooled_warnings
    assert pooled.message.startswith("in 5 pairs together, `a` looks shifted")
    assert pooled.value == pytest.approx(np.hypot(12, 20), abs=1)


def test_a_pool_is_of_pairs_of_one_size_and_fills():
    pool, images = PooledCheck(), [torch.from_numpy(scene(seed))[None, None] / 255 for seed in range(12)]
    for image in images:
        Preview((torch.roll(image, (12, 20), (2, 3)), image)).inspect(("alignment",), pool)
        Preview((image[..., :100], image[..., :100])).inspect(("alignment",), pool)
    assert pool.is_full
    assert pool.warnings[0].message.startswith("in 10 pairs together")


def as_tensor(pixels):
    return torch.from_numpy(np.atleast_3d(pixels)).movedim(2, 0)[None] / 255


def test_many_pairs_show_a_polarity_that_none_of_them_shows():
    weak = thermal()
    weak[:30] = 120  # what speaks for it: the hot things; against it: a warm sky
    images = as_tensor(255 - weak), as_tensor(visible())
    pool = PooledCheck()
    for count in range(1, 13):
        assert Preview(images).inspect(("polarity",), pool) == []
        assert bool(pool.warnings) == (count >= 5)
    (warning,) = pool.warnings
    assert (warning.kind, str(warning)[:38]) == ("polarity", "in 10 pairs together, `a` looks black-")
    assert -1.5 < warning.value < -1


def test_an_image_with_the_detail_of_the_visible_one_is_not_thermal():
    """Near-infrared images show reflected light: hot things have nothing to do with what is bright in them."""
    inverted, image = 255 - thermal(), scene(3, 120, 160)
    for b, expected in ((image, ["polarity"]), (inverted // 2 + image // 8, [])):
        images = as_tensor(inverted), as_tensor(b)
        assert [found.kind for found in Preview(images).inspect(("polarity",))] == expected


def test_sizes_that_differ_are_refused():
    with pytest.raises(InputError, match="same height and width"):
        inspect_pair(thermal(), visible(100, 160))


def test_the_public_folder_run_returns_warnings_by_name(tmp_path):
    for name, image in (("good", thermal()), ("bad", 255 - thermal())):
        write_image(tmp_path / "ir" / f"{name}.png", image)
        write_image(tmp_path / "vi" / f"{name}.png", visible())
    result = refinefuse.fuse_folder(tmp_path / "ir", tmp_path / "vi", tmp_path / "out")
    assert sorted(result.fused) == ["bad", "good"]
    assert list(result.warnings) == ["bad"]
    (warning,) = result.warnings["bad"]
    assert isinstance(warning, PairWarning)
    assert warning.kind == "polarity"
    options = refinefuse.AlignmentOptions(strict=True)
    result = refinefuse.fuse_folder(tmp_path / "ir", tmp_path / "vi", tmp_path / "strict", alignment=options)
    assert (result.fused, list(result.failed)) == (["good"], ["bad"])
    assert AlignmentError.__name__ not in result.failed["bad"]
    assert "black-hot" in result.failed["bad"]
