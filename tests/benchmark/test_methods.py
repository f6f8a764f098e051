"""Classical methods, ONNX files and plug-ins; the arithmetic of ranks and tests."""

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from refinefuse.benchmark import methods as methods_module
from refinefuse.benchmark.classical import CLASSICAL
from refinefuse.benchmark.config import MethodEntry
from refinefuse.benchmark.degradations import DegradationLevel, degrade
from refinefuse.benchmark.figures import critical_difference
from refinefuse.benchmark.grids import select_zoom_region
from refinefuse.benchmark.image_datasets import PathVariables
from refinefuse.benchmark.jobs import source_correlation
from refinefuse.benchmark.methods import Method, fuse_checked
from refinefuse.benchmark.onnx_file import open_onnx
from refinefuse.benchmark.sources import find_methods
from refinefuse.benchmark.summary import (
    Comparison,
    DatasetScores,
    compare,
    holm,
    mean_ranks,
    ranks,
    worse_than_a_copy,
)
from refinefuse.benchmark.tables import score_table
from refinefuse.errors import InputError
from refinefuse.image.color import to_tensor
from refinefuse.scoring.rendering import latex, markdown
from rendering import render


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (33, 50)])
def test_classical_methods_take_any_size_and_keep_what_agrees(name, size):
    flat = np.full(size, 0.4, np.float32)
    assert np.allclose(CLASSICAL[name].fuse(flat, flat), 0.4, atol=1e-5)
    a, b = np.random.default_rng(0).random((2, *size), np.float32)
    fused = CLASSICAL[name].fuse(a, b)
    assert fused.shape == size
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("name", [name for name, row in CLASSICAL.items() if not row.sanity])
def test_classical_methods_keep_details_of_both_sources(name):
    a, b = np.full((2, 64, 64), 0.5, np.float32)
    a[16:24, 16:24], b[40:48, 40:48] = 0.9, 0.1
    fused = CLASSICAL[name].fuse(a, b)
    assert fused[20, 20] - fused[20, 4] > 0.1
    assert fused[44, 60] - fused[44, 44] > 0.1


def test_an_onnx_file_is_a_method(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, [1, 1, "h", "w"]) for name in ("a", "b", "fused")]
    graph = helper.make_graph([helper.make_node("Max", ["a", "b"], ["fused"])], "maximum", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "maximum.onnx")
    (method,) = find_methods([MethodEntry(f"onnx:{tmp_path}/maximum.onnx")], PathVariables(tmp_path, tmp_path), [])
    a, b = np.random.default_rng(0).integers(0, 256, (2, 20, 31), np.uint8)
    assert method.name == "maximum"
    assert np.array_equal(fuse_checked(method, a, b), np.maximum(a, b))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="cannot be loaded"):
        Method("x", "onnx", f"{tmp_path}/broken.onnx", True).open()


def test_a_plugin_is_found_by_its_name(monkeypatch, tmp_path):
    point = EntryPoint("darkest", "numpy:minimum", methods_module.GROUP)
    monkeypatch.setattr(methods_module, "entry_points", lambda group: [point])
    (method,) = find_methods([MethodEntry("darkest")], PathVariables(tmp_path, tmp_path), [])
    a, b = np.random.default_rng(0).integers(0, 256, (2, 5, 5), np.uint8)
    assert np.array_equal(fuse_checked(method, a, b), np.minimum(a, b))


def test_severities_share_their_random_numbers():
    _, visible = render("night_street")
    weak, strong = (degrade(visible, DegradationLevel("overexposure", s), "x").astype(int) for s in (0.4, 1.0))
    assert (strong >= weak - 1).all()
    assert np.array_equal(
        degrade(visible, DegradationLevel("sensor_noise", 1.0), "x"),
        degrade(visible, DegradationLevel("sensor_noise", 1.0), "x"),
    )
    assert not np.array_equal(
        degrade(visible, DegradationLevel("sensor_noise", 1.0), "x"),
        degrade(visible, DegradationLevel("sensor_noise", 1.0), "y"),
    )


def test_source_correlation_detects_images_of_another_scene():
    a, b = (to_tensor(x)[:, :1] * 255 for x in render("night_street"))
    other = to_tensor(render("smoke")[0])[:, :1] * 255
    assert source_correlation((a + b) / 2, a, b) == pytest.approx(1)
    assert source_correlation(other, a, b) < 0.5
    assert source_correlation(a * 0, a, b) == 0


def score(values, ranked=None):
    """A score of made-up methods: metric -> method -> values."""
    names = list(next(iter(values.values())))
    found = [Method(name, "folder", "", (ranked or {}).get(name, True)) for name in names]
    arrays = {key: {name: np.array(x, float) for name, x in of.items()} for key, of in values.items()}
    images = tuple(map(str, range(len(next(iter(arrays["EN"].values()))))))
    return DatasetScores("Set", images, tuple(found), frozenset(names), arrays)


def test_ties_share_a_rank_and_unranked_methods_move_nobody():
    one = score(
        {
            "EN": {"A": [3, 3], "B": [2, 2], "C": [2, 2], "copy-of-a": [9, 9]},
            "noise_gain": {"A": [1.5, 1.5], "B": [0.9, 0.9], "C": [1.3, 1.3], "copy-of-a": [1, 1]},
            "missed_targets": {"A": [0, 0], "B": [1, 1], "C": [2, 2], "copy-of-a": [0, 0]},
        },
        {"copy-of-a": False},
    )
    metrics = ("EN", "noise_gain", "missed_targets")
    assert ranks(one, "EN", metrics) == {"A": 1, "B": 2, "C": 2, "copy-of-a": 1}
    assert ranks(one, "noise_gain", metrics) == {"A": 3, "B": 1, "C": 2, "copy-of-a": 1}
    assert mean_ranks(one, metrics) == pytest.approx({"A": 5 / 3, "B": 5 / 3, "C": 7 / 3, "copy-of-a": 1})
    assert worse_than_a_copy(one, metrics) == {"A", "B", "C"}
    text = markdown(score_table(one))
    assert "A †" in text
    assert "| **3.000** |" in text


def test_comparison_finds_what_differs():
    random = np.random.default_rng(0)
    base = random.random(30)
    one = score({"EN": {"A": base + 1, "B": base, "C": base + random.normal(0, 1e-3, 30)}})
    found = compare(one, ("EN",), "A")
    assert found.methods[0] == "A"
    assert found.friedman < 1e-6
    assert found.critical == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 30)), rel=1e-3)  # Demsar 2006, table 5
    assert found.against["B"] < 0.001
    assert found.groups == [(1, 2)]
    assert critical_difference(found, "x") is not None
    assert compare(score({"EN": {"A": [1, 2], "B": [2, 1], "C": [3, 3]}}), ("EN",), "A") is None


def test_groups_are_the_largest_runs():
    found = Comparison(("A", "B", "C", "D"), (1.0, 2.0, 2.5, 4.0), 9, 0.1, 1.5, {}, "")
    assert found.groups == [(0, 2), (2, 3)]


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_one_method_alone_is_neither_ranked_nor_bold():
    one = score({"EN": {"A": [3, 3], "copy-of-a": [9, 9]}}, {"copy-of-a": False})
    assert ranks(one, "EN", ("EN",)) == mean_ranks(one, ("EN",)) == {}
    text = markdown(score_table(one))
    assert "**" not in text
    assert "No ranks and nothing bold" in text
    assert r"\textbf" not in latex(score_table(one), "default")


def test_the_zoom_goes_where_edges_differ_and_not_where_the_sky_does():
    random = np.random.default_rng(0)
    images = []
    for sky, edge in ((40, 0), (200, 1), (120, 2)):
        image = np.full((80, 80, 3), 90.0)
        image[:30] = sky + random.normal(0, 3, (30, 80, 1))  # empty, of another brightness, with grain
        image[50:70, 50:70] += 15 * edge * (np.indices((20, 20)).sum(0) // 5 % 2)[..., None]
        images.append(image.clip(0, 255).astype(np.uint8))
    x, y, w, h = select_zoom_region(images)
    assert y >= 44
    assert 44 <= x <= 56
    assert (w, h) == (20, 20)


def test_a_method_named_by_dots_alone_stays_in_its_folder():
    assert Method("..", "folder", "", True).slug == "__"
    assert Method("a/../b", "folder", "", True).slug == "a_.._b"


def test_an_onnx_file_that_cannot_be_computed_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, path = onnx.helper, tmp_path / "fixed.onnx"
    a, b, fused = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 1, 1]) for name in ("a", "b", "f")
    )
    graph = helper.make_graph([helper.make_node("Max", ["a", "b"], ["f"])], "fixed", [a, b], [fused])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    luma = np.zeros((8, 8), np.float32)
    with pytest.raises(InputError, match=r"Cannot run the network in .*fixed.onnx'"):
        open_onnx(path)(luma, luma)
