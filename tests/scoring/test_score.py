"""`refinefuse score` and `refinefuse metrics` on files: pairing, tables, failures."""

import csv
import json
import math
import os

import numpy as np
import pytest

from refinefuse.cli.metrics import run as metrics
from refinefuse.cli.score import run as score
from refinefuse.errors import ConfigError, InputError, PairingError
from refinefuse.image.files import write_image
from refinefuse.metrics import CONVENTIONS, METRICS
from refinefuse.scoring.folders import bootstrap, read_levels
from refinefuse.scoring.ranking import ranks_of
from refinefuse.scoring.rendering import Cell, Table, csv_text, latex

NAMES = ("1", "2", "10")


@pytest.fixture
def folders(tmp_path):
    """Folders `ir` and `vi` (color), and in `fused` two methods: a maximum and an average."""
    random = np.random.default_rng(0)
    for folder in ("ir", "vi", "fused/maximum", "fused/average"):
        (tmp_path / folder).mkdir(parents=True)
    for name in NAMES:
        a, b = random.integers(0, 256, (24, 30), np.uint8), random.integers(0, 256, (24, 30), np.uint8)
        write_image(tmp_path / "ir" / f"{name}.png", a)
        write_image(tmp_path / "vi" / f"{name}.bmp", np.repeat(b[..., None], 3, -1))
        write_image(tmp_path / "fused" / "maximum" / f"{name}.png", np.maximum(a, b))
        write_image(tmp_path / "fused" / "average" / f"{name}.png", ((a.astype(int) + b) // 2).astype(np.uint8))
    return tmp_path


def paths(folder, fused):
    return str(folder / fused), str(folder / "ir"), str(folder / "vi")


def test_several_methods_make_a_table(folders, capsys):
    assert score(*paths(folders, "fused"), metrics="EN,SD,MSE,diagnostics", convention="cddfuse255") == 0
    out = capsys.readouterr().out
    assert out.startswith("convention cddfuse255: ")
    average, maximum = (next(line for line in out.splitlines() if line.startswith(m)) for m in ("average", "maximum"))
    assert "*" in average.split()[3]
    assert "+" in maximum.split()[3]


def test_one_method_has_intervals(folders, capsys):
    assert score(*paths(folders, "fused/maximum"), metrics="EN,SSIM") == 0
    out = capsys.readouterr().out
    assert "3 images" in out
    assert " .. " in out


def test_three_files(folders, capsys):
    files = [str(folders / x) for x in ("fused/maximum/1.png", "ir/1.png", "vi/1.bmp")]
    assert score(*files, metrics="EN") == 0
    assert "EN" in capsys.readouterr().out


def test_files_hold_every_image_and_the_convention(folders, capsys):
    names = [str(folders / f"out.{kind}") for kind in ("csv", "json", "tex")]
    score(*paths(folders, "fused"), metrics="EN,SD", convention="Tang", csv=names[0], json=names[1], latex=names[2])
    rows = list(csv.DictReader((folders / "out.csv").read_text().splitlines()))
    assert [(r["method"], r["image"]) for r in rows] == [(m, n) for m in ("average", "maximum") for n in NAMES]
    document = json.loads((folders / "out.json").read_text())
    assert document["convention"] == "tang"
    mean = document["methods"]["average"]["means"]["SD"]
    assert mean["mean"] == pytest.approx(np.mean([float(r["SD"]) for r in rows if r["method"] == "average"]))
    assert mean["ci_low"] <= mean["mean"] <= mean["ci_high"]
    latex = (folders / "out.tex").read_text()
    assert "Metrics in the convention tang." in latex
    assert r"\textbf{" in latex
    assert r"\underline{" in latex


def test_jobs_change_nothing(folders, capsys):
    outputs = []
    for num_workers in (1, 3):
        assert score(*paths(folders, "fused"), num_workers=num_workers) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_an_unreadable_file_is_reported_and_the_others_are_scored(folders, capsys):
    (folders / "fused" / "maximum" / "2.png").write_bytes(b"no image")
    assert score(*paths(folders, "fused/maximum"), metrics="EN") == 1
    captured = capsys.readouterr()
    assert "2 images" in captured.out
    assert "2.png" in captured.err


def test_another_size_is_reported(folders, capsys):
    write_image(folders / "fused" / "maximum" / "2.png", np.zeros((24, 31), np.uint8), overwrite=True)
    assert score(*paths(folders, "fused/maximum"), metrics="EN") == 1
    assert "24 x 31" in capsys.readouterr().err


def test_unpaired_names(folders, capsys):
    write_image(folders / "fused" / "maximum" / "3.png", np.zeros((24, 30), np.uint8))
    (folders / "fused" / "maximum" / "1.png").unlink()
    assert score(*paths(folders, "fused"), metrics="EN") == 1
    captured = capsys.readouterr()
    assert "3.png" in captured.err
    assert "maximum has no image of 1 of the pairs" in captured.err
    assert "2 images that all methods have" in captured.out


def test_small_images_say_which_metric(folders, capsys):
    assert score(*paths(folders, "fused/maximum"), metrics="MS-SSIM,EN") == 0
    captured = capsys.readouterr()
    assert "MS-SSIM (161)" in captured.err
    assert "nan" in captured.out


def test_wrong_use(folders):
    with pytest.raises(InputError, match="Unknown metrics"):
        score(*paths(folders, "fused"), metrics="ENN")
    with pytest.raises(ConfigError, match="num_workers"):
        score(*paths(folders, "fused"), num_workers=0)
    with pytest.raises(PairingError):
        score(str(folders / "nowhere"), str(folders / "ir"), str(folders / "vi"))
    with pytest.raises(PairingError, match="is a folder"):
        score(str(folders / "fused"), str(folders / "ir" / "1.png"), str(folders / "vi" / "1.bmp"))


def test_what_cannot_be_written_is_said_before_the_work(folders):
    with pytest.raises(InputError, match="is not a folder"):
        score(*paths(folders, "fused"), csv=str(folders / "ir" / "1.png" / "x.csv"))
    with pytest.raises(InputError, match="is a folder"):
        score(*paths(folders, "fused"), json=str(folders))


def test_three_files_one_of_which_is_none(folders):
    os.mkfifo(folders / "pipe.png")
    for name, reason in (("pipe.png", "is not a file"), ("nothing.png", "does not exist")):
        with pytest.raises(PairingError, match=reason):
            score(str(folders / name), str(folders / "ir" / "1.png"), str(folders / "vi" / "1.bmp"))


def test_an_infinite_mean_has_an_interval(folders, capsys):
    assert score(*(str(folders / "ir") for _ in range(3)), metrics="PSNR") == 0
    assert "inf .. inf" in " ".join(capsys.readouterr().out.split())


def test_levels(tmp_path):
    color = np.array([[[10, 20, 30], [255, 255, 255]]], np.uint8)
    write_image(tmp_path / "c.png", color)
    write_image(tmp_path / "d.png", np.array([[0, 257, 65535]], np.uint16))
    assert read_levels(tmp_path / "c.png", "luma").flatten().tolist() == [18, 255]
    assert read_levels(tmp_path / "c.png", "rgb")[0, :, 0, 0].tolist() == [10, 20, 30]
    assert read_levels(tmp_path / "d.png", "luma").flatten().tolist() == [0, 1, 255]
    assert read_levels(tmp_path / "d.png", "rgb").shape == (1, 3, 1, 3)


def test_bootstrap():
    mean = bootstrap([1.0, 2.0, 3.0, float("nan")])
    assert mean.value == 2
    assert 1 <= mean.low < 2 < mean.high <= 3
    assert math.isnan(bootstrap([float("nan")]).value)


def test_list_of_metrics(capsys):
    assert metrics() == 0
    out = capsys.readouterr().out
    assert all(key in out for key in (*METRICS, *CONVENTIONS))


def test_compare(folders, capsys):
    files = ",".join(str(folders / x) for x in ("fused/maximum/1.png", "ir/1.png", "vi/1.bmp"))
    assert metrics(compare=files) == 0
    out = capsys.readouterr().out
    assert all(key in out for key in (*METRICS, *CONVENTIONS))
    with pytest.raises(InputError, match="FUSED,A,B"):
        metrics(compare="one,two")


def test_an_existing_file_is_replaced_only_if_asked(folders, capsys):
    source = folders / "ir" / "1.png"
    before = source.read_bytes()
    with pytest.raises(InputError, match="exists"):
        score(*paths(folders, "fused"), metrics="EN", csv=str(source))
    assert source.read_bytes() == before
    (folders / "old.csv").write_text("old")
    assert score(*paths(folders, "fused"), metrics="EN", csv=str(folders / "old.csv"), overwrite=True) == 0
    assert (folders / "old.csv").read_text().startswith("convention,")


def test_one_method_alone_is_never_the_best(folders, capsys):
    target = folders / "out.tex"
    score(*paths(folders, "fused/maximum"), metrics="EN,SD", latex=str(target))
    assert "*" not in capsys.readouterr().out
    assert not {"textbf", "underline"} & set(target.read_text().replace("{", "\\").split("\\"))


def test_the_mean_rank_and_the_deviations_are_shown(folders, capsys):
    score(*paths(folders, "fused"), metrics="EN,SD,SF")
    out = capsys.readouterr().out
    assert "mean rank" in out
    values = [float(row) for row in deviations(folders, "maximum", "SD")]
    assert f"SD {np.std(values):.3f}" in out


def deviations(folders, method, key):
    score(*paths(folders, f"fused/{method}"), metrics=key, csv=str(folders / "one.csv"))
    return [row[key] for row in csv.DictReader((folders / "one.csv").read_text().splitlines())]


def test_names_are_harmless_in_spreadsheets_and_in_latex():
    assert csv_text([["=1+1", "-0.5", "-x", "@a", 3]]) == "'=1+1,-0.5,'-x,'@a,3\n"
    table = Table("t", "100% _a_", ("m", "EN ↑"), (("a_b&$\\{~", (Cell("1.0", 1.0, "best"),)),))
    text = latex(table, "default")
    assert r"a\_b\&\$\textbackslash{}\{\textasciitilde{} & \textbf{1.0}" in text


def test_ranks_of_ties_are_equal_and_they_leave_out_what_is_unknown():
    assert ranks_of({"a": 1.0, "b": 1.0 + 1e-12, "c": 2.0, "d": math.nan}) == {"a": 1, "b": 1, "c": 3}
    assert ranks_of({"a": 1.0, "b": math.nan}) == {}
