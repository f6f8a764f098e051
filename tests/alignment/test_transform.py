"""Transforms: exact where nothing moves, the same after a file, refused where they do not fit."""

import json

import numpy as np
import pytest
from scenes import motion

from refinefuse.alignment.transform import Transform, load_transform, project, spline
from refinefuse.alignment.warp import warp_and_fill
from refinefuse.errors import InputError

SIZE = (40, 50)


def image(dtype, *channels):
    values = np.random.default_rng(0).random((*SIZE, *channels))
    return (values * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_nothing_moves_under_the_identity(dtype, channels):
    a = image(dtype, *channels)
    moved, inside = Transform("rigid", SIZE, SIZE, np.eye(3)).warp(a)
    assert np.array_equal(moved, a)
    assert inside.all()


def test_a_whole_shift_moves_whole_pixels():
    a = image(np.uint16)
    moved, inside = Transform("translation", SIZE, SIZE, motion(SIZE, (5, -3))).warp(a)
    assert moved.dtype == np.uint16
    assert np.array_equal(moved[3:, :-5], a[:-3, 5:])
    assert inside[3:, :-5].all()
    assert inside.sum() == 37 * 45


def test_mapped_points_agree_with_the_grid():
    displacement = np.random.default_rng(0).normal(0, 2, (8, 8, 2))
    transform = Transform("bspline", SIZE, SIZE, motion(SIZE, (3, 1), 5, 1.1), displacement)
    x, y = transform.positions
    points = np.array([[0, 0], [49, 39], [20, 7], [3, 30]], float)
    grid = np.array([[x[int(j), int(i)], y[int(j), int(i)]] for i, j in points])
    assert np.allclose(transform.map_points(points), grid, atol=1e-3)


def test_the_weights_of_a_spline_sum_to_one_and_carry_a_line():
    rows = spline(np.linspace(0, 99, 37), 100, 8)
    assert np.allclose(rows.sum(1), 1)
    assert np.allclose(np.diff(rows @ np.arange(8.0), 2), 0, atol=1e-9)


def test_beyond_the_horizon_there_is_no_data():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0, -0.05, 1.0]])
    _, inside = Transform("homography", SIZE, SIZE, matrix).warp(image(np.uint8))
    assert not inside[20:].any()
    assert np.isfinite(project(matrix, np.array([[3.0, 4.0]]))).all()


@pytest.mark.parametrize("displacement", [None, np.arange(128.0).reshape(8, 8, 2)])
def test_a_file_keeps_every_digit(tmp_path, displacement):
    before = Transform(
        "bspline" if displacement is not None else "affine", SIZE, (30, 20), motion(SIZE, (1 / 3, 2), 1), displacement
    )
    before.save(tmp_path / "t.json")
    after = load_transform(tmp_path / "t.json")
    assert (after.transform_type, after.size_moving, after.size_fixed) == (
        before.transform_type,
        before.size_moving,
        before.size_fixed,
    )
    assert np.array_equal(after.matrix, before.matrix)
    assert (after.displacement is None) if displacement is None else np.array_equal(after.displacement, displacement)
    with pytest.raises(InputError, match="exists"):
        before.save(tmp_path / "t.json")


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]},
        {"matrix": [[1, 0], [0, 1]]},
        {"matrix": "no"},
        {"matrix": [[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]]},
        {"size_moving": [0, 5]},
        {"size_fixed": 7},
        {"transform_type": "magic"},
        {"displacement": [1, 2]},
        {"displacement": [[[0, 0]] * 3] * 3},
        {"size_moving": [float("inf"), 48]},
        {"size_fixed": [48.0, 64]},
        {"size_fixed": [10**30, 64]},
        {"matrix": [[10**400, 0, 0], [0, 1, 0], [0, 0, 1]]},
        {"format": "other"},
        {"more": 1},
    ],
)
def test_a_file_that_holds_no_transform(tmp_path, change):
    path = tmp_path / "t.json"
    Transform("rigid", SIZE, SIZE, np.eye(3)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="does not contain a transform"):
        load_transform(path)


def test_files_of_format_1_are_still_read(tmp_path):
    record = {
        "format": "refinefuse-transform-1",
        "model": "bspline",
        "size_a": list(SIZE),
        "size_b": [30, 20],
        "matrix": motion(SIZE, (3, 1)).tolist(),
        "bend": np.full((8, 8, 2), 0.5).tolist(),
    }
    (tmp_path / "old.json").write_text(json.dumps(record))
    transform = load_transform(tmp_path / "old.json")
    assert (transform.transform_type, transform.size_moving, transform.size_fixed) == ("bspline", SIZE, (30, 20))
    assert transform.displacement is not None
    assert (transform.displacement == 0.5).all()
    transform.save(tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text())["format"] == "refinefuse-transform-2"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"matrix": ' * 100_000, "[" * 3000 + "]" * 3000])
def test_nested_json_is_refused(tmp_path, text):
    (tmp_path / "deep.json").write_text(text)
    with pytest.raises(InputError, match="does not contain a transform"):
        load_transform(tmp_path / "deep.json")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="Cannot read"):
        load_transform(tmp_path / "none.json")
    (tmp_path / "image.json").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match="not JSON"):
        load_transform(tmp_path / "image.json")


def test_another_size_is_refused_with_both():
    transform = Transform("rigid", SIZE, (30, 20), np.eye(3))
    with pytest.raises(InputError, match="expected: 40 x 50\n  got: 41 x 50"):
        warp_and_fill(np.zeros((41, 50), np.uint8), np.zeros((30, 20), np.uint8), transform)
    with pytest.raises(InputError, match="expected: 30 x 20\n  got: 40 x 50"):
        warp_and_fill(image(np.uint8), image(np.uint8), transform)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (2,), (3,)])
def test_where_a_has_no_data_it_shows_b(dtype, channels):
    a, b = image(dtype, *channels), image(np.uint8)
    warped, covered = warp_and_fill(a, b, Transform("translation", SIZE, SIZE, motion(SIZE, (30, 0))))
    assert warped.dtype == dtype
    assert warped.shape == a.shape
    assert (covered[:, :20] == 255).all()
    assert (covered[:, 20:] == 0).all()
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    gray = warped if not channels else warped[..., 0]
    assert np.allclose(gray[:, 20:] / top, b[:, 20:] / 255, atol=1 / 255)
    if channels == (2,):
        assert (warped[:, 20:, 1] == top).all()
