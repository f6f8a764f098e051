import numpy as np
import pytest

from rendering.camera import Camera
from rendering.noise import Texture, chance, clouds, sample, step
from rendering.solids import Solid, block, length, limb, look, melt, outline, wheel

POINTS = np.random.default_rng(0).uniform(-2, 2, (2000, 3)).astype(np.float32)


def ball(radius=0.5):
    center = np.float32([0, radius, 0])
    coloring = lambda p, n: (np.ones((len(p), 3), np.float32), np.ones(len(p), np.float32))  # noqa: E731
    return Solid(lambda p: length(p - center) - radius, coloring, (radius, radius, 2 * radius))


@pytest.mark.parametrize(
    "shape",
    [
        lambda p: limb(p, (0, 0, 0), (0, 1, 0), 0.2),
        lambda p: block(p, (0.1, 0.2, 0), (0.5, 0.3, 0.7), 0.1),
        lambda p: wheel(p, (0, 0.3, 0), 0.4, 0.2),
        lambda p: outline(p[:, 0], p[:, 1], ((-1, -1), (1, -1), (0.2, 0.1), (1, 1), (-1, 1))),
        lambda p: melt(limb(p, (0, 0, 0), (0, 1, 0), 0.2), block(p, (0.5, 0, 0), (0.3, 0.3, 0.3)), radius=0.2),
    ],
)
def test_a_distance_never_grows_faster_than_the_way(shape):
    there = POINTS + np.random.default_rng(1).normal(0, 0.1, POINTS.shape).astype(np.float32)
    assert (np.abs(shape(there) - shape(POINTS)) <= length(there - POINTS) + 1e-4).all()


def test_distances_of_known_points():
    p = np.float32([[0, 0, 0], [0, 0.9, 0], [3, 0, 0]])
    np.testing.assert_allclose(block(p, (0, 0, 0), (1, 0.5, 1)), [-0.5, 0.4, 2], atol=1e-6)
    np.testing.assert_allclose(limb(p, (0, 0, 0), (1, 0, 0), 0.1), [-0.1, 0.8, 1.9], atol=1e-6)
    square = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
    np.testing.assert_allclose(outline(p[:, 0], p[:, 1], square), [-1, -0.1, 2], atol=1e-6)


def test_a_ball_is_seen_where_it_stands():
    camera = Camera(height=120, width=160, focal=150, horizon=60, eye=(0.5, 1, 0))
    seen = look(camera, ball(), (1.0, 10.0))
    columns, rows = camera.project(np.float32([1.0, 0.5, 10.0]))
    assert abs(seen.columns.mean() + 0.5 - columns) < 0.5
    assert abs(seen.rows.mean() + 0.5 - rows) < 0.5
    assert seen.depth.min() == pytest.approx(9.5, abs=0.02)
    np.testing.assert_allclose(length(seen.normals), 1, atol=1e-4)
    np.testing.assert_allclose(length(seen.points - np.float32([1, 0.5, 10])), 0.5, atol=0.01)
    np.testing.assert_allclose(
        seen.points, np.float32(camera.eye) + camera.rays()[seen.rows, seen.columns] * seen.depth[:, None], atol=1e-4
    )


def test_a_turned_solid_shows_its_other_side():
    camera = Camera(height=60, width=80, focal=80, horizon=30, eye=(0, 1, 0))
    front = look(camera, ball(), (0, 5), np.pi)
    assert front.local[front.depth.argmin(), 2] == pytest.approx(0.5, abs=0.01)
    back = look(camera, ball(), (0, 5), 0)
    assert back.local[back.depth.argmin(), 2] == pytest.approx(-0.5, abs=0.01)


def test_a_solid_beside_the_image_is_not_seen():
    camera = Camera(height=60, width=80, focal=80, horizon=30, eye=(0, 1, 0))
    assert look(camera, ball(), (50, 5)).depth.size == 0


@pytest.mark.parametrize("beta", [0.0, 2.0, 4.0])
def test_clouds_are_normalized(beta):
    field = clouds(np.random.default_rng(0), (64, 96), beta)
    assert field.shape == (64, 96)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-5)


def test_a_texture_fades_where_a_pixel_cannot_resolve_it():
    texture = Texture(np.random.default_rng(0))
    u, v = np.random.default_rng(1).uniform(0, 50, (2, 3000)).astype(np.float32)
    assert texture(u, v, 0.001, 1.0).std() > 0.5
    assert texture(u, v, 10.0, 1.0).std() == 0


def test_a_tile_repeats():
    tile = np.random.default_rng(0).random((256, 256), np.float32)
    x, y = np.random.default_rng(1).uniform(0, 256, (2, 1000)).astype(np.float32)
    np.testing.assert_allclose(sample(tile, x, y), sample(tile, x + 256, y - 512), atol=0.05)
    assert sample(tile, np.float32([[3]]), np.float32([[5]]))[0, 0] == tile[5, 3]


def test_chance_is_fair_and_the_same_every_time():
    draws = chance(np.arange(20_000), 3)
    np.testing.assert_array_equal(draws, chance(np.arange(20_000), 3))
    assert draws.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.std() == pytest.approx(12**-0.5, abs=0.02)
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.03


def test_step_goes_both_ways():
    x = np.linspace(-1, 2, 7)
    np.testing.assert_allclose(step(0, 1, x), [0, 0, 0, 0.5, 1, 1, 1])
    np.testing.assert_allclose(step(1, 0, x), [1, 1, 1, 0.5, 0, 0, 0])
