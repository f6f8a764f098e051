"""Several pairs are decoded, checked and encoded at a time; nothing else changes."""

import threading

import numpy as np
import pytest
import torch

from refinefuse.errors import InputError
from refinefuse.image.files import read_image, write_image, write_images
from refinefuse.inference import folders
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.folders import fuse_files, fuse_folder
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.threads import Workers


def test_results_come_in_order_and_few_items_are_under_way():
    taken, most = [], 0

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    with Workers(3) as workers:
        gate = threading.Barrier(3)

        def slow(number):
            if number < 3:
                gate.wait(10)  # three at a time, or this never ends
            return number * 2

        for done, result in enumerate(workers.map(slow, items())):
            assert result == 2 * done
            most = max(most, len(taken) - done)
    assert most <= 5


def test_an_error_arrives_in_order():
    with Workers(2) as workers:
        results = workers.map(lambda number: 1 // (number - 3), range(9))
        assert [next(results) for _ in range(3)] == [-1, -1, -1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_each_worker_computes_alone_and_torch_keeps_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Workers(2) as workers:
            assert set(workers.map(lambda _: torch.get_num_threads(), range(8))) == {1}
            assert torch.get_num_threads() == 3
        others = []
        thread = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert others == [3]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_a_folder_has_the_bytes_of_its_pairs_one_by_one(tmp_path, monkeypatch, backend):
    """Whole images and strips, gray and color, and one that cannot be read."""
    pytest.importorskip(backend)
    pytest.importorskip("onnx")
    noise = np.random.default_rng(0)
    for number in range(9):
        side = (80, 64) if number != 4 else (500, 400)
        write_image(tmp_path / "ir" / f"{number}.png", noise.integers(0, 256, side, np.uint8))
        write_image(tmp_path / "vi" / f"{number}.png", noise.integers(0, 256, (*side, 3), np.uint8))
    (tmp_path / "ir" / "6.png").write_bytes(b"no image")
    monkeypatch.setattr(folders.Workers, "affordable", staticmethod(lambda: 3))
    fuser = Fuser("infrared-visible-nano", tile=300, backend=backend)
    computed, compute = [], fuser.model.predict_padded

    def watched(*given):
        computed.append(threading.current_thread().name)
        return compute(*given)

    monkeypatch.setattr(fuser.model, "predict_padded", watched)
    result = fuse_folder(tmp_path / "ir", tmp_path / "vi", tmp_path / "out", fuser=fuser)
    by_workers = [name for name in computed if name.startswith("refinefuse")]
    assert len(by_workers) == (0 if backend == "torch" else 7)
    assert result.fused == [str(number) for number in range(9) if number != 6]
    assert list(result.failed) == ["6"]
    for name in result.fused:
        sources = [tmp_path / side / f"{name}.png" for side in ("ir", "vi")]
        alone = OutputPaths(tmp_path / "alone" / f"{name}.png")
        fuse_files(lambda: fuser, sources, alone, ThermalOptions(), AlignmentOptions())
        assert alone.output.read_bytes() == (tmp_path / "out" / f"{name}.png").read_bytes()


@pytest.mark.parametrize(("output_format", "suffix"), [("tiff", ".tif"), ("webp", ".webp"), ("jpeg", ".jpg")])
def test_a_folder_is_written_in_the_format_that_is_asked_for(tmp_path, output_format, suffix):
    noise = np.random.default_rng(0)
    write_image(tmp_path / "ir" / "x.png", noise.integers(0, 256, (40, 32), np.uint8))
    write_image(tmp_path / "vi" / "x.png", noise.integers(0, 256, (40, 32, 3), np.uint8))
    fuser = Fuser("infrared-visible-nano")
    folder, plain = tmp_path / "out", tmp_path / "plain"
    fuse_folder(tmp_path / "ir", tmp_path / "vi", plain, fuser=fuser)
    result = fuse_folder(tmp_path / "ir", tmp_path / "vi", folder, fuser=fuser, output_format=output_format)
    assert result.fused == ["x"]
    difference = np.abs(read_image(folder / f"x{suffix}").astype(int) - read_image(plain / "x.png"))
    assert difference.max() <= (40 if output_format == "jpeg" else 0)
    again = fuse_folder(tmp_path / "ir", tmp_path / "vi", folder, fuser=fuser, output_format=output_format)
    assert again.skipped == ["x"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_the_fast_png_holds_every_kind_of_pixel(tmp_path, channels, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (600, 33, *channels), dtype, endpoint=True)
    write_image(tmp_path / "x.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), pixels)


def test_every_png_level_holds_the_same_pixels(tmp_path):
    pixels = np.cumsum(np.random.default_rng(0).integers(0, 3, (90, 80, 3)), 1).astype(np.uint8)
    sizes = []
    for level in range(10):
        write_images({tmp_path / f"{level}.png": pixels}, png_level=level)
        np.testing.assert_array_equal(read_image(tmp_path / f"{level}.png"), pixels)
        sizes.append((tmp_path / f"{level}.png").stat().st_size)
    assert sizes[0] > pixels.size > sizes[1]
    assert sizes[9] <= sizes[3]
    with pytest.raises(InputError, match="from 0 to 9"):
        write_images({tmp_path / "x.png": pixels}, png_level=10)
