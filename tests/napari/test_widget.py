"""The plug-in in napari itself, without a screen."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import refinefuse.napari
from refinefuse import list_models
from refinefuse.errors import InputError
from refinefuse.samples import read_sample

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of napari and Qt are not ours
    npe2 = pytest.importorskip("npe2", reason="the widget needs the extra napari")
    napari = pytest.importorskip("napari", reason="the widget needs the extra napari")
    pytest.importorskip("PyQt6", reason="the widget needs Qt")

MANIFEST = Path(refinefuse.napari.__file__).parent / "napari.yaml"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def application():
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() or QApplication([])


@pytest.fixture
def fuse(application):
    """What napari does with the widget: call the function, let its worker run, and make layers of what it returns."""
    from refinefuse.napari.widget import fuse_layers

    def call(*layers, **options):
        results = []
        worker = fuse_layers(*layers, **options)
        worker.returned.connect(results.append)
        worker.start()
        end = time.monotonic() + 60
        while not results and time.monotonic() < end:
            application.processEvents()
            time.sleep(0.01)
        return [napari.layers.Layer.create(*data) for data in results[0]]

    return call


def test_napari_can_use_what_the_manifest_declares(application):
    from magicgui import magicgui
    from npe2.manifest.utils import import_python_name

    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    (command,), (widget,) = manifest.contributions.commands, manifest.contributions.widgets
    assert widget.command == command.id
    made = magicgui(import_python_name(command.python_name))
    assert [one.name for one in made] == ["a", "b", "weights", "weight_map", "call_button"]
    assert list(made.weights.choices) == list_models()


def test_two_images(fuse):
    a, b = (image[100:148, 200:264] for image in read_sample("smoke"))
    infrared, visible = napari.layers.Image(a, name="ir"), napari.layers.Image(b, name="vi", rgb=True)
    fused, weight_map = fuse(infrared, visible, weight_map=True)
    assert fused.rgb
    assert (fused.name, weight_map.name) == ("ir + vi", "weight of ir")
    assert (fused.data.shape, weight_map.data.shape) == ((48, 64, 3), (48, 64))


def test_a_volume_keeps_its_position_and_its_color_map(fuse):
    values = np.random.default_rng(0).random((2, 32, 40)).astype(np.float32)
    grid = {"scale": (3, 1, 1), "translate": (5, 6, 7)}
    ct = napari.layers.Image(values * 2000 - 1000, name="ct", contrast_limits=(-160, 240), **grid)
    pet = napari.layers.Image(values[::-1], name="pet", colormap="inferno", contrast_limits=(0, 1), **grid)
    (fused,) = fuse(ct, pet)
    assert fused.data.shape == (2, 32, 40, 3)
    assert np.ptp(fused.data.astype(float), axis=-1).max() > 0.2  # it has colors
    np.testing.assert_array_equal(fused.scale, (3, 1, 1))
    np.testing.assert_array_equal(fused.translate, (5, 6, 7))


def test_layers_on_different_grids_are_refused(fuse):
    image = np.zeros((32, 40), np.uint8)
    with pytest.raises(InputError, match="different grids"):
        fuse(napari.layers.Image(image), napari.layers.Image(image, scale=(2, 2)))
