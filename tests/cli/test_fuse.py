"""`refinefuse fuse` as a user meets it: what is written, what is said, and with which exit code."""

import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from refinefuse.image.files import read_image, write_image
from refinefuse.image.tiff_strips import TiffReader, write_tiff
from refinefuse.inference.record import RECORD_NAME
from refinefuse.network.fusion_model import FusionModel


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD_NAME)


def test_two_files(pairs, run):
    code, _, _ = run("fuse", pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "out.png")
    assert code == 0
    fused = read_image(pairs / "out.png")
    assert fused.shape == (24, 30, 3)
    assert fused.dtype == np.uint8


def test_weight_map_and_montage(pairs, run):
    code, _, _ = run(
        *("fuse", pairs / "ir/1.png", pairs / "vi/1.bmp", "--output", pairs / "out.tif"),
        *("--weight-map", pairs / "map.png", "--montage", pairs / "montage.jpg"),
    )
    assert code == 0
    assert read_image(pairs / "map.png").shape == (24, 30)
    height, width, _ = read_image(pairs / "montage.jpg").shape
    assert width > 3 * 30
    assert height > 24


def test_two_folders_then_only_what_is_new(pairs, run):
    code, out, _ = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "new/out")
    assert code == 0
    assert "3 fused, 0 skipped" in out
    assert names(pairs / "new/out") == ["1.png", "10.png", "2.png"]
    (pairs / "new/out/2.png").unlink()
    kept = (pairs / "new/out/1.png").stat().st_mtime_ns
    code, out, _ = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "new/out")
    assert code == 0
    assert "1 fused, 2 skipped" in out
    assert (pairs / "new/out/1.png").stat().st_mtime_ns == kept
    code, out, _ = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "new/out", "--overwrite")
    assert "3 fused" in out


def test_folder_run_equals_single_runs(pairs, run):
    run(
        "fuse",
        pairs / "ir",
        pairs / "vi",
        "-o",
        pairs / "out",
        "--montage",
        pairs / "montages",
        "--weight-map",
        pairs / "maps",
    )
    run("fuse", pairs / "ir/2.png", pairs / "vi/2.bmp", "-o", pairs / "2.png")
    assert (pairs / "2.png").read_bytes() == (pairs / "out/2.png").read_bytes()
    assert names(pairs / "montages") == names(pairs / "maps") == names(pairs / "out")


def test_16_bit_stays_16_bit(tmp_path, run):
    counts = np.random.default_rng(0).integers(0, 65536, (20, 20), np.uint16)
    write_image(tmp_path / "a.png", counts)
    write_image(tmp_path / "b.tif", counts[::-1])
    assert run("fuse", tmp_path / "a.png", tmp_path / "b.tif", "-o", tmp_path / "out.png")[0] == 0
    assert read_image(tmp_path / "out.png").dtype == np.uint16


def test_unpaired_files_are_named_and_the_rest_is_fused(pairs, run):
    (pairs / "ir/1.png").unlink()
    (pairs / "vi/2.bmp").unlink()
    code, out, err = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert code == 1
    assert "1 fused" in out
    assert "1.bmp" in err
    assert "2.png" in err
    assert names(pairs / "out") == ["10.png"]


def test_a_broken_pair_is_reported_and_the_rest_is_fused(pairs, run):
    (pairs / "ir/2.png").write_bytes((pairs / "ir/2.png").read_bytes()[:200])
    write_image(pairs / "vi/10.bmp", np.zeros((24, 31, 3), np.uint8), overwrite=True)
    code, out, err = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert code == 1
    assert "1 fused, 0 skipped, 2 failed" in out
    assert "ir/2.png" in err
    assert "24 x 31" in err
    assert names(pairs / "out") == ["1.png"]


def test_failures_for_one_reason_are_reported_once(pairs, run):
    for name in ("1", "2", "10"):
        write_image(pairs / f"vi/{name}.bmp", np.zeros((24, 31 + int(name), 3), np.uint8), overwrite=True)
    code, out, err = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert (code, "0 fused, 0 skipped, 3 failed" in out) == (1, True)
    assert err.count("same height and width") == 1
    assert "24 x 32" in err
    assert "Likewise 2 more:\n  '2'\n  '10'\n" in err
    _, _, err = run("--debug", "fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert err.count("same height and width") == 3 + 1


def test_float_images_become_tiff(tmp_path, run):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "x.tif", np.random.default_rng(0).random((20, 20), np.float32))
    for expected in ("1 fused", "1 skipped"):
        code, out, _ = run("fuse", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")
        assert code == 0
        assert expected in out
    assert read_image(tmp_path / "out/x.tif").dtype == np.float32


def test_a_later_montage_leaves_existing_results_alone(pairs, run):
    run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    write_image(pairs / "out/1.png", np.zeros((3, 3), np.uint8), overwrite=True)
    code, _, _ = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out", "--montage", pairs / "montages")
    assert code == 0
    assert read_image(pairs / "out/1.png").shape == (3, 3)
    assert len(names(pairs / "montages")) == 3


def test_an_unforeseen_error_costs_one_pair(pairs, run, monkeypatch):
    predict = FusionModel.predict

    def failing(self, a, b, context, window=None):
        if a.shape[-1] == 31:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return predict(self, a, b, context, window)

    monkeypatch.setattr(FusionModel, "predict", failing)
    for path in (pairs / "ir/2.png", pairs / "vi/2.bmp"):
        write_image(path, np.zeros((24, 31), np.uint8), overwrite=True)
    code, out, err = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert code == 1
    assert "2 fused, 0 skipped, 1 failed" in out
    assert "Out of memory" in err
    assert "24 x 31" in err
    assert "Traceback" not in err
    _, _, err = run("--debug", "fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
    assert "'2' failed\nTraceback" in err
    assert "in failing" in err


def test_large_tiffs_by_tiles(tmp_path, run):
    """A pyramid in, a pyramid out; the same image as in one piece, and the weight map."""
    generator = np.random.default_rng(0)
    for name, shape in (("a", (430, 350)), ("b", (430, 350, 3))):
        pixels = generator.integers(0, 256, shape, np.uint8)
        write_tiff(tmp_path / f"{name}.tif", shape, pixels.dtype, iter([pixels]), pyramid=True)
    sources = tmp_path / "a.tif", tmp_path / "b.tif"
    words = ("--tile", 300, "--weight-map", tmp_path / "map.png")
    assert run("fuse", *sources, "-o", tmp_path / "tiles.tif", *words)[0] == 0
    assert run("fuse", *sources, "-o", tmp_path / "tiles.png", "--tile", 300)[0] == 0
    assert run("fuse", *sources, "-o", tmp_path / "whole.tif", "--tile", "off")[0] == 0
    tiles, whole = read_image(tmp_path / "tiles.tif"), read_image(tmp_path / "whole.tif")
    assert np.abs(tiles.astype(int) - whole).max() <= 1
    assert np.array_equal(read_image(tmp_path / "tiles.png"), tiles)
    assert read_image(tmp_path / "map.png").shape == (430, 350)
    with closing(TiffReader(tmp_path / "tiles.tif")) as reader:
        assert reader.is_pyramid
    for polarity in ("white-hot", "black-hot"):  # the second is not read by strips
        out = tmp_path / f"{polarity}.tif"
        assert run("fuse", *sources, "-o", out, "--tile", 300, "--polarity", polarity)[0] == 0
        assert np.array_equal(read_image(out), tiles) == (polarity == "white-hot")
    code, _, err = run("fuse", *sources, "-o", tmp_path / "x.tif", "--tile", 300, "--montage", tmp_path / "montage.png")
    assert (code, "--tile off" in err) == (2, True)
    code, _, err = run("fuse", *sources, "-o", tmp_path / "x.tif", "--tile", 20)
    assert (code, "at least" in err) == (2, True)
    assert not (tmp_path / "x.tif").exists()


def test_large_tiffs_in_folders(tmp_path, run):
    generator = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "large.tif", generator.integers(0, 256, (300, 250), np.uint8))
        write_image(tmp_path / folder / "small.tif", generator.integers(0, 256, (30, 25), np.uint8))
    words = ("fuse", tmp_path / "ir", tmp_path / "vi", "-o", tmp_path / "out", "--tile", 256)
    assert "2 fused" in run(*words)[1]
    assert names(tmp_path / "out") == ["large.tif", "small.png"]
    write_image(tmp_path / "out/large.tif", np.zeros((3, 3), np.uint8), overwrite=True)
    assert "2 fused" in run(*words, "--weight-map", tmp_path / "maps")[1]
    assert read_image(tmp_path / "out/large.tif").shape == (3, 3)
    assert names(tmp_path / "maps") == ["large.png", "small.png"]
    assert "2 skipped" in run(*words)[1]


def test_damage_in_the_middle_of_a_large_tiff_leaves_no_file(tmp_path, run):
    pixels = np.random.default_rng(0).integers(0, 256, (500, 280), np.uint8)
    for name in ("a.tif", "b.tif"):
        write_tiff(tmp_path / name, pixels.shape, pixels.dtype, iter([pixels]))
    data = (tmp_path / "b.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[: len(data) // 2] + bytes(300) + data[len(data) // 2 + 300 :])
    code, _, err = run("fuse", tmp_path / "a.tif", tmp_path / "b.tif", "-o", tmp_path / "o.tif", "--tile", 250)
    assert (code, "b.tif" in err, "Traceback" in err) == (2, True, False)
    assert names(tmp_path) == ["a.tif", "b.tif"]


class TestNothingIsWritten:
    """Wrong use ends with exit code 2, a message of its own and no file."""

    @pytest.fixture(autouse=True)
    def unchanged(self, pairs):
        before = {path: path.read_bytes() for path in pairs.rglob("*") if path.is_file()}
        yield
        assert {
            path: path.read_bytes() for path in pairs.rglob("*") if path.is_file() and "made" not in path.name
        } == before

    def refused(self, run, *words, text):
        code, _, err = run("fuse", *words)
        assert code == 2
        assert text in err
        assert "Traceback" not in err

    def test_missing_file(self, pairs, run):
        self.refused(run, pairs / "ir/9.png", pairs / "vi/1.bmp", "-o", pairs / "o.png", text="no such file")

    def test_no_image(self, pairs, run):
        (pairs / "made.png").write_text("hello")
        self.refused(run, pairs / "made.png", pairs / "vi/1.bmp", "-o", pairs / "o.png", text="not an image")

    def test_output_exists(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "ir/2.png", text="--overwrite")

    def test_output_is_a_source(self, pairs, run):
        self.refused(
            run,
            pairs / "ir/1.png",
            pairs / "vi/1.bmp",
            "-o",
            pairs / "ir/1.png",
            "--overwrite",
            text="named twice",
        )

    def test_output_folder_is_a_source(self, pairs, run):
        self.refused(run, pairs / "ir", pairs / "vi", "-o", pairs / "ir", "--overwrite", text="named twice")

    def test_montage_exists(self, pairs, run):
        words = ("-o", pairs / "o.png", "--montage", pairs / "ir/2.png")
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", *words, text="--overwrite")

    def test_montage_is_the_output(self, pairs, run):
        words = ("-o", pairs / "o.png", "--montage", pairs / "o.png")
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", *words, text="named twice")

    def test_output_has_no_known_suffix(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "o.xyz", text=".png")

    def test_output_below_a_file(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "ir/1.png/o.png", text="not a folder")

    def test_output_folder_is_a_file(self, pairs, run):
        self.refused(run, pairs / "ir", pairs / "vi", "-o", pairs / "ir/1.png", text="Cannot create")

    def test_file_and_folder(self, pairs, run):
        self.refused(run, pairs / "ir", pairs / "vi/1.bmp", "-o", pairs / "o.png", text="two files or two folders")

    def test_folders_share_no_name(self, pairs, run):
        for path in (pairs / "vi").iterdir():
            path.rename(path.with_stem("made" + path.stem))
        code, _, err = run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "o")
        for path in (pairs / "vi").iterdir():
            path.rename(path.with_stem(path.stem.removeprefix("made")))
        assert code == 2
        assert "share no file name" in err

    def test_16_bit_into_jpeg(self, pairs, run):
        write_image(pairs / "made.png", np.zeros((24, 30), np.uint16))
        self.refused(run, pairs / "made.png", pairs / "vi/1.bmp", "-o", pairs / "o.jpg", text="16 bit")

    def test_results_share_a_folder(self, pairs, run):
        words = ("-o", pairs / "o", "--montage", pairs / "o")
        self.refused(run, pairs / "ir", pairs / "vi", *words, text="named twice")

    def test_a_montage_that_its_format_cannot_hold(self, pairs, run):
        for name in ("made_a.png", "made_b.png"):
            write_image(pairs / name, np.zeros((2, 6000), np.uint8))
        words = ("-o", pairs / "o.png", "--montage", pairs / "o.webp")
        self.refused(run, pairs / "made_a.png", pairs / "made_b.png", *words, text="16383")

    def test_unknown_weights_for_folders(self, pairs, run):
        self.refused(run, pairs / "ir", pairs / "vi", "-o", pairs / "o", "--weights", "best", text="infrared-visible")
        assert not (pairs / "o").exists()

    def test_a_name_that_is_too_long(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / ("o" * 300 + ".png"), text="too long")

    def test_unknown_weights(self, pairs, run):
        words = ("-o", pairs / "o.png", "--weights", "best")
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", *words, text="infrared-visible")

    def test_pickled_weights(self, pairs, run):
        torch.save({}, pairs / "made.pth")
        words = ("-o", pairs / "o.png", "--weights", pairs / "made.pth")
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", *words, text="pickle")

    def test_unknown_device(self, pairs, run):
        words = ("-o", pairs / "o.png", "--device", "cuda:77")
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", *words, text="available: ")

    def test_unknown_color(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "o.png", "--color", "red", text="color")

    def test_no_output_named(self, pairs, run):
        self.refused(run, pairs / "ir/1.png", pairs / "vi/1.bmp", text="output")


def test_interrupt_leaves_whole_files_alone(tmp_path, process):
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        for index in range(400):
            write_image(
                tmp_path / folder / f"{index}.png", np.random.default_rng(index).integers(0, 256, (200, 200), np.uint8)
            )
    running = process("fuse", tmp_path / "ir", tmp_path / "vi", "-o", tmp_path / "out")
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").is_dir() or len(names(tmp_path / "out")) < 3:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    written = [tmp_path / "out" / name for name in names(tmp_path / "out")]
    assert 3 <= len(written) < 400
    for path in written:
        assert path.suffix == ".png"
        assert read_image(path).shape == (200, 200)


def test_pairs_by_a_pattern_and_in_sub_folders(pairs, run):
    for folder in ("ir", "vi"):
        (pairs / folder / "day").mkdir()
        for path in list((pairs / folder).glob("*.*")):
            path.rename(pairs / folder / "day" / f"{path.stem}-{folder}x{path.suffix}")
    words = ("fuse", pairs / "ir", pairs / "vi", "-o")
    code, _, err = run(*words, pairs / "out")
    assert (code, "--recursive" in err) == (2, True)
    code, _, err = run(*words, pairs / "out", "--recursive")
    assert (code, "--pair-by" in err) == (2, True)
    code, out, _ = run(*words, pairs / "out", "--recursive", "--pair-by", r"day/\d+")
    assert code == 0
    assert "3 fused" in out
    assert names(pairs / "out/day") == ["1.png", "10.png", "2.png"]
    code, _, err = run(*words, pairs / "ir/out", "--recursive", "--pair-by", r"day/\d+")
    assert (code, "inside a source folder" in err) == (2, True)


def test_more_pixels_than_are_read(pairs, run, monkeypatch):
    monkeypatch.setenv("REFINEFUSE_MAX_PIXELS", "100000000")
    words = ("fuse", pairs / "ir/1.png", pairs / "vi/1.bmp", "-o", pairs / "out.png", "--max-pixels")
    code, _, err = run(*words, "700")
    assert code == 2
    assert "--max-pixels" in err
    assert run(*words, "720")[0] == 0


@pytest.mark.parametrize("words", [("-o", "-"), ("-o", "out.png", "--montage", "-"), ("-o", "a\0b.png")])
def test_no_file_name(pairs, run, words):
    assert run("fuse", pairs / "ir/1.png", pairs / "vi/1.bmp", *words)[0] == 2


def test_a_loop_of_links_is_refused(pairs, run):
    (pairs / "1.png").symlink_to(pairs / "2.png")
    (pairs / "2.png").symlink_to(pairs / "1.png")
    code, _, err = run("fuse", pairs / "1.png", pairs / "vi/1.bmp", "-o", pairs / "out.png")
    assert code == 2
    assert "1.png" in err


@pytest.mark.slow
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_streams(pairs, closed):
    command = f"{sys.executable} -m refinefuse fuse ir/1.png vi/1.bmp -o out.png {closed}>&-"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=pairs, check=False)
    assert done.returncode == 0
    assert read_image(pairs / "out.png").shape == (24, 30, 3)


@pytest.mark.slow
def test_without_docstrings(pairs):
    words = ["fuse", "ir/1.png", "vi/1.bmp", "-o", "out.png"]
    subprocess.run([sys.executable, "-OO", "-m", "refinefuse", *words], cwd=pairs, check=True)
    subprocess.run([sys.executable, "-OO", "-m", "refinefuse", "fuse", "--help"], cwd=pairs, check=True)
