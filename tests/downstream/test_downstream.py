"""A downstream study: what it learns, what it keeps, and what it refuses."""

import numpy as np
import pytest
import torch
from trainable import write_trainable_segmenter, write_trainable_yolox

from refinefuse.cli.downstream import run
from refinefuse.downstream.config import Schedule, load_downstream_config
from refinefuse.downstream.evaluation import Evaluation, evaluate_segmentation, intersection_over_union
from refinefuse.downstream.segmenter import PretrainedSegmenter, SegmentationUNet, class_weights, confusion
from refinefuse.downstream.tables import task_tables
from refinefuse.downstream.training import batches, rate_at
from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.image.files import write_image

CONFIG = """
title: A small study
methods:
  - {spec: maximum}
  - {spec: "folder:{data_root}/theirs"}
classes: [ground, car]
detection_classes: [car]
train: {a: train/ir, b: train/vi, masks: train/masks, without: held-out.txt}
test: {a: test/ir, b: test/vi, masks: test/masks}
detector: "{data_root}/yolox.onnx"
size: [64, 64]
subsets: {day: "*D", night: "*N"}
num_seeds: 2
segmentation: {steps: 3, batch_size: 2}
detection: {steps: 2, batch_size: 2, learning_rate: 1.0e-4}
"""
FOLDS = CONFIG.replace("train: {a: train/ir, b: train/vi, masks: train/masks, without: held-out.txt}", "folds: 2")


@pytest.fixture
def data(tmp_path):
    """Blocks in both sources, five pairs to train on (one held out) and four to test on, all of 48 x 64 pixels."""
    for library in ("faster_coco_eval", "jinja2"):
        pytest.importorskip(library, reason="needs the extras `benchmark` and `detection`")
    folder = tmp_path / "data"
    random = np.random.default_rng(0)
    for part, names in (("train", ("1D", "2N", "3D", "4N", "5D")), ("test", ("6D", "7N", "8D", "9N"))):
        for name in names:
            top, left = random.integers(0, 24, 2)
            mask = np.zeros((48, 64), np.uint8)
            mask[top : top + 16, left : left + 20] = 1
            noise = random.integers(0, 60, (2, 48, 64), np.uint8)
            write_image(folder / part / "ir" / f"{name}.png", noise[0] + 150 * mask)
            write_image(folder / part / "vi" / f"{name}.png", np.repeat(noise[1][..., None], 3, -1))
            write_image(folder / part / "masks" / f"{name}.png", mask)
            if part == "test":
                write_image(folder / "theirs" / f"{name}.png", noise[0])
    (folder / "held-out.txt").write_text("5D\n")
    write_trainable_yolox(folder / "yolox.onnx")
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def start(data, text=CONFIG):
    config = data.parent / "config.yaml"
    config.write_text(text)
    return run(str(config), output=data.parent / "out", data_root=data)


def trainings(data):
    return {path.name: np.load(path) for path in sorted((data.parent / "out" / "trainings").iterdir())}


def test_a_study_leaves_tables_and_a_report_and_computes_nothing_twice(data, capsys):
    assert start(data) == 0
    out = capsys.readouterr().out
    assert "12 networks trained, 0 reused" in out  # 3 rows, 2 seeds, 2 tasks
    assert "lacks 4 of the 4 images of the train pairs" in out
    folder = data.parent / "out"
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == {
        "segmentation", "segmentation-classes", "detection", "detection-classes"
    }  # fmt: skip
    assert "trained on 4 images, tested on 4" in (folder / "report.html").read_text(encoding="utf-8")
    header, *rows = (folder / "tables" / "segmentation.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["infrared", "visible", "maximum"]
    assert "against maximum" in header
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.[un][8p]*")}
    start(data)
    assert "0 networks trained, 12 reused" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.[un][8p]*")} == before


def test_a_change_trains_what_it_touches(data, capsys):
    start(data)
    start(data, CONFIG.replace("steps: 3,", "steps: 4,"))
    assert "6 networks trained, 6 reused" in capsys.readouterr().out
    write_image(data / "test" / "ir" / "6D.png", np.zeros((48, 64), np.uint8), overwrite=True)
    start(data)
    assert "8 networks trained, 4 reused" in capsys.readouterr().out  # visible does not show it


def test_a_seed_gives_the_same_digits_again(data):
    start(data)
    before = trainings(data)
    for path in (data.parent / "out" / "trainings").iterdir():
        path.unlink()
    start(data)
    after = trainings(data)
    assert list(after) == list(before)
    for name, content in before.items():
        for key in content.files:
            np.testing.assert_array_equal(content[key], after[name][key])
    first, second = (after[name]["confusion"] for name in after if name.startswith("segmentation-maximum"))
    assert not np.array_equal(first, second)  # two seeds are two trainings


def test_a_run_that_was_killed_resumes_with_what_is_missing(data, capsys):
    start(data)
    folder = data.parent / "out"
    images = next((folder / "images").glob("train-maximum*"))
    whole = images.read_bytes()
    images.write_bytes(whole[: len(whole) // 2 + 7])
    next((folder / "trainings").glob("detection-visible-1*")).unlink()
    capsys.readouterr()
    assert start(data) == 0
    assert "1 networks trained, 11 reused" in capsys.readouterr().out
    assert images.read_bytes() == whole


def test_cross_validation_tests_every_image_by_networks_that_never_saw_it(data, capsys):
    assert start(data, FOLDS) == 0
    out = capsys.readouterr().out
    assert "32 networks trained" in out  # 4 rows, 2 seeds, 2 tasks, 2 folds
    assert "2-fold cross-validation on 4 images" in out
    counts = [content["confusion"] for name, content in trainings(data).items() if name.startswith("segmentation-")]
    assert all(each.sum((1, 2)).tolist() == [64 * 64] * 2 for each in counts)


def test_a_training_that_fails_costs_that_training_alone(data, capsys):
    assert start(data, CONFIG.replace("learning_rate: 1.0e-4", "learning_rate: 1.0e+37")) == 1
    said = capsys.readouterr()
    assert "failed: detection, infrared, seed 0: The output of the network is NaN or infinite" in said.err
    assert "U-Net trained from scratch" in said.out


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("classes: [ground, car]", "classes: [ground, car, bump]", ConfigError, "No training image shows bump"),
        ("train: {a: train/ir, b: train/vi, masks: train/masks", "train: {a: test/ir, b: test/vi, masks: test/masks",
         ConfigError, "used for both training and testing"),
        ("held-out.txt", "no.txt", ConfigError, "Cannot read the names"),
        ("num_seeds: 2", "folds: 2", ConfigError, "folds"),
        ("size: [64, 64]", "size: [60, 64]", ConfigError, "multiples of 32"),
        ("detection_classes: [car]", "detection_classes: [person]", ConfigError, "detection_classes"),
        ("steps: 3", "steps: 0", ConfigError, "steps"),
        ("held-out.txt", "held-out.txt, stride: 0", ConfigError, "stride"),
        ("held-out.txt", "held-out.txt, every: 2", ConfigError, r"`train.every` is not a key. It is now `stride`"),
        ("detection_classes: [car]", "detected: [car]", ConfigError,
         "`detected` is not a key. It is now `detection_classes`"),
        ("spec: maximum", "spec: maximum, name: visible", ConfigError, "another `name`"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_before_any_training(data, old, new, error, said):
    with pytest.raises(error, match=said):
        start(data, CONFIG.replace(old, new))
    assert not (data.parent / "out" / "trainings").exists()


def test_a_segmentation_network_from_a_file_is_fine_tuned(data, capsys):
    write_trainable_segmenter(data / "street.onnx")
    config = CONFIG.replace("num_seeds: 2", 'num_seeds: 1\nsegmenter: "{data_root}/street.onnx"')
    assert start(data, config) == 0
    out = capsys.readouterr().out
    assert "street fine-tuned, trained on 4 images" in out
    before = {name for name in trainings(data) if name.startswith("segmentation")}
    (data / "street.yaml").write_text("classes: [street, vehicle]\nchannels: rgb\n")
    start(data, config)
    assert {
        name for name in trainings(data) if name.startswith("segmentation")
    } > before  # fed differently: trained anew


def test_a_network_from_a_file_sees_images_as_its_settings_say_and_learns(tmp_path):
    network = PretrainedSegmenter(write_trainable_segmenter(tmp_path / "street.onnx"), 3)
    images = torch.rand(1, 3, 32, 64) * 255
    fed = (images[:, [2, 1, 0]] - torch.tensor([90.0, 80, 70])[:, None, None]) / 255
    expected = network.classify(network.network(fed))
    torch.testing.assert_close(network(images), expected)
    network(images).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


@pytest.mark.parametrize(
    ("extra", "settings", "error", "said"),
    [
        (("Erf",), "classes: [street, vehicle]", InputError, "Erf"),
        ((), "classes: []", ConfigError, "at least one class"),
        ((), "classes: [street]", ConfigError, r"(?s)expected: \(1, 1, h, w\).*got: \(1, 2, 64, 96\)"),
        ((), None, ConfigError, "settings of the segmentation network"),
    ],
)
def test_a_segmentation_network_that_cannot_be_trained_is_refused(data, extra, settings, error, said):
    path = write_trainable_segmenter(data / "street.onnx", extra).with_suffix(".yaml")
    path.write_text(settings) if settings else path.unlink()
    with pytest.raises(error, match=said):
        start(data, CONFIG.replace("num_seeds: 2", 'segmenter: "{data_root}/street.onnx"'))
    assert not (data.parent / "out" / "trainings").exists()


def test_a_device_that_is_not_there_is_refused(data):
    (data.parent / "config.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match="no device 'cuda:99'"):
        run(str(data.parent / "config.yaml"), output=data.parent / "out", data_root=data, device="cuda:99")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_too(data, capsys):
    (data.parent / "config.yaml").write_text(CONFIG)
    assert run(str(data.parent / "config.yaml"), output=data.parent / "out", data_root=data, device="cuda") == 0
    assert "12 networks trained" in capsys.readouterr().out


def test_a_pair_without_a_mask_is_refused(data):
    (data / "test" / "masks" / "7N.png").unlink()
    with pytest.raises(PairingError, match="(?s)have no mask.*7N"):
        start(data)


def test_masks_that_do_not_fit_are_refused(data):
    path = data / "train" / "masks" / "1D.png"
    write_image(path, np.full((48, 64), 7, np.uint8), overwrite=True)
    with pytest.raises(InputError, match=r"(?s)1D.png.*class numbers.*0 to 1 \(ground, car\).*got: 7"):
        start(data)
    write_image(path, np.zeros((24, 32), np.uint8), overwrite=True)
    with pytest.raises(InputError, match="(?s)does not fit its image.*48 x 64.*24 x 32"):
        start(data)


def test_a_part_of_the_pairs_is_enough_for_a_trial(data, capsys):
    assert start(data, CONFIG.replace("held-out.txt", "held-out.txt, stride: 2")) == 0
    assert "trained on 2 images, tested on 4" in capsys.readouterr().out


def test_more_folds_than_pairs_are_refused(data):
    with pytest.raises(ConfigError, match="fewer pairs than folds"):
        start(data, FOLDS.replace("folds: 2", "folds: 9"))


def test_pixels_of_255_do_not_count(data):
    mask = np.full((48, 64), 255, np.uint8)
    mask[:8] = 1
    write_image(data / "test" / "masks" / "6D.png", mask, overwrite=True)
    start(data)
    table = trainings(data)
    name = next(name for name in table if name.startswith("segmentation"))
    assert table[name]["confusion"][0].sum() < 64 * 64 // 4


def test_the_shipped_configs_can_be_read():
    from refinefuse.settings import RECIPES

    for path in sorted((RECIPES / "downstream").glob("*.yaml")):
        assert load_downstream_config(path).num_seeds >= 3


def test_every_image_is_drawn_once_per_epoch():
    schedule = Schedule(steps=4, batch_size=3)
    drawn = [i for index, _ in batches(6, schedule, seed=0) for i in index.tolist()]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))
    again = [[x.tolist() for x in batch] for batch in batches(6, schedule, 0)]
    assert again == [[x.tolist() for x in batch] for batch in batches(6, schedule, 0)]


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=100, learning_rate=1.0)
    rates = [rate_at(step, schedule) for step in range(100)]
    assert max(rates) == pytest.approx(1)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.001


def test_intersection_over_union_of_known_masks():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], np.uint8)
    found = np.array([[0, 1, 1, 1], [0, 0, 0, 1]], np.uint8)
    counts = confusion(truth, found, 3)
    assert counts.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    np.testing.assert_allclose(intersection_over_union(counts.astype(float)), [3 / 5, 2 / 4, np.nan])


def test_intervals_hold_images_and_seeds():
    perfect = np.array([[30, 0], [0, 10]])
    half = np.array([[20, 10], [5, 5]])
    same = np.stack([np.stack([perfect] * 6)] * 2)
    sure = evaluate_segmentation(same, ["ground", "car"], {"all": range(6)})
    assert sure.values["all: mIoU"] == pytest.approx([1, 1])
    assert sure.samples["all: mIoU"].std() == 0
    seeds = evaluate_segmentation(np.stack([same[0], [half] * 6]), ["ground", "car"], {"all": range(6)})
    assert seeds.samples["all: mIoU"].std() > 0.05
    images = evaluate_segmentation(np.stack([[perfect, half] * 3] * 2), ["ground", "car"], {"all": range(6)})
    assert images.samples["all: mIoU"].std() > 0.05


def test_rows_are_compared_draw_by_draw():
    draws = np.linspace(0.4, 0.6, 11)
    rows = {
        name: Evaluation({"all: mIoU": np.array([mean]), "car": np.array([mean])}, {"all: mIoU": draws + mean})
        for name, mean in (("visible", 0.3), ("ours", 0.5), ("theirs", 0.6))
    }
    first, by_class = task_tables("segmentation", "A study", rows, "ours")
    assert [name for name, _ in first.rows] == ["visible", "theirs", "ours"]
    assert first.rows[1][1][-1].text == "+0.100 (+0.100 to +0.100)"
    assert first.rows[2][1][-1].text == "–"
    assert by_class.header == ("", "car ↑")


def test_rare_classes_weigh_more_and_absent_ones_nothing():
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, 0, 0] = 1
    ground, rare, absent = class_weights(masks, 3)
    assert rare > 5 * ground > 0
    assert absent == 0


def test_the_network_costs_less_than_a_gflop():
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = SegmentationUNet(9)(torch.zeros(1, 3, 256, 320))
    assert output.shape == (1, 9, 256, 320)
    assert counter.get_total_flops() < 1e9
