"""Scenes that two sensors see: the same shapes in other gray values, and motions between the two images."""

import cv2
import numpy as np

from refinefuse.alignment.transform import centering, corners, project


def scene(seed=0, size=(240, 320)):
    """Two images of one scene on one grid: shapes whose gray values in the one are unrelated to those in the other."""
    generator = np.random.default_rng(seed)
    h, w = size
    images = [np.full(size, generator.integers(60, 190), np.uint8) for _ in range(2)]
    for _ in range(70):
        middle = generator.uniform(0, 1, 2) * (w, h)
        shape = (middle + generator.normal(0, 0.09 * w, (generator.integers(3, 7), 2))).astype(np.int32)
        for image in images:
            cv2.fillPoly(image, [cv2.convexHull(shape)], int(generator.integers(0, 256)), cv2.LINE_AA)
    scenes = [cv2.GaussianBlur(x, (0, 0), 0.7) + generator.normal(0, 4, size) for x in images]
    return [x.clip(0, 255).astype(np.uint8) for x in scenes]


def motion(size, shift=(0, 0), degrees=0.0, scale=1.0):
    """The matrix from the pixels of `b` to those of `a`, about the center."""
    c, s = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    turn = np.array([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])
    return centering(size) @ turn @ np.linalg.inv(centering(size))


def through(ends):
    """The homography of a 240 x 320 image that moves its corners by these amounts."""
    start = corners((240, 320)).astype(np.float32)
    return cv2.getPerspectiveTransform(start, start + np.array(ends, np.float32)).astype(float)


def moved(a, matrix, size=None):
    """`a` as a camera sees it from which pixels of `b` lie at `matrix`."""
    h, w = size or a.shape[:2]
    return cv2.warpPerspective(a, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)


def off(transform, matrix):
    """Mean distance of the corners from where they belong, in pixels of `a`."""
    ends = corners(transform.size_fixed)
    return np.linalg.norm(transform.map_points(ends) - project(matrix, ends), axis=1).mean()
