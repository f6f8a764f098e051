import time

import numpy as np
import pytest

from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError
from refinefuse.image.files import read_image
from refinefuse.samples import SAMPLES, render, write_samples

NAMES = [sample.name for sample in SAMPLES]
KINDS = {  # shapes of both images, and their type
    "night_street": ((480, 640), (480, 640, 3), np.uint8),
    "smoke": ((480, 640), (480, 640, 3), np.uint8),
    "ridge_16bit": ((480, 640), (480, 640, 3), np.uint16),
    "head_ct_mri": ((256, 256), (256, 256), np.uint8),
}


@pytest.fixture(scope="module")
def rendered():
    start = time.process_time()
    images = {name: render(name) for name in NAMES}
    assert time.process_time() - start < 15  # about 3 s; a slow machine may take longer
    return images


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples") / "not" / "there" / "yet"
    return folder, write_samples(folder)


def unit(pixels):
    """Gray in [0, 1]."""
    gray = pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])
    return gray / np.iinfo(pixels.dtype).max


@pytest.mark.parametrize("name", NAMES)
def test_kind(rendered, name):
    shape_a, shape_b, dtype = KINDS[name]
    a, b = rendered[name]
    assert (a.shape, a.dtype) == (shape_a, dtype)
    assert (b.shape, b.dtype) == (shape_b, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_images(rendered, name):
    for first, other in zip(rendered[name], render(name, seed=1), strict=True):
        assert first.shape == other.shape
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_both_images_have_contrast_and_differ(rendered, name):
    a, b = (unit(pixels) for pixels in rendered[name])
    assert a.std() > 0.05
    assert b.std() > 0.05
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.9


def test_headlights_saturate_and_hide_what_is_warm(rendered):
    infrared, visible = (unit(pixels) for pixels in rendered["night_street"])
    assert (visible > 0.99).sum() > 200
    behind_the_car = slice(205, 232), slice(445, 492)
    people = infrared[behind_the_car] > 0.8
    assert people.sum() > 60
    assert np.median(visible[behind_the_car][people]) < 0.15


def test_smoke_hides_the_hot_lorry(rendered):
    infrared, visible = (unit(pixels) for pixels in rendered["smoke"])
    lorry = slice(175, 250), slice(290, 450)
    assert (infrared[lorry] > 0.6).sum() > 1000
    assert visible[lorry].std() < 0.12
    color = rendered["smoke"][1][lorry].astype(int)
    assert np.median(color.max(-1) - color.min(-1)) < 20


def test_16_bits_are_used(rendered):
    for pixels in rendered["ridge_16bit"]:
        assert len(np.unique(pixels)) > 5000
        assert len(np.unique(pixels & 0xFF)) == 256


def test_skull_in_ct_and_ventricles_in_mri(rendered):
    ct, mri = rendered["head_ct_mri"]
    ring = ct > 200
    assert 0.05 < ring.mean() < 0.25
    assert mri[ring].mean() < 80
    ventricle = mri[85:105, 115:142] > 200
    assert ventricle.sum() > 30
    assert ct[85:105, 115:142][ventricle].mean() < ct[85:105, 115:142][~ventricle].mean()
    assert ct[:20, :20].max() < 30


def test_unknown_name():
    with pytest.raises(InputError, match="night_street, smoke, ridge_16bit, head_ct_mri") as caught:
        render("moon")
    assert "moon" in str(caught.value)


def test_what_is_written_is_what_is_rendered_again(written, rendered):
    folder, files = written
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(files)
    for path in files:
        a, b = rendered[path.stem]
        expected = a if path.parent.name in ("ir", "ct") else b
        np.testing.assert_array_equal(read_image(path), expected, strict=True)


def test_the_folders_are_pairs(written):
    folder, _ = written
    infrared = pair_folders(folder / "ir", folder / "vi")
    assert [pair.name for pair in infrared.pairs] == ["night_street", "ridge_16bit", "smoke"]
    head = pair_folders(folder / "ct", folder / "mri")
    assert [pair.name for pair in head.pairs] == ["head_ct_mri"]
    assert infrared.only_a + infrared.only_b + head.only_a + head.only_b == ()


def test_nothing_is_replaced_unasked(tmp_path):
    present = tmp_path / "vi" / "smoke.png"
    present.parent.mkdir()
    present.write_bytes(b"mine")
    with pytest.raises(InputError, match="overwrite") as caught:
        write_samples(tmp_path)
    assert "1 of the 8 files" in str(caught.value)
    assert str(present) in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [present]
    assert present.read_bytes() == b"mine"
    write_samples(tmp_path, overwrite=True)
    assert read_image(present).shape == (480, 640, 3)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot make the folder"):
        write_samples(tmp_path / "file")
