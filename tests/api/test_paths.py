"""Paths that no system can look up: every public function that takes one refuses it, and writes nothing."""

import re

import numpy as np
import pytest

import refinefuse
from refinefuse.alignment.transform import load_transform
from refinefuse.errors import InputError, PairingError

IMPOSSIBLE = {
    "NUL character": "x\0y",
    "half of a surrogate pair": "x\ud800y",
    "long name": "n" * 300,
    "long path": "/".join(["d" * 20] * 300),
    "links in a circle": "circle/x",
}
RECIPE = "name: tiny\nmax_steps: 1\ndatasets: [{a: ir, b: vi, weight: 1}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("paths")
    (path / "circle").symlink_to("circle")
    (path / "recipe.yaml").write_text(RECIPE)
    image = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    for name in ("ir", "vi"):
        refinefuse.write_image(path / name / "1.png", image)
    return path


@pytest.fixture(scope="module")
def fuser():
    return refinefuse.Fuser("infrared-visible-nano")


def transform():
    return refinefuse.Transform("translation", (48, 64), (48, 64), np.eye(3))


DOORS = {
    "read_image": lambda path, _: refinefuse.read_image(path),
    "read_counts": lambda path, _: refinefuse.read_counts(path),
    "write_image": lambda path, _: refinefuse.write_image(path + ".png", np.zeros((8, 8), np.uint8)),
    "fuse": lambda path, _: refinefuse.fuse(path, "vi/1.png"),
    "fuse, weights": lambda path, _: refinefuse.fuse("ir/1.png", "vi/1.png", weights=path),
    "Fuser": lambda path, fuser: fuser("ir/1.png", path),
    "Fuser, weights": lambda path, _: refinefuse.Fuser(path),
    "Fuser, ONNX": lambda path, _: refinefuse.Fuser(path + ".onnx"),
    "fuse_folder": lambda path, fuser: refinefuse.fuse_folder(path, "vi", "out", fuser=fuser),
    "fuse_folder, output": lambda path, fuser: refinefuse.fuse_folder("ir", "vi", path, fuser=fuser),
    "fuse_video": lambda path, fuser: refinefuse.fuse_video("ir", path, "out.mp4", fuser=fuser),
    "fuse_video, output": lambda path, fuser: refinefuse.fuse_video("ir", "vi", path + ".mp4", fuser=fuser),
    "fuse_volume": lambda path, _: refinefuse.fuse_volume(path, "vi", "out.nii.gz"),
    "fuse_volume, output": lambda path, _: refinefuse.fuse_volume("ir", "vi", path + ".nii.gz"),
    "align_volume": lambda path, _: refinefuse.align_volume("ir", path, "out.nii.gz"),
    "inspect_pair": lambda path, _: refinefuse.inspect_pair("ir/1.png", path),
    "load_model": lambda path, _: refinefuse.load_model(path),
    "load_rig": lambda path, _: refinefuse.load_rig(path),
    "Rig.save": lambda path, _: refinefuse.Rig((48, 64), (48, 64), np.eye(3)).save(path),
    "load_transform": lambda path, _: load_transform(path),
    "Transform.save": lambda path, _: transform().save(path),
    "export_onnx": lambda path, fuser: refinefuse.export_onnx(fuser.model, path + ".onnx"),
    "export_onnx, weights": lambda path, _: refinefuse.export_onnx(path, "out.onnx"),
    "export_onnx, calibration": lambda path, fuser: refinefuse.export_onnx(
        fuser.model, "out.onnx", precision="int8", calibration_data=path
    ),
    "score": lambda path, _: refinefuse.score(path, "ir", "vi"),
    "score, sources": lambda path, _: refinefuse.score("ir", path, "vi"),
    "train": lambda path, _: refinefuse.train(path, "out", data_root="."),
    "train, output": lambda path, _: refinefuse.train("recipe.yaml", path, data_root="."),
    "train, data": lambda path, _: refinefuse.train("recipe.yaml", "out", data_root=path),
    "train, cache": lambda path, _: refinefuse.train("recipe.yaml", "out", data_root=".", cache=path),
    "save_pretrained": lambda path, fuser: fuser.model.save_pretrained(path),
}


@pytest.mark.parametrize("path", IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_each_kind_of_such_paths_is_refused(path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="is not a valid path"):
        refinefuse.read_image(path)


@pytest.mark.parametrize("path", [IMPOSSIBLE["NUL character"], IMPOSSIBLE["long path"]], ids=["NUL", "long"])
@pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))
def test_a_path_that_no_system_can_look_up_is_refused(door, path, folder, fuser, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises((InputError, PairingError), match="is not a valid path") as refused:
        door(path, fuser)
    shown = str(refused.value)
    assert len(shown) < 200
    assert re.fullmatch(r"[ -~\n]*", shown)
    assert sorted(entry.name for entry in folder.iterdir()) == ["circle", "ir", "recipe.yaml", "vi"]
