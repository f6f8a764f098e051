"""The deployment examples, as their readers run them, return the image that the package returns."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import refinefuse
from refinefuse.export import GraphForm, to_onnx
from refinefuse.samples import read_sample

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
EXAMPLES = Path(__file__).parents[2] / "examples" / "deploy"
SIZE = (96, 130)
WEIGHTS = "infrared-visible-small"


def export(path, form):
    path.write_bytes(to_onnx(refinefuse.load_model(WEIGHTS), form=form).SerializeToString())


@pytest.fixture(scope="module")
def scene():
    infrared, visible = read_sample("smoke")
    return tuple(np.ascontiguousarray(image[20 : 20 + SIZE[0], 30 : 30 + SIZE[1]]) for image in (infrared, visible))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scene):
    """The pair as PNG and as PGM and PPM, and a file for any size and one for theirs."""
    root = tmp_path_factory.mktemp("deploy")
    for suffix, gray in (("png", "png"), ("ppm", "pgm")):
        cv2.imwrite(str(root / f"ir.{gray}"), scene[0])
        cv2.imwrite(str(root / f"vi.{suffix}"), scene[1][..., ::-1])
    export(root / "any.onnx", GraphForm(color=True))
    return root


@pytest.fixture(scope="module")
def expected(scene):
    return refinefuse.fuse(*scene, weights=WEIGHTS)


def difference(path, expected):
    """Largest and mean difference in levels."""
    apart = np.abs(cv2.imread(str(path))[..., ::-1].astype(int) - expected)
    return apart.max(), apart.mean()


@pytest.mark.parametrize(
    ("module", "largest", "mean"), [("onnxruntime", 1, 0.01), ("openvino", 255, 1.5), ("cv2", 1, 0.01)]
)
def test_in_python(folder, expected, module, largest, mean):
    pytest.importorskip(module, reason=f"{module} is not installed")
    network = folder / "any.onnx"
    if module == "cv2":
        pytest.importorskip("onnxslim", reason="the extra onnx is not installed")
        network = folder / "sized.onnx"
        export(network, GraphForm(color=True, size=SIZE))
    program = EXAMPLES / f"fuse_{'opencv' if module == 'cv2' else module}.py"
    output = folder / f"{module}.png"
    subprocess.run([sys.executable, program, network, folder / "ir.png", folder / "vi.png", output], check=True)
    found = difference(output, expected)
    assert found[0] <= largest
    assert found[1] <= mean


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_in_cpp(folder, expected, runtime):
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    if not (shutil.which("g++") and shutil.which("objdump")):
        pytest.skip("no C++ compiler")
    if runtime == "onnxruntime" and "ONNXRUNTIME_INCLUDE" not in os.environ:
        pytest.skip("ONNXRUNTIME_INCLUDE does not name the folder of onnxruntime's headers")
    program = folder / f"fuse_{runtime}"
    subprocess.run(
        ["/bin/sh", EXAMPLES / "build.sh", runtime, program], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    output = folder / f"{runtime}.ppm"
    subprocess.run([program, folder / "any.onnx", folder / "ir.pgm", folder / "vi.ppm", output], check=True)
    assert difference(output, expected)[0] <= 1
    failed = subprocess.run([program, folder / "any.onnx", folder / "ir.png", folder / "vi.ppm", output], check=False)
    assert failed.returncode == 2
