"""A small experiment: two sets of rendered pairs, methods of every kind."""

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra `benchmark`")
pytest.importorskip("jinja2", reason="needs the extra `benchmark`")
pytest.importorskip("scipy", reason="needs the extra `benchmark`")
pytest.importorskip("pywt", reason="needs the extra `benchmark`")

from small import CONFIG, NAMES

from refinefuse.benchmark import figures
from refinefuse.image.files import write_image

WRITE = figures.save


@pytest.fixture(autouse=True)
def _not_drawn(monkeypatch):
    """Figures are composed but not drawn, which takes most of the time, unless a test asks for `drawn_figures`."""

    def save(_, path):
        write_image(path.with_name(f"{path.name}.png"), np.zeros((1, 1), np.uint8), overwrite=True)
        path.with_name(f"{path.name}.pdf").write_bytes(b"")

    monkeypatch.setattr(figures, "save", save)


@pytest.fixture
def drawn_figures(monkeypatch, _not_drawn):
    """Figures are drawn."""
    monkeypatch.setattr(figures, "save", WRITE)


@pytest.fixture
def data(tmp_path):
    """Folders ir and vi (color), and results of two methods in results/SET/METHOD."""
    folder = tmp_path / "data"
    for name in ("ir", "vi", "results/Set/Mine", "results/Set/Theirs"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in NAMES:
        coarse = random.integers(0, 256, (2, 6, 8), np.uint8).repeat(6, 1).repeat(6, 2)
        a, b = (x // 2 + random.integers(0, 128, x.shape, np.uint8) for x in coarse)
        write_image(folder / "ir" / f"{name}.png", a)
        write_image(folder / "vi" / f"{name}.bmp", np.repeat(b[..., None], 3, -1))
        write_image(folder / "results/Set/Mine" / f"{name}.png", (a // 2 + b // 2).astype(np.uint8))
        write_image(folder / "results/Set/Theirs" / f"{name}.png", np.maximum(a, b))
    return folder


@pytest.fixture
def config(tmp_path):
    """A file with the config, and a function that writes another one."""

    def write(text=CONFIG):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write
