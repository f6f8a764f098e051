"""Calibration from rendered scenes, refusals, checks, files and the command line."""

from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from rigs import SIZE, seen
from scenes import motion

from refinefuse import Rig, calibrate_rig, check_rig, load_rig, write_image
from refinefuse.cli import main
from refinefuse.errors import AlignmentError, InputError
from refinefuse.rig.calibrate import overlap_corners
from refinefuse.rig.convert import load_lens, load_opencv, load_ros, save_opencv, save_ros
from refinefuse.rig.frames import read_frames
from refinefuse.rig.lens import Lens, nominal_lens


def off(rig, true):
    ends = overlap_corners(true)
    return np.linalg.norm(rig.transform().map_points(ends) - true.map_points(ends), axis=1).max()


@pytest.fixture(scope="session")
def rig(rig_frames):
    return calibrate_rig(rig_frames[0])


@pytest.fixture
def stereo():
    """A rig from another program: two lenses, a rotation of 3 degrees, 10 cm apart."""
    lens_a = Lens(np.array([[300, 0, 158.0], [0, 301, 121], [0, 0, 1]]), np.array([-0.2, 0.05, 1e-3, -1e-3, 0.0]))
    lens_b = Lens(np.array([[280, 0, 161.0], [0, 281, 118], [0, 0, 1]]), np.array([-0.1, 0.02, 0.0, 0.0, 0.0]))
    turn, _ = cv2.Rodrigues(np.deg2rad([1.0, -2.0, 2.0]))
    shift = np.array([[0.1], [0.01], [0.0]])
    return lens_a, lens_b, turn, shift


def test_a_rig_is_found_from_ordinary_scenes(rig, rig_frames):
    assert off(rig, rig_frames[1]) < 0.2  # 0.05; 0.43 without the small cells
    assert rig.quality.frames == 8
    assert off(rig, rig_frames[1]) < 4 * rig.quality.corner_error < 8


def test_the_error_map_is_empty_where_a_has_no_data():
    frames, true = seen(motion(SIZE, (10, 0), 0, 1.3))
    found = calibrate_rig(frames)
    assert off(found, true) < 1.5
    assert all(row[-1] is None and row[0] is None for row in found.quality.error_map)
    assert found.quality.error_map[2][3] < 1


def test_frames_that_have_nothing_in_common_are_refused(rig_frames):
    frames = rig_frames[0]
    shuffled = [(frames[index][0], frames[(index + 3) % 8][1]) for index in range(8)]
    with pytest.raises(AlignmentError, match="could not be calibrated"):
        calibrate_rig(shuffled)
    with pytest.raises(AlignmentError, match="could not be calibrated"):
        calibrate_rig([(np.full(SIZE, 90, np.uint8), b) for _, b in frames])


def test_positions_that_all_frames_show_wrong_are_refused(rig_frames):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    grid = x + 6 * np.sin(y / 10), y + 6 * np.sin(x / 10)
    frames = [(cv2.remap(a, *grid, cv2.INTER_LINEAR), b) for a, b in rig_frames[0]]
    with pytest.raises(AlignmentError, match=r"half of the positions are \d\.\d pixels or more off the fit"):
        calibrate_rig(frames)


def test_frames_that_cannot_be_used(rig_frames):
    frames = rig_frames[0]
    with pytest.raises(InputError, match=r"expected: 5 or more pairs\n  got: 2"):
        calibrate_rig(frames[:2])
    with pytest.raises(InputError, match=r"expected: 240 x 320\n  frame 6: 200 x 320"):
        calibrate_rig([*frames[:5], (frames[5][0][:200], frames[5][1])])
    with pytest.raises(InputError, match="above 0 meters"):
        calibrate_rig(frames, distance=-1)


def test_a_known_lens_stays_as_it_is(rig_frames):
    lens = nominal_lens(SIZE, -0.15)
    found = calibrate_rig(rig_frames[0], lens_a=lens, lens_b=nominal_lens(SIZE))
    assert found.lens_moving is lens
    assert off(found, rig_frames[1]) < 1


def test_a_camera_that_moved_is_found(rig, rig_frames):
    frames, _ = rig_frames
    held = check_rig(rig, frames)
    assert held.is_known
    assert not held.has_moved
    assert held.shift < 1
    moved = [(np.roll(a, (0, 3), (0, 1)), b) for a, b in frames]
    found = check_rig(rig, moved)
    assert found.has_moved
    assert found.shift == pytest.approx(3 / 0.8, abs=1)
    flat = check_rig(rig, [(np.full(SIZE, 90, np.uint8), b) for _, b in frames])
    assert not flat.is_known
    assert not flat.has_moved


def test_a_rig_file_comes_back_as_it_was(rig, tmp_path):
    rig.save(tmp_path / "rig.json")
    again = load_rig(tmp_path / "rig.json")
    points = np.array([[0.0, 0.0], [319, 239], [50, 200]])
    assert np.array_equal(again.transform().map_points(points), rig.transform().map_points(points))
    assert again.quality == rig.quality
    (tmp_path / "bad.json").write_text((tmp_path / "rig.json").read_text().replace('"matrix"', '"matrices"'))
    with pytest.raises(InputError, match="no key 'matrix'"):
        load_rig(tmp_path / "bad.json")
    with pytest.raises(InputError, match="Is a directory"):
        load_rig(tmp_path)
    with pytest.raises(InputError, match="cannot store lenses"):
        rig.transform().save(tmp_path / "t.json")


def test_things_at_other_distances_are_shifted(rig_frames):
    rig = Rig(SIZE, SIZE, np.eye(3), distance=20.0)
    with pytest.raises(InputError, match="does not know how"):
        rig.transform(3)
    near = np.eye(3)
    near[0, 2] = 6
    found = rig.with_parallax(near, 4)
    assert found.transform(4).map_points(np.zeros((1, 2))) == pytest.approx(np.array([[6.0, 0.0]]))
    assert found.transform(20).map_points(np.zeros((1, 2))) == pytest.approx(np.zeros((1, 2)))
    assert found.transform(8).map_points(np.zeros((1, 2)))[0, 0] == pytest.approx(30 * (1 / 8 - 1 / 20))
    with pytest.raises(InputError, match="second distance"):
        rig.with_parallax(near, 20)


def test_opencv_applies_a_saved_rig(rig, rig_frames, tmp_path):
    save_opencv(rig, tmp_path / "rig.yml")
    storage = cv2.FileStorage(str(tmp_path / "rig.yml"), cv2.FileStorage_READ)
    k, d, r, p = (storage.getNode(f"{name}1").mat() for name in "MDRP")
    x, y = cv2.initUndistortRectifyMap(k, d, r, p[:, :3], SIZE[::-1], cv2.CV_32F)
    plain = Rig(rig.size_moving, rig.size_fixed, rig.matrix, rig.lens_moving)
    expected = plain.transform().positions
    inside = (expected[0] > 0) & (expected[0] < 319) & (expected[1] > 0) & (expected[1] < 239)
    assert np.abs(np.stack([x, y]) - np.stack(expected))[:, inside].max() < 0.01
    again = load_opencv(tmp_path / "rig.yml")
    ends = overlap_corners(rig.transform())
    assert again.transform().map_points(ends) == pytest.approx(rig.transform().map_points(ends), abs=1e-4)


def test_ros_files_come_back(rig, tmp_path):
    save_ros(rig, tmp_path / "thermal.yaml", tmp_path / "visible.yaml")
    again = load_ros(tmp_path / "thermal.yaml", tmp_path / "visible.yaml")
    ends = overlap_corners(rig.transform())
    assert (again.size_moving, again.size_fixed) == (rig.size_moving, rig.size_fixed)
    assert again.transform().map_points(ends) == pytest.approx(rig.transform().map_points(ends), abs=1e-4)
    lens = load_lens(tmp_path / "thermal.yaml")
    assert np.allclose(lens.distortion, rig.lens_moving.distortion)


def test_a_stereo_calibration_gives_the_shift_at_any_distance(stereo, tmp_path):
    lens_a, lens_b, turn, shift = stereo
    storage = cv2.FileStorage(str(tmp_path / "stereo.yml"), cv2.FileStorage_WRITE)
    named = {"M1": lens_a.camera_matrix, "D1": lens_a.distortion, "M2": lens_b.camera_matrix, "D2": lens_b.distortion}
    for key, value in (named | {"R": turn, "T": shift}).items():
        storage.write(key, value)
    storage.write("image_width", SIZE[1])
    storage.write("image_height", SIZE[0])
    storage.release()
    rig = load_opencv(tmp_path / "stereo.yml")
    in_b = np.array([[0.3, -0.2, 1.0], [-0.4, 0.1, 1.0]]) * 5  # meters before camera b
    in_a = (in_b - shift.ravel()) @ turn  # x_b = R x_a + T
    positions = [
        cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.camera_matrix, lens.distortion)[0][:, 0]
        for points, lens in ((in_a, lens_a), (in_b, lens_b))
    ]
    assert rig.transform(5).map_points(positions[1]) == pytest.approx(positions[0], abs=1e-3)


def test_rectified_cameras_of_ros_give_the_shift_too(stereo, tmp_path):
    lens_a, lens_b, turn, shift = stereo
    lenses = lens_b.camera_matrix, lens_b.distortion, lens_a.camera_matrix, lens_a.distortion
    r_b, r_a, p_b, p_a, *_ = cv2.stereoRectify(*lenses, SIZE[::-1], turn.T, -turn.T @ shift)
    for name, lens, r, p in (("a", lens_a, r_a, p_a), ("b", lens_b, r_b, p_b)):
        (tmp_path / f"{name}.yaml").write_text(
            f"image_width: {SIZE[1]}\nimage_height: {SIZE[0]}\ndistortion_model: plumb_bob\n"
            + "".join(
                f"{key}: {{rows: {m.shape[0]}, cols: {m.shape[1]}, data: {m.ravel().tolist()}}}\n"
                for key, m in (
                    ("camera_matrix", lens.camera_matrix),
                    ("distortion_coefficients", lens.distortion[None]),
                    ("rectification_matrix", r),
                    ("projection_matrix", p),
                )
            )
        )
    rig = load_ros(tmp_path / "a.yaml", tmp_path / "b.yaml")
    in_b = np.array([[0.3, -0.2, 1.0], [-0.4, 0.1, 1.0]]) * 5
    in_a = (in_b - shift.ravel()) @ turn
    positions = [
        cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.camera_matrix, lens.distortion)[0][:, 0]
        for points, lens in ((in_a, lens_a), (in_b, lens_b))
    ]
    # rectified depth differs from that before camera b by the rotation of the rectification alone
    depth = (in_b @ r_b.T)[:, 2]
    found = np.concatenate([rig.transform(float(z)).map_points(positions[1][[n]]) for n, z in enumerate(depth)])
    assert found == pytest.approx(positions[0], abs=0.05)


@pytest.mark.parametrize("text", ["", "a: [", "distortion_model: equidistant\n", "%YAML:1.0\n---\nx: 1\n", "\0\0"])
def test_a_file_without_a_lens_is_refused(text, tmp_path):
    (tmp_path / "lens.yaml").write_text(text)
    with pytest.raises(InputError, match="does not contain a usable calibration"):
        load_lens(tmp_path / "lens.yaml")


def test_from_frames_to_a_fused_image(rig_frames, tmp_path, capsys):
    for index, pair in enumerate(rig_frames[0]):
        for name, image in zip(("ir", "vi"), pair, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            write_image(tmp_path / name / f"{index}.png", image)
    ir, vi, rig = (str(tmp_path / name) for name in ("ir", "vi", "rig.json"))
    assert main(["rig", "calibrate", ir, vi, "-o", rig]) == 0
    assert "corners are known to about" in capsys.readouterr().out
    assert main(["rig", "check", ir, vi, "--rig", rig]) == 0
    assert "The rig is still valid" in capsys.readouterr().out
    first = [f"{ir}/0.png", f"{vi}/0.png"]
    assert main(["fuse", *first, "-o", str(tmp_path / "f.png"), "--rig", rig]) == 0
    assert main(["fuse", *first, "-o", str(tmp_path / "g.png"), "--transform", rig]) == 0
    assert (tmp_path / "f.png").read_bytes() == (tmp_path / "g.png").read_bytes()
    assert main(["fuse", ir, vi, "-o", str(tmp_path / "all"), "--rig", rig]) == 0
    assert main(["fuse", *first, "-o", str(tmp_path / "h.png"), "--rig", rig, "--distance", "3"]) == 2
    assert main(["fuse", *first, "-o", str(tmp_path / "h.png"), "--distance", "3"]) == 2
    assert main(["rig", "convert", rig, "-o", str(tmp_path / "rig.yml")]) == 0
    assert main(["rig", "convert", str(tmp_path / "rig.yml"), "-o", str(tmp_path / "again.json")]) == 0
    for path in (tmp_path / "ir").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        write_image(path, np.roll(image, 5, 0), overwrite=True)
    assert main(["rig", "check", ir, vi, "--rig", rig]) == 1
    assert "A camera moved" in capsys.readouterr().err


def test_frames_come_from_videos_too(rig, rig_frames, tmp_path):
    pytest.importorskip("av")
    for name, side in (("ir", 0), ("vi", 1)):
        with av_writer(tmp_path / f"{name}.mkv") as write:
            for pair in rig_frames[0]:
                write(pair[side])
    rig.save(tmp_path / "rig.json")
    videos = [str(tmp_path / f"{name}.mkv") for name in ("ir", "vi")]
    assert len(read_frames(*videos, 4)) == 4
    assert np.array_equal(read_frames(*videos, 8)[3][1], rig_frames[0][3][1])
    assert main(["rig", "check", *videos, "--rig", str(tmp_path / "rig.json")]) == 0


@contextmanager
def av_writer(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
        yield lambda image: container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        container.mux(stream.encode(None))
