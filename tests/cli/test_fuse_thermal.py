"""`refinefuse fuse` with thermal counts and with more than two sources."""

import cv2
import numpy as np
import pytest
import tifffile

from refinefuse.image.files import read_image, write_image


def scene(width=64):
    """Luma of a thermal image, white-hot: cold sky, warmer ground, two hot things."""
    image = np.linspace(0.1, 0.4, 48)[:, None].repeat(width, 1)
    image[30:36, 10:14] = image[28:36, 40:46] = 0.9
    return image


def counts(seed=0):
    """14-bit counts of the scene."""
    return np.round(7200 + 900 * scene() + np.random.default_rng(seed).normal(0, 3, (48, 64))).astype(np.uint16)


@pytest.fixture
def visible(tmp_path):
    write_image(tmp_path / "vi.png", np.random.default_rng(9).integers(60, 200, (48, 64, 3), np.uint8))
    return tmp_path / "vi.png"


@pytest.fixture
def sequence(tmp_path):
    """Five frames; a flare that fills a tenth enters with the last one."""
    for index in range(5):
        frame = counts(index)
        if index == 4:
            frame[:12, :24] = 15_000
        for name, pixels in (("ir", frame), ("vi", np.full((48, 64, 3), 90, np.uint8))):
            (tmp_path / name).mkdir(exist_ok=True)
            write_image(tmp_path / name / f"{index}.png", pixels)
    return tmp_path


def test_16_bit_counts_give_16_bit_images(tmp_path, visible, run):
    write_image(tmp_path / "ir.png", counts())
    code, _, err = run("fuse", tmp_path / "ir.png", visible, "-o", tmp_path / "raw.png", "--range", "full")
    assert (code, "warning" in err) == (0, False)
    code, _, err = run("fuse", tmp_path / "ir.png", visible, "-o", tmp_path / "default.png")
    assert code == 0
    assert "holds raw counts" in err
    assert "--range" in err
    run("fuse", tmp_path / "ir.png", visible, "-o", tmp_path / "same.png", "--range", "percentile:0.1,99.9")
    np.testing.assert_array_equal(read_image(tmp_path / "default.png"), read_image(tmp_path / "same.png"))
    code, _, err = run(
        "fuse", tmp_path / "ir.png", visible, "-o", tmp_path / "out.png", "--range", "percentile:0.5,99.5"
    )
    assert (code, "warning" in err) == (0, False)
    fused = read_image(tmp_path / "out.png")
    assert fused.dtype == np.uint16
    assert fused[29:35, 41:45].mean() > read_image(tmp_path / "raw.png")[29:35, 41:45].mean() + 10_000


def test_the_range_is_that_of_the_whole_folder(sequence, run):
    words = ("fuse", sequence / "ir", sequence / "vi", "--range", "percentile:1,95", "-o")
    code, out, _ = run(*words, sequence / "fixed")
    assert code == 0
    low, high = (float(word) for word in out.split("range: ")[1].split(" counts")[0].split(" to "))
    every = np.stack([read_image(sequence / "ir" / f"{index}.png") for index in range(5)])
    assert (low, high) == tuple(np.percentile(every, (1, 95), method="inverted_cdf"))
    run(*words, sequence / "each", "--range-per-image")

    def step(name):
        before, after = (read_image(sequence / name / f"{index}.png")[14:] / 65535 for index in (3, 4))
        return abs(after.mean() - before.mean())

    assert step("fixed") < 0.02
    assert step("each") > 3 * step("fixed")


def test_raw_counts_of_a_folder_get_one_range(sequence, run):
    code, out, err = run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "out")
    assert code == 0
    assert "holds raw counts" in err
    low, high = (float(word) for word in out.split("range: ")[1].split(" counts")[0].split(" to "))
    every = np.stack([read_image(sequence / "ir" / f"{index}.png") for index in range(5)])
    assert (low, high) == tuple(np.percentile(every, (0.1, 99.9), method="inverted_cdf"))
    run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "same", "--range", "percentile:0.1,99.9")
    np.testing.assert_array_equal(read_image(sequence / "out/3.png"), read_image(sequence / "same/3.png"))
    (sequence / "out/3.png").unlink()
    run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "out")
    np.testing.assert_array_equal(read_image(sequence / "out/3.png"), read_image(sequence / "same/3.png"))


@pytest.mark.parametrize("odd", [0, 2])
def test_an_8_bit_frame_among_counts_is_named(sequence, run, odd):
    write_image(sequence / f"ir/{odd}.png", np.round(scene() * 255).astype(np.uint8), overwrite=True)
    code, out, err = run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "out")
    assert code == 1
    assert "4 fused, 0 skipped, 1 failed" in out
    assert f"ir/{odd}.png" in err
    assert "expected: uint16" in err


def test_large_counts_by_strips_equal_small_ones(tmp_path, run):
    rng = np.random.default_rng(0)
    write_image(tmp_path / "ir.tif", np.tile(counts(), (6, 5)))
    write_image(tmp_path / "vi.tif", rng.integers(60, 200, (288, 320, 3), np.uint8))
    words = ("fuse", tmp_path / "ir.tif", tmp_path / "vi.tif", "-o")
    assert run(*words, tmp_path / "strips.tif", "--tile", "144")[0] == 0
    assert run(*words, tmp_path / "whole.tif", "--tile", "off")[0] == 0
    strips, whole = (read_image(tmp_path / name).astype(int) for name in ("strips.tif", "whole.tif"))
    assert strips.dtype == whole.dtype
    assert abs(strips - whole).max() <= 1


def test_a_broken_frame_costs_one_image(sequence, run):
    (sequence / "ir/2.png").write_bytes(b"broken")
    code, out, err = run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "out", "--range", "percentile:1,99")
    assert code == 1
    assert "4 fused, 0 skipped, 1 failed" in out
    assert "ir/2.png" in err


def test_a_folder_of_broken_frames_says_why_of_the_first(sequence, run):
    for path in (sequence / "ir").iterdir():
        path.write_bytes(b"no image")
    code, _, err = run("fuse", sequence / "ir", sequence / "vi", "-o", sequence / "out", "--range", "percentile:1,99")
    assert code == 2
    assert f"Cannot read '{min((sequence / 'ir').iterdir())}'" in err


def test_black_hot(tmp_path, visible, run):
    write_image(tmp_path / "white.png", np.round(scene() * 255).astype(np.uint8))
    write_image(tmp_path / "black.png", 255 - np.round(scene() * 255).astype(np.uint8))
    assert "black-hot" not in run("fuse", tmp_path / "white.png", visible, "-o", tmp_path / "1.png")[2]
    assert "--polarity black-hot" in run("fuse", tmp_path / "black.png", visible, "-o", tmp_path / "2.png")[2]
    assert (
        "black-hot"
        not in run("fuse", tmp_path / "black.png", visible, "-o", tmp_path / "3.png", "--polarity", "white-hot")[2]
    )
    assert (
        "black-hot"
        not in run("fuse", tmp_path / "black.png", visible, "-o", tmp_path / "4.png", "--polarity", "black-hot")[2]
    )
    np.testing.assert_array_equal(read_image(tmp_path / "4.png"), read_image(tmp_path / "1.png"))
    assert (read_image(tmp_path / "2.png") != read_image(tmp_path / "1.png")).any()


def test_a_swapped_pair_is_reported(tmp_path, visible, run):
    write_image(tmp_path / "ir.png", np.round(scene() * 255).astype(np.uint8))
    assert "swapped" in run("fuse", visible, tmp_path / "ir.png", "-o", tmp_path / "out.png")[2]


class TestFalseColor:
    @pytest.fixture
    def jet(self, tmp_path):
        gray = np.round(cv2.resize(scene(), (128, 96)) * 255).astype(np.uint8)
        write_image(tmp_path / "gray.png", gray)
        write_image(tmp_path / "jet.png", np.ascontiguousarray(cv2.applyColorMap(gray, cv2.COLORMAP_JET)[..., ::-1]))
        write_image(tmp_path / "color.png", np.random.default_rng(9).integers(60, 200, (96, 128, 3), np.uint8))
        write_image(
            tmp_path / "night.png", np.random.default_rng(9).integers(60, 200, (96, 128, 1), np.uint8).repeat(3, 2)
        )
        return tmp_path

    def test_it_is_reported_and_refused(self, jet, run):
        words = ("fuse", jet / "jet.png", jet / "color.png", "-o", jet / "out.png")
        code, _, err = run(*words)
        assert (code, "--palette jet" in err) == (0, True)
        assert run(*words, "--strict", "--overwrite")[0] == 1

    def test_it_is_read_as_values(self, jet, run):
        code, _, err = run("fuse", jet / "jet.png", jet / "color.png", "-o", jet / "out.png", "--palette", "jet")
        assert (code, "false color" in err) == (0, False)
        run("fuse", jet / "gray.png", jet / "color.png", "-o", jet / "same.png")
        np.testing.assert_array_equal(read_image(jet / "out.png"), read_image(jet / "same.png"))
        code, _, err = run("fuse", jet / "jet.png", jet / "color.png", "-o", jet / "2.png", "--palette", "hot")
        assert (code, "those of jet" in err) == (2, True)

    def test_it_gives_no_color(self, jet, run):
        assert run("fuse", jet / "jet.png", jet / "night.png", "-o", jet / "out.png")[0] == 0
        out = read_image(jet / "out.png")
        assert out.ndim == 2 or np.ptp(out, axis=2).max() <= 1

    def test_the_color_of_a_is_kept_beside_a_gray_b(self, jet, run):
        code, _, err = run("fuse", jet / "color.png", jet / "night.png", "-o", jet / "out.png")
        assert (code, "the color of `a` is kept" in err) == (0, True)
        assert np.ptp(read_image(jet / "out.png"), axis=2).max() > 50


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--range", "1,2"), "No pixel lies inside"),
        (("--range", "auto"), "percentile:LOW,HIGH"),
        (("--range", "celsius:500,600"), "No pixel lies inside"),
        (("--polarity", "warm"), "expected: auto, white-hot, black-hot"),
    ],
)
def test_refused(tmp_path, visible, run, words, text):
    write_image(tmp_path / "ir.png", counts())
    code, _, err = run("fuse", tmp_path / "ir.png", visible, "-o", tmp_path / "out.png", *words)
    assert code == 2
    assert text in err
    assert not (tmp_path / "out.png").exists()


def test_signed_and_float_counts(tmp_path, visible, run):
    tifffile.imwrite(tmp_path / "signed.tif", (counts().astype(np.int32) - 7500).astype(np.int16))
    assert run("fuse", tmp_path / "signed.tif", visible, "-o", tmp_path / "1.png", "--range=-300,600")[0] == 0
    assert read_image(tmp_path / "1.png").dtype == np.uint16
    kelvins = counts().astype(np.float32) / 25
    tifffile.imwrite(tmp_path / "kelvins.tif", kelvins)
    assert (
        run("fuse", tmp_path / "kelvins.tif", visible, "-o", tmp_path / "2.tif", "--range", "celsius:10,50,1")[0] == 0
    )
    assert read_image(tmp_path / "2.tif").dtype == np.float32
    kelvins[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "kelvins.tif", kelvins)
    code, _, err = run("fuse", tmp_path / "kelvins.tif", visible, "-o", tmp_path / "3.tif", "--range", "280,330")
    assert code == 2
    assert "1 of 3072 are NaN" in err


class TestMoreThanTwo:
    @pytest.fixture
    def three(self, tmp_path):
        generator = np.random.default_rng(0)
        for folder in ("mw", "lw", "vi"):
            (tmp_path / folder).mkdir()
            for name in ("1", "2"):
                shape = (24, 30, 3) if folder == "vi" else (24, 30)
                write_image(tmp_path / folder / f"{name}.png", generator.integers(0, 256, shape, np.uint8))
        return tmp_path

    def test_files_in_any_order(self, three, run):
        mw, lw, vi = (three / name / "1.png" for name in ("mw", "lw", "vi"))
        assert run("fuse", mw, lw, vi, "-o", three / "1.png", "--montage", three / "montage.png")[0] == 0
        assert run("fuse", "-o", three / "2.png", lw, mw, vi)[0] == 0
        assert (three / "1.png").read_bytes() == (three / "2.png").read_bytes()
        assert read_image(three / "montage.png").shape[1] > 4 * 30

    def test_folders(self, three, run):
        (three / "lw/2.png").rename(three / "lw/3.png")
        code, out, err = run("fuse", three / "mw", three / "lw", three / "vi", "-o", three / "out")
        assert code == 1
        assert "1 fused" in out
        assert "mw/2.png" in err
        assert "lw/3.png" in err
        run("fuse", three / "mw/1.png", three / "lw/1.png", three / "vi/1.png", "-o", three / "1.png")
        assert (three / "out/1.png").read_bytes() == (three / "1.png").read_bytes()

    def test_nothing_in_common(self, three, run):
        for name in ("1", "2"):
            (three / f"lw/{name}.png").rename(three / f"lw/x{name}.png")
        code, _, err = run("fuse", three / "mw", three / "lw", three / "vi", "-o", three / "out")
        assert code == 2
        assert "share no file name" in err
