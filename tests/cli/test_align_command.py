"""`refinefuse align` and `refinefuse fuse --align` as a user meets them."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from refinefuse.image.files import read_image, write_image

sys.path.insert(0, str(Path(__file__).parents[1] / "alignment"))
from scenes import motion, moved, scene

SIZE = (160, 208)
MOTION = motion(SIZE, (14, -9), 4, 1.08)


@pytest.fixture(scope="module")
def images():
    a, b = scene(2, SIZE)
    return a, moved(a, MOTION).astype(np.uint16) * 257, np.dstack([b, b, 255 - b])


@pytest.fixture
def shifted(tmp_path, images):
    """A pair of files that do not lie on each other: 16-bit gray and 8-bit color."""
    write_image(tmp_path / "a.png", images[1])
    write_image(tmp_path / "b.png", images[2])
    return tmp_path


@pytest.fixture
def rig(tmp_path, images):
    """Two folders of one rig: three pairs, one of which shows nothing."""
    for folder, image in (("ir", images[1]), ("vi", images[2])):
        (tmp_path / folder).mkdir()
        for name in ("1", "2"):
            write_image(tmp_path / folder / f"{name}.png", image)
        write_image(tmp_path / folder / "dark.png", np.zeros_like(image))
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_align_writes_a_on_the_grid_of_b(shifted, images, run):
    code, out, err = run(
        *("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "al.png"),
        *("--save-transform", shifted / "t.json", "--valid-mask", shifted / "c.png"),
    )
    assert (code, err) == (0, "")
    assert "standard deviations" in out
    aligned, covered = read_image(shifted / "al.png"), read_image(shifted / "c.png") > 0
    assert aligned.dtype == np.uint16
    assert 0.6 < covered.mean() < 1
    inner = np.s_[40:-40, 50:-50]
    before = np.abs(images[1][inner] / 257 - images[0][inner]).mean()
    assert np.abs(aligned[inner] / 257 - images[0][inner]).mean() < 0.3 * before


def test_a_saved_transform_gives_the_same_image(shifted, run):
    pair = shifted / "a.png", shifted / "b.png"
    run("align", *pair, "-o", shifted / "1.png", "--save-transform", shifted / "t.json")
    code, _, _ = run("align", *pair, "-o", shifted / "2.png", "--transform", shifted / "t.json")
    assert code == 0
    assert (shifted / "1.png").read_bytes() == (shifted / "2.png").read_bytes()
    for option in (["--align"], ["--transform", shifted / "t.json"]):
        code, _, err = run("fuse", *pair, "-o", shifted / f"f{len(option)}.png", *option)
        assert code == 0, err
    assert (shifted / "f2.png").exists()
    fused = read_image(shifted / "f1.png")
    assert fused.shape == (*SIZE, 3)
    assert fused.dtype == np.uint16


def test_where_a_has_no_data_the_fused_image_is_b(shifted, run):
    run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "al.png", "--valid-mask", shifted / "c.png")
    run("fuse", shifted / "al.png", shifted / "b.png", "-o", shifted / "f.png")
    covered = read_image(shifted / "c.png")
    outside = cv2.dilate(covered, np.ones((41, 41), np.uint8)) == 0  # nearer to the edge the network sees `a` too
    fused, b = read_image(shifted / "f.png") / 257, read_image(shifted / "b.png")
    assert outside.sum() > 100
    assert np.abs(fused - b)[outside].max() < 1.5


def test_what_cannot_be_aligned_is_refused_and_nothing_is_written(shifted, run):
    write_image(shifted / "other.png", scene(99, SIZE)[1])
    for command, option in (("align", []), ("fuse", ["--align"])):
        code, _, err = run(command, shifted / "a.png", shifted / "other.png", "-o", shifted / "out.png", *option)
        assert code == 1
        assert "could not be aligned" in err
        assert "--transform" in err
    assert not (shifted / "out.png").exists()


def test_a_refusal_names_the_type_of_transform_that_works(shifted, images, run):
    write_image(shifted / "turned.png", moved(images[2], motion(images[2].shape[:2], (6, -4), degrees=6)))
    for command, option in (("align", []), ("fuse", ["--align"])):
        given = [command, shifted / "turned.png", shifted / "b.png", "-o", shifted / f"{command}.png", *option]
        code, _, err = run(*given, "--transform-type", "translation")
        assert code == 1
        assert "use --transform-type rigid" in err
        assert run(*given, "--transform-type", "rigid")[0] == 0


def test_folders_continue_where_one_fails(rig, run):
    code, out, err = run("align", rig / "ir", rig / "vi", "-o", rig / "out")
    assert code == 1
    assert "2 aligned, 1 failed" in out
    assert "dark: The pair could not be aligned" in err
    assert names(rig / "out") == ["1.png", "2.png"]
    code, _, err = run("fuse", rig / "ir", rig / "vi", "-o", rig / "fused", "--align")
    assert code == 1
    assert "dark" in err
    assert names(rig / "fused") == ["1.png", "2.png"]


def test_one_transform_for_a_whole_rig(rig, run):
    run("align", rig / "ir/1.png", rig / "vi/1.png", "-o", rig / "x.png", "--save-transform", rig / "t.json")
    code, _, err = run("fuse", rig / "ir", rig / "vi", "-o", rig / "fused", "--transform", rig / "t.json")
    assert (code, "failed" in err) == (0, False)
    assert names(rig / "fused") == ["1.png", "2.png", "dark.png"]


def test_fuse_warns_of_a_pair_that_looks_shifted(tmp_path, run):
    a, b = scene(2, SIZE)
    write_image(tmp_path / "a.png", moved(a, motion(SIZE, (30, 0))))
    write_image(tmp_path / "b.png", b)
    write_image(tmp_path / "still.png", a)
    code, _, err = run("fuse", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "1.png")
    assert code == 0
    assert "looks shifted" in err
    assert "--align" in err
    code, _, err = run("fuse", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "2.png", "--strict")
    assert code == 1
    assert "looks shifted" in err
    assert not (tmp_path / "2.png").exists()
    still = tmp_path / "still.png", tmp_path / "b.png", "-o", tmp_path / "3.png"
    code, _, err = run("fuse", *still, "--strict", "--polarity", "white-hot")
    assert code == 0
    assert "looks shifted" not in err


def test_large_images_are_checked_too(tmp_path, run):
    a, b = scene(2, (900, 1200))
    write_image(tmp_path / "a.tif", moved(a, motion(a.shape, (90, 0))))
    write_image(tmp_path / "b.tif", b)
    words = "fuse", tmp_path / "a.tif", tmp_path / "b.tif", "-o", tmp_path / "o.tif", "--tile", "320"
    code, _, err = run(*words, "--strict")
    assert code == 1
    (shift,) = [float(words.split()[1]) for words in err.split("shifted by ")[1:]]  # in pixels of the files
    assert shift == pytest.approx(90, abs=10)
    assert not (tmp_path / "o.tif").exists()
    code, _, err = run(*words)
    assert code == 0
    assert "looks shifted" in err


def test_sources_are_never_replaced(shifted, run):
    before = (shifted / "a.png").read_bytes()
    for command, option in (("align", []), ("fuse", ["--align"])):
        code, _, err = run(
            command, shifted / "a.png", shifted / "b.png", "-o", shifted / "a.png", "--overwrite", *option
        )
        assert code == 2
        assert "named twice" in err
    assert (shifted / "a.png").read_bytes() == before


def test_wrong_use(shifted, rig, run):
    assert run("align", shifted / "none.png", shifted / "b.png", "-o", shifted / "o.png")[0] == 2
    assert run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "o.txt")[0] == 2
    assert (
        run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "o.png", "--transform_type", "magic")[0] == 2
    )
    code, _, err = run("align", rig / "ir", rig / "vi", "-o", rig / "out", "--save-transform", rig / "t.json")
    assert code == 2
    assert "one pair" in err
    code, _, err = run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "o.png", "--transform", "no.json")
    assert code == 2
    assert "no.json" in err
    given = shifted / "t.json"
    run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "x.png", "--save-transform", given)
    code, _, err = run(
        *("fuse", shifted / "a.png", shifted / "b.png", "-o", shifted / "o.png", "--align", "--transform", given)
    )
    assert (code, "exclude each other" in err) == (2, True)


def test_bad_images_are_refused_with_a_reason(shifted, images, run):
    flat, tiny, hole = shifted / "flat.png", shifted / "tiny.png", shifted / "nan.tif"
    write_image(flat, np.full(SIZE, 90, np.uint8))
    write_image(tiny, images[0][:20, :20])
    holed = images[0].astype(np.float32) / 255
    holed[5, 5] = np.nan
    tifffile.imwrite(hole, holed)
    for a, code, text in (
        (flat, 1, "all pixels of `a` have the same value"),
        (tiny, 2, "too small"),
        (hole, 2, "NaN"),
    ):
        for command, option in (("align", []), ("fuse", ["--align"])):
            found, _, err = run(command, a, shifted / "b.png", "-o", shifted / "o.png", *option)
            assert (found, text in err) == (code, True), err
    assert not (shifted / "o.png").exists()


def test_a_transform_of_another_size(shifted, images, run):
    run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "x.png", "--save-transform", shifted / "t.json")
    write_image(shifted / "small.png", images[0][:100, :120])
    for command in ("align", "fuse"):
        code, _, err = run(
            *(
                command,
                shifted / "small.png",
                shifted / "b.png",
                "-o",
                shifted / "o.png",
                "--transform",
                shifted / "t.json",
            )
        )
        assert (code, "160 x 208" in err, "100 x 120" in err) == (2, True, True)


def test_three_sources_are_aligned_to_the_last(shifted, images, run):
    write_image(shifted / "c.png", moved(images[0], motion(SIZE, (-10, 12))))
    code, _, err = run(
        "fuse", shifted / "a.png", shifted / "c.png", shifted / "b.png", "-o", shifted / "o.png", "--align"
    )
    assert code == 0, err
    assert read_image(shifted / "o.png").shape == (*SIZE, 3)


def test_raw_counts_are_filled_in_their_own_range(shifted, images, run):
    counts = (29000 + images[1].astype(np.int64) // 257 * 4).astype(np.uint16)
    write_image(shifted / "raw.png", counts)
    code, _, err = run("align", shifted / "raw.png", shifted / "b.png", "-o", shifted / "al.png")
    assert code == 0, err
    aligned = read_image(shifted / "al.png")
    assert aligned.dtype == np.uint16
    overshoot = 100  # of the cubic interpolation
    assert aligned.min() > counts.min() - overshoot
    assert aligned.max() < counts.max() + overshoot


def test_a_transform_moves_the_frames_of_a_video(shifted, images, run):
    pytest.importorskip("av")
    sys.path.insert(0, str(Path(__file__).parents[1] / "inference" / "video"))
    from clips import read_video, write_video

    a = write_video(shifted / "a.mkv", [(images[1] >> 8).astype(np.uint8)] * 3)
    b = write_video(shifted / "b.mkv", [images[2]] * 3, pixel_format="yuv444p")
    run("align", shifted / "a.png", shifted / "b.png", "-o", shifted / "al.png", "--save-transform", shifted / "t.json")
    code, _, err = run("video", a, b, "-o", shifted / "o.mkv", "--codec", "ffv1", "--transform", shifted / "t.json")
    assert code == 0, err
    run("fuse", shifted / "al.png", shifted / "b.png", "-o", shifted / "f.png")
    still, frame = (
        read_image(shifted / "f.png")[..., :3] / 257,
        read_video(shifted / "o.mkv")[0].to_ndarray(format="rgb24"),
    )
    assert np.abs(frame.astype(float).mean(-1) - still.mean(-1))[30:-30, 30:-30].mean() < 4
    code, _, err = run("video", a, b, "-o", shifted / "p.mkv", "--align")
    assert (code, "--align" in err) == (2, True)
