"""Known motions are found, and what cannot be found is not claimed."""

import sys

import cv2
import numpy as np
import pytest
from scenes import motion, moved, off, scene, through

from refinefuse.alignment.align import align
from refinefuse.alignment.transform import corners
from refinefuse.errors import InputError, MissingDependencyError

SIZE = (240, 320)
MOTIONS = {
    "translation": motion(SIZE, (21, -14)),
    "rigid": motion(SIZE, (-17, 9), 7),
    "similarity": motion(SIZE, (12, 15), -6, 0.82),
    "affine": motion(SIZE, (-10, 8), 3, 1.15) @ np.array([[1.04, 0.03, 0], [0, 0.97, 0], [0, 0, 1]]),
    "homography": through([[14, 9], [-8, 12], [-12, -7], [9, -11]]),
}


@pytest.fixture(scope="module")
def pair():
    return scene()


@pytest.mark.parametrize("transform_type", MOTIONS)
def test_known_motions_are_recovered(pair, transform_type):
    a, b = pair
    found = align(moved(a, MOTIONS[transform_type]), b, transform_type=transform_type)
    assert found.is_reliable, found.rejection_reasons
    assert off(found.transform, MOTIONS[transform_type]) < 1
    assert found.score_after > 2 * found.score_before
    assert found.corner_error < 1.5
    assert found.overlap > 0.6


def test_a_stiff_model_stays_stiff(pair):
    a, b = pair
    shift = align(moved(a, MOTIONS["translation"]), b, transform_type="translation").transform.matrix
    assert np.array_equal(shift[:2, :2], np.eye(2))
    turn = align(moved(a, MOTIONS["rigid"]), b, transform_type="rigid").transform.matrix[:2, :2]
    assert np.allclose(turn @ turn.T, np.eye(2), atol=1e-9)


AFFINE = motion(SIZE, (-10, 8), 3, 1.1) @ np.array([[1.06, 0.08, 0], [0, 0.94, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("transform_type", "freer", "matrix"),
    [
        ("translation", "similarity", motion(SIZE, (8, -5), 2, 1.08)),
        ("rigid", "similarity", motion(SIZE, (8, -5), 2, 1.08)),
        ("similarity", "affine", AFFINE),
    ],
)
def test_a_transform_type_that_is_too_stiff_is_reported(pair, transform_type, freer, matrix):
    a, b = pair
    reasons = align(moved(a, matrix), b, transform_type=transform_type).rejection_reasons
    assert any(f"of the type {freer} than {transform_type}" in reason for reason in reasons), reasons


@pytest.mark.parametrize(("matrix", "expected"), [(motion(SIZE, (8, -5), 2, 1.08), "similarity"), (AFFINE, "affine")])
def test_by_default_the_stiffest_transform_that_fits_is_taken(pair, matrix, expected):
    a, b = pair
    found = align(moved(a, matrix), b)
    assert (found.is_reliable, found.transform.transform_type) == (True, expected)
    assert off(found.transform, matrix) < 1


def test_another_resolution_and_field_of_view(pair):
    a, b = pair
    matrix = motion(SIZE, (10, 5), 3)
    view = moved(a, matrix)[20:220, 30:310]
    large = cv2.resize(view, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = align(large, b, transform_type="similarity")
    doubled = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]) @ np.array([[1, 0, -30], [0, 1, -20], [0, 0, 1]])
    assert found.is_reliable, found.rejection_reasons
    assert off(found.transform, doubled @ matrix) < 2  # pixels of `a`, which are half as large
    assert 0.5 < found.overlap < 0.9


@pytest.mark.parametrize("transform_type", ["translation", "similarity", "homography"])
def test_an_aligned_pair_stays_where_it_is(transform_type):
    for seed in range(3):
        found = align(*scene(seed), transform_type=transform_type)
        assert found.is_reliable, found.rejection_reasons
        assert off(found.transform, np.eye(3)) < 1


def test_the_depth_of_a_plays_no_part(pair):
    a, b = pair
    view = moved(a, MOTIONS["translation"])
    eight = align(view, b, transform_type="translation").transform.matrix
    sixteen = align(view.astype(np.uint16) * 257, np.dstack([b] * 3), transform_type="translation").transform.matrix
    assert np.allclose(eight, sixteen, atol=0.01)


def test_the_same_twice(pair):
    a, b = pair
    view = moved(a, MOTIONS["similarity"])
    first, second = (align(view, b, transform_type="similarity") for _ in range(2))
    # to far less than a pixel: sums in float32 depend on where the arrays lie in memory
    assert np.allclose(first.transform.matrix, second.transform.matrix, atol=1e-4)


@pytest.mark.parametrize("transform_type", ["translation", "similarity", "homography"])
@pytest.mark.parametrize("seed", [1, 2])
def test_two_unrelated_scenes_are_refused(pair, transform_type, seed):
    found = align(pair[0], scene(100 + seed)[1], transform_type=transform_type)
    assert not found.is_reliable
    assert found.rejection_reasons


def test_images_without_edges_are_refused(pair):
    flat = np.full(SIZE, 128, np.uint8)
    reasons = {name: f"all pixels of `{name}` have the same value" for name in "ab"}
    assert align(flat, pair[1], transform_type="rigid").rejection_reasons == (reasons["a"],)
    assert align(pair[0], flat).rejection_reasons == (reasons["b"],)
    assert align(flat, flat).rejection_reasons == (reasons["a"], reasons["b"])


def test_a_mask_hides_what_misleads(pair):
    a, b = pair
    matrix = motion(SIZE, (16, -9))
    view = moved(a, matrix)
    overlay = np.zeros(SIZE, bool)  # drawn by the camera, the same in both images: it says that nothing moved
    overlay[:, :120] = True
    view[overlay], b = scene(7)[0][overlay], np.where(overlay, scene(7)[0], b)
    found = align(view, b, transform_type="translation", mask_a=~overlay, mask_b=~overlay)
    assert found.is_reliable, found.rejection_reasons
    assert off(found.transform, matrix) < 1


def test_a_bend_comes_nearer_than_a_homography(pair):
    a, b = pair
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    bent_x, bent_y = x + 4 * np.sin(y / 40), y + 4 * np.cos(x / 50)
    # `b` seen through a lens: its pixel (x, y) shows what lies at (bent_x, bent_y) of the scene, which `a` shows
    lens = cv2.remap(b, bent_x, bent_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points = np.stack(np.meshgrid(np.arange(30, 290, 10.0), np.arange(30, 210, 10.0)), -1).reshape(-1, 2)
    expected = np.stack([points[:, 0] + 4 * np.sin(points[:, 1] / 40), points[:, 1] + 4 * np.cos(points[:, 0] / 50)], 1)

    def rest(transform_type):
        found = align(a, lens, transform_type=transform_type)
        assert found.is_reliable, found.rejection_reasons
        return np.linalg.norm(found.transform.map_points(points) - expected, axis=1).mean()

    stiff, soft = rest("homography"), rest("bspline")
    assert soft < 0.6 * stiff
    assert soft < 1.2


def test_mutual_information_refines():
    pytest.importorskip("SimpleITK")
    a, b = scene(3)
    matrix = motion(SIZE, (12, -7), 4)
    found = align(moved(255 - b, matrix), b, transform_type="rigid", metric="mutual-information")
    assert found.is_reliable, found.rejection_reasons
    assert off(found.transform, matrix) < 1
    with pytest.raises(InputError, match="homography"):
        align(a, b, transform_type="homography", metric="mutual-information")


def test_mutual_information_without_simpleitk(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'refinefuse\[align\]'"):
        align(*pair, transform_type="rigid", metric="mutual-information")


def test_bad_input(pair):
    a, b = pair
    with pytest.raises(InputError, match="31 x 320"):
        align(a[:31], b)
    with pytest.raises(InputError, match="`b` cannot be aligned"):
        align(a, np.full(SIZE, np.nan, np.float32))
    with pytest.raises(InputError, match="mask of `a`"):
        align(a, b, mask_a=np.ones((3, 3), bool))


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "seen"), [("M3SVD/test", ("ir", "vi")), ("LLVIP/test", ("ir", "vi"))])
def test_real_pairs(data_folder, folder, seen):
    from refinefuse.alignment.edges import luma
    from refinefuse.data.pairs import pair_folders
    from refinefuse.image.files import read_image

    pairs = pair_folders(*(data_folder / folder / name for name in seen)).pairs
    errors = []
    for pair in pairs[:4]:
        a, b = (luma(read_image(path)) for path in (pair.a, pair.b))
        matrix = motion(a.shape, (25, -18), 5, 1.1)
        found = align(moved(a, matrix), b)
        own = align(a, b).transform
        ends = corners(b.shape)
        still = np.linalg.norm(own.map_points(ends) - ends, axis=1).mean()
        errors.append(off(found.transform, matrix) - still if found.is_reliable else np.inf)
    assert np.median(errors) < 1.5


@pytest.mark.parametrize("given", ["ir.png", [[0, 1]], None])
def test_what_is_no_array_is_refused_by_its_type(given):
    gray = np.zeros((32, 32), np.uint8)
    with pytest.raises(
        InputError, match=f"`b` cannot be aligned: this is not an array.*\n.*\n  got: {type(given).__name__}"
    ):
        align(gray, given)
