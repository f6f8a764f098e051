"""Every reader of the package, with sound files that are made on the spot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Reader:
    """One way into the package.

    Attributes:
        suffix: of its files.
        seeds: write a sound file each.
        read: reads a file as the package does for a user.
        stem: the name of its files, where that matters.
    """

    suffix: str
    seeds: tuple[Make, ...]
    read: Callable[[Path], object]
    stem: str = "one"


def _pixels(channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    shape = (40, 48) if channels == 1 else (40, 48, channels)
    smooth = np.add.outer(np.arange(40), np.arange(48))
    values = smooth[..., None] * np.arange(1, channels + 1) * (np.iinfo(dtype).max // 400)
    return values.reshape(shape).astype(dtype)


def _image(channels: int = 3, dtype: str = "uint8") -> Make:
    def make(path: Path) -> None:
        from refinefuse.image.files import write_image

        write_image(path, _pixels(channels, dtype))

    return make


def _tiff(**options: object) -> Make:
    def make(path: Path) -> None:
        import tifffile

        tifffile.imwrite(path, np.repeat(np.repeat(_pixels(3), 2, 0), 2, 1), photometric="rgb", **options)

    return make


def _read_image(path: Path) -> object:
    from refinefuse.image.files import read_image

    return read_image(path)


def _read_tiff(path: Path) -> None:
    """As a whole and by strips; both must give the same values."""
    from refinefuse.errors import RefineFuseError
    from refinefuse.image.tiff_strips import TiffReader, reads_in_pieces

    whole: np.ndarray | None = None
    try:
        whole = _read_image(path)
    except RefineFuseError:
        if not reads_in_pieces(path):
            raise
    if reads_in_pieces(path):
        reader = TiffReader(path)
        try:
            strips = reader.read_scanlines(0, reader.shape[0])
        finally:
            reader.close()
        if whole is not None and not np.array_equal(whole, strips):
            raise ArithmeticError("the strips differ from the whole image")


def _dicom(name: str) -> Make:
    def make(path: Path) -> None:
        from pydicom.data import get_testdata_file

        path.write_bytes(Path(get_testdata_file(name, download=False)).read_bytes())

    return make


def _series(path: Path) -> None:
    from series import head, write_series

    (file,) = write_series(path.parent / "series", head((20, 16, 1)))
    file.replace(path)
    file.parent.rmdir()


def _read_dicom(path: Path) -> object:
    from refinefuse.image.medical.dicom import read_dicom

    return read_dicom(path).values.sum()


def _nifti(path: Path) -> None:
    import nibabel

    from series import head

    nibabel.Nifti1Image(head((12, 10, 6)), np.eye(4)).to_filename(path)


def _read_nifti(path: Path) -> object:
    from refinefuse.image.medical.nifti import read_nifti

    return read_nifti(path).values.sum()


def _video(codec: str, pixel_format: str, **options: object) -> Make:
    def make(path: Path) -> None:
        from inference.video.clips import scene, write_video

        write_video(path, [scene(index) for index in range(6)], codec=codec, pixel_format=pixel_format, **options)

    return make


@cache
def _video_fuser() -> Any:
    from refinefuse.inference.fuser import Fuser

    return Fuser(_network(), device="cpu")


def _fuse_video(path: Path) -> None:
    """As both sources, with everything else that is in the file."""
    from refinefuse.inference.video.fuse import fuse_video

    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mkv", ".mp4", ".avi"):
            fuse_video(path, path, Path(folder, f"o{suffix}"), fuser=_video_fuser())


def _network() -> object:
    from refinefuse.network.config import NetworkConfig
    from refinefuse.network.model import RefineFuse

    config = NetworkConfig(channels=(4, 4), patch_size=2, context_size=4, context_channels=4, num_heads=1)
    return RefineFuse.from_config(config)


def _weights(path: Path) -> None:
    _network().save_weights(path)


def _read_weights(path: Path) -> None:
    import torch

    from refinefuse.network.model import RefineFuse

    pair = torch.rand(2, 1, 1, 24, 24)
    RefineFuse.from_pretrained(path)(*pair)


def _onnx(path: Path) -> None:
    from refinefuse.export import to_onnx

    path.write_bytes(to_onnx(_network()).SerializeToString())


def _read_onnx(path: Path) -> None:
    import torch

    from refinefuse.inference.backend import load_backend

    model, pair = load_backend(path, "onnxruntime"), torch.rand(2, 1, 1, 24, 24)
    model.predict(*pair, model.encode_context(*pair))


def _checkpoint(path: Path) -> None:
    import torch

    torch.save({"global_step": 3, "state_dict": {"a": torch.rand(4, 4)}, "loops": {"epoch": 1}}, path)


def _read_checkpoint(path: Path) -> object:
    from refinefuse.training.checkpoints import read_checkpoint

    return read_checkpoint(path)


def _text(text: str) -> Make:
    return lambda path: path.write_text(text) and None


RECIPE = "name: x\ndatasets:\n  - {a: ir, b: vi, weight: 1.0}\nmax_steps: 10\nloss_weights: {vif: 1.0}\n"
CONFIG = "title: T\nmethods:\n  - {spec: average}\ndatasets:\n  - {name: S, a: ir, b: vi}\nmetrics: [EN]\nscenes: 1\n"
CLASSES = {"0": "person", "1": "car"}
BOXES = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 5, 10, 12], "iscrowd": 0, "area": 120, "score": 0.9}]
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "one.png", "width": 48, "height": 40}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": BOXES,
    }
)
VOC = (
    "<annotation><size><width>48</width><height>40</height></size><object><name>person</name><difficult>0</difficult>"
    "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>14</xmax><ymax>17</ymax></bndbox></object></annotation>"
)


def _read_recipe(path: Path) -> object:
    from refinefuse.training.recipe import load_recipe

    return load_recipe(path)


def _read_config(path: Path) -> object:
    from refinefuse.benchmark.config import load_benchmark_config

    return load_benchmark_config(path)


def _transform(path: Path) -> None:
    from refinefuse.alignment.transform import Transform

    Transform("similarity", (40, 48), (40, 48), np.array([[1, 0.1, 2], [-0.1, 1, 3], [0, 0, 1.0]])).save(path)


def _read_transform(path: Path) -> object:
    from refinefuse.alignment.transform import load_transform

    return load_transform(path).warp(_pixels(1))


def _labels(label_format: str, *, is_folder: bool) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from refinefuse.detection.labels import Labels, Size

        classes = {} if label_format in ("coco", "voc") else CLASSES
        labels = Labels(label_format, path.parent if is_folder else path, classes or {"person": "person", "car": "car"})
        return labels.read({"one": Size(40, 48)})

    return read


def _read_predictions(path: Path) -> object:
    from refinefuse.detection.predictions import read_predictions

    return read_predictions(path, ["one"])


def _read_list(path: Path) -> object:
    from refinefuse.data.split import read_list

    return read_list(path)


_TEXT = {"sound": True, "subtitles": [("mov_text", {"language": "eng"})], "rotation": 90}

READERS: dict[str, Reader] = {
    "png": Reader(".png", (_image(1), _image(3), _image(4), _image(3, "uint16")), _read_image),
    "jpeg": Reader(".jpg", (_image(1), _image(3)), _read_image),
    "webp": Reader(".webp", (_image(3), _image(4)), _read_image),
    "bmp": Reader(".bmp", (_image(1), _image(3)), _read_image),
    "tiff": Reader(
        ".tif",
        (
            _image(1, "uint16"),
            _tiff(rowsperstrip=16),
            _tiff(tile=(32, 32)),
            _tiff(bigtiff=True),
            _tiff(compression="zlib", tile=(32, 32)),
        ),
        _read_tiff,
    ),
    "dicom": Reader(".dcm", (_series, _dicom("CT_small.dcm")), _read_dicom),
    "dicom-frames": Reader(
        ".dcm",
        tuple(map(_dicom, ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"))),
        _read_dicom,
    ),
    "nifti": Reader(".nii", (_nifti,), _read_nifti),
    "nifti-gz": Reader(".nii.gz", (_nifti,), _read_nifti),
    "mp4": Reader(".mp4", (_video("libx264", "yuv420p"), _video("libx264", "yuv420p", **_TEXT)), _fuse_video),
    "mkv": Reader(".mkv", (_video("ffv1", "gray"), _video("libx264", "yuv420p", sound=True)), _fuse_video),
    "avi": Reader(".avi", (_video("ffv1", "gray"), _video("mjpeg", "yuvj420p")), _fuse_video),
    "safetensors": Reader(".safetensors", (_weights,), _read_weights),
    "onnx": Reader(".onnx", (_onnx,), _read_onnx),
    "checkpoint": Reader(".ckpt", (_checkpoint,), _read_checkpoint),
    "recipe": Reader(".yaml", (_text(RECIPE),), _read_recipe),
    "benchmark": Reader(".yaml", (_text(CONFIG),), _read_config),
    "transform": Reader(".json", (_transform,), _read_transform),
    "coco": Reader(".json", (_text(COCO),), _labels("coco", is_folder=False)),
    "voc": Reader(".xml", (_text(VOC),), _labels("voc", is_folder=True)),
    "yolo": Reader(".txt", (_text("0 0.2 0.3 0.1 0.2\n1 0.6 0.5 0.3 0.2\n"),), _labels("yolo", is_folder=True)),
    "predictions": Reader(
        ".json", (_text(json.dumps([{**BOXES[0], "image_id": "one"}])), _text(COCO)), _read_predictions
    ),
    "list": Reader(".txt", (_text("one\ntwo\n# a comment\nthree\n"),), _read_list),
}
