"""`refinefuse benchmark`: what a run gives, what it keeps, and what it refuses."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small import CONFIG, NAMES

from refinefuse import settings
from refinefuse.benchmark import figures
from refinefuse.benchmark.config import load_benchmark_config
from refinefuse.cli.benchmark import run
from refinefuse.errors import ConfigError, InputError, PairingError, RefineFuseError, WeightsError
from refinefuse.image.files import read_image, write_image
from refinefuse.metrics import evaluate
from refinefuse.scoring.folders import read_levels
from refinefuse.weights.store import shipped

RECIPES = sorted((settings.RECIPES / "benchmark").glob("*.yaml"))
DAY_AND_NIGHT = """  - {name: Day, a: ir, b: vi, pattern: "*D"}
  - {name: Night, a: ir, b: vi, pattern: "*N"}"""


def rows_of(output):
    return list(csv.DictReader((output / "scores.csv").read_text().splitlines()))


def children_of(pid):
    """The processes that a process started, where the system says so."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()]


def counts(text):
    """How many images were fused, scored and kept."""
    line = next(line for line in text.splitlines() if "reused from an earlier run" in line)
    return [int(word) for word in line.replace(",", "").split() if word.isdecimal()]


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_config_can_be_read(path):
    assert any(entry.spec.startswith("weights:") for entry in load_benchmark_config(path).methods)


def test_the_results_cover_every_shipped_config(tmp_path):
    spec = importlib.util.spec_from_file_location("results", Path(__file__).parents[2] / "benchmarks" / "results.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    others = {"detection", "segmentation"}  # by networks that a user has: docs/detection.md
    assert sorted({*results.SECTIONS, *others}) == [path.stem for path in RECIPES]
    table = tmp_path / "t.csv"
    rows = ["infrared-visible,7,x,1.1,1,yes", "A †,8,x,0.8,2,yes", "B,9,x,1,3,no"]
    table.write_text("\n".join(["method,EN ↑,EN ↑ interval,noise_gain ◦,rank of 9,ranked", *rows]))
    assert results.not_first(table, "infrared-visible") == ["EN (A)"]
    assert results.not_first(table, "B") == []


def test_a_run_gives_all_that_is_promised(data, config, tmp_path, capsys, drawn_figures):
    output = tmp_path / "out"
    assert run(config(), output=output, data_root=data, num_workers=1) == 0
    assert counts(capsys.readouterr().out) == [24, 36, 0]
    rows = rows_of(output)
    assert len(rows) == 6 * len(NAMES) * 5
    assert {row["convention"] for row in rows} == {"cddfuse255"}
    triplet = [data / "results/Set/Mine/3D.png", data / "ir/3D.png", data / "vi/3D.bmp"]
    expected = evaluate(*(read_levels(path, "luma") for path in triplet), metrics=["SF"], convention="cddfuse255")
    (found,) = (r for r in rows if (r["method"], r["image"], r["metric"]) == ("Mine", "3D", "SF"))
    assert float(found["value"]) == float(expected["SF"])
    for name in ("tables/Set.md", "tables/Set.tex", "tables/Set.csv", "figures/Set-ranks-3.png", "report.html"):
        assert (output / name).stat().st_size > 100
    assert list((output / "grids").glob("Set-*.png"))
    assert np.array_equal(read_image(output / "fused/copy-of-a/Set/1D.png"), read_image(data / "ir/1D.png"))


def test_the_report_needs_no_network_and_escapes_names(data, config, tmp_path, capsys):
    text = CONFIG.replace("name: pyramid", "name: 'a<b'")
    run(config(text), output=tmp_path / "out", data_root=data, num_workers=1)
    html = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("data:image/svg+xml", "")
    assert "a&lt;b" in html
    assert "<td>a<b" not in html
    scenes = json.loads(html.partition('id="scenes">')[2].partition("</script>")[0])
    assert list(scenes[0]["images"])[:3] == ["a", "b", "a<b"]


def test_nothing_is_done_twice_and_a_change_touches_its_own_rows_alone(data, config, tmp_path, capsys):
    output = tmp_path / "out"
    run(config(), output=output, data_root=data, num_workers=1)
    before = rows_of(output)
    run(config(), output=output, data_root=data, num_workers=1)
    assert counts(capsys.readouterr().out.partition("reused from")[2]) == [0, 0, 36]
    assert rows_of(output) == before
    write_image(data / "results/Set/Mine/3D.png", np.full((36, 48), 9, np.uint8), overwrite=True)
    run(config(), output=output, data_root=data, num_workers=1)
    out = capsys.readouterr().out
    assert counts(out) == [0, 1, 35]
    assert "Mine has files that do not look like their sources: '3D.png'" in out
    changed = {(x["method"], x["image"]) for x, y in zip(rows_of(output), before, strict=True) if x != y}
    assert changed == {("Mine", "3D")}
    (output / "fused/average/Set/1D.png").unlink()
    write_image(output / "fused/copy-of-b/Set/1D.png", np.zeros((36, 48), np.uint8), overwrite=True)
    run(config(CONFIG.replace("[EN, SD,", "[SD,")), output=output, data_root=data, num_workers=1)
    assert counts(capsys.readouterr().out) == [2, 2, 34]
    run(config(CONFIG.replace("[EN, SD,", "[AG, SD,")), output=output, data_root=data, num_workers=1)
    assert counts(capsys.readouterr().out) == [0, 36, 0]


def test_a_source_that_changes_is_fused_anew(data, config, tmp_path, capsys):
    run(config(), output=tmp_path / "out", data_root=data, num_workers=1)
    write_image(data / "ir/1D.png", np.full((36, 48), 70, np.uint8), overwrite=True)
    capsys.readouterr()
    run(config(), output=tmp_path / "out", data_root=data, num_workers=1)
    assert counts(capsys.readouterr().out) == [4, 6, 30]


@pytest.mark.slow
def test_killed_in_the_middle_it_resumes(data, config, tmp_path, capsys):
    (tmp_path / "slow.py").write_text(
        "import time\ndef fuse(a, b):\n    time.sleep(0.3)\n    return a\n", encoding="utf-8"
    )
    text = CONFIG.replace("spec: laplacian", f'spec: "python:{tmp_path}/slow.py:fuse"')
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "refinefuse",
        "benchmark",
        config(text),
        "-o",
        output,
        "--data-root",
        data,
        "--num-workers",
        "2",
    ]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = output / "results.jsonl"
    while running.poll() is None and not (store.exists() and store.read_text().count('"scores"') >= 9):
        time.sleep(0.05)
    num_workers = children_of(running.pid)
    running.send_signal(signal.SIGKILL)
    running.wait()
    with store.open("a") as file:
        file.write('{"image": "fused/pyr')  # a line that was torn
    scored = store.read_text().count('"scores"')
    assert 9 <= scored < 36
    run(config(text), output=output, data_root=data, num_workers=1)
    fused, done, kept = counts(capsys.readouterr().out)
    assert kept == scored
    assert (done, len(rows_of(output))) == (36 - scored, 6 * len(NAMES) * 5)
    assert fused <= 24 - kept + 12
    deadline = time.monotonic() + 30
    while alive(num_workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(num_workers)
    whole = tmp_path / "whole"
    run(config(text), output=whole, data_root=data, num_workers=1)
    assert rows_of(whole) == rows_of(output)


@pytest.mark.slow
def test_several_processes_give_the_same(data, config, tmp_path, capsys):
    for num_workers in (1, 2):
        run(config(), output=tmp_path / str(num_workers), data_root=data, num_workers=num_workers)
    assert (tmp_path / "1/scores.csv").read_bytes() == (tmp_path / "2/scores.csv").read_bytes()


def test_incomplete_methods_are_shown_and_are_not_ranked(data, config, tmp_path, capsys):
    (data / "results/Set/Mine/3D.png").unlink()
    write_image(data / "results/Set/Mine/other.png", np.zeros((36, 48), np.uint8))
    write_image(data / "results/Set/Theirs/1D.png", np.zeros((36, 40), np.uint8), overwrite=True)
    assert run(config(), output=tmp_path / "out", data_root=data, num_workers=1) == 1
    said = capsys.readouterr()
    assert "Mine lacks 1 of 6: '3D'" in said.out
    assert "Mine has files that do not belong to any pair: 'other.png'" in said.out
    assert "36 x 40" in said.err
    text = (tmp_path / "out/tables/Set.md").read_text()
    assert "Mine (5 of 6)" in text
    assert "Theirs (5 of 6)" in text
    assert all(line.rstrip(" |").endswith("–") for line in text.splitlines() if "of 6)" in line)


def test_a_method_that_fails_is_named(data, config, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def fuse(a, b):\n    return 1 / 0\n\ndef small(a, b):\n    return a[:-1]\n")
    lines = [f'  - {{spec: "python:{tmp_path}/mine.py:{name}"}}\n' for name in ("fuse", "small")]
    text = CONFIG.replace("datasets:", f"{''.join(lines)}datasets:")
    assert run(config(text), output=tmp_path / "out", data_root=data, num_workers=1) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "expected: 36 x 48" in err
    assert "fuse" not in (tmp_path / "out/tables/Set.md").read_text()


def test_published_scores_join_the_ranks_of_their_metrics(data, config, tmp_path, capsys):
    lines = ["method,image,EN,SD,SF", *(f"Paper,{name},9,99,99" for name in NAMES), "Part,1D,1,1,1", "Mine,1D,1,1,1"]
    (data / "Set.csv").write_text("\n".join(lines))
    text = CONFIG.replace("datasets:", '  - {spec: "scores:{data_root}/{dataset}.csv"}\ndatasets:')
    assert run(config(text), output=tmp_path / "out", data_root=data, num_workers=1) == 0
    table = (tmp_path / "out/tables/Set.md").read_text()
    paper = next(line for line in table.splitlines() if line.startswith("| Paper"))
    assert "**1.00** | – |" in paper
    assert "Part (1 of 6)" in table
    assert "| Mine" in table
    assert "Mine (" not in table  # its images count, not the file
    (data / "Set.csv").write_text("convention,method,image,EN\ntang,Paper,1D,1")
    with pytest.raises(InputError, match="a different convention"):
        run(config(text), output=tmp_path / "out", data_root=data, num_workers=1)


def test_a_method_that_is_a_mere_copy_may_be_alone(data, config, tmp_path, capsys):
    text = "title: t\nmethods: [{spec: average}]\ndatasets: [{name: Set, a: ir, b: vi}]\nmetrics: [EN]\n"
    assert run(config(text), output=tmp_path / "out", data_root=data, num_workers=1) == 0
    assert "No ranks and nothing bold" in (tmp_path / "out/tables/Set.md").read_text()
    assert list((tmp_path / "out/grids").glob("Set-*.pdf"))


def test_worse_light_is_scored_against_the_clean_sources(data, config, tmp_path, capsys, drawn_figures):
    text = CONFIG + "degradations:\n  - {kind: underexposure, severities: [0.1, 1.0]}\n"
    output = tmp_path / "out"
    assert run(config(text), output=output, data_root=data, num_workers=1) == 0
    rows = [row for row in rows_of(output) if row["degradation"] == "underexposure"]
    assert {row["method"] for row in rows} == {"pyramid", "average", "copy-of-a", "copy-of-b"}
    value = {(r["method"], r["metric"], r["severity"], r["image"]): float(r["value"]) for r in rows}
    assert value["copy-of-a", "infrared_edges", "1.0", "1D"] == 100
    assert value["copy-of-a", "ssim_to_clean", "1.0", "1D"] == pytest.approx(1)
    assert value["copy-of-b", "visible_edges", "1.0", "1D"] < value["copy-of-b", "visible_edges", "0.1", "1D"]
    assert read_image(output / "fused/copy-of-b/Set@underexposure-1/1D.png").mean() < 20
    assert (output / "figures/Set-degradations.png").is_file()
    assert "| underexposure: visible_edges ↑ |" in (output / "tables/Set-degradations.md").read_text()


def test_matrix_differences_subsets_and_cost(data, config, tmp_path, capsys):
    sets = """datasets:
  - {name: Day, a: ir, b: vi, pattern: "*D"}
  - {name: Night, a: ir, b: vi, pattern: "*N", stride: 2}
  - {name: Two, a: ir, b: vi, names: [1D, 2N]}
paired_differences: true
cost: {height: 32, width: 48, repeats: 1, published: "{config_dir}/cost.csv"}
grids:
  - {dataset: Two, image: 2N, regions: [[4, 4, 12, 12], [20, 10, 12, 8]]}
"""
    (tmp_path / "cost.csv").write_text("# source\nmethod,relative_time,parameters\nPaper,3,100\n")
    text = CONFIG.replace("datasets:\n  - {name: Set, a: ir, b: vi}\n", sets).replace(
        '"folder:{data_root}/results/{dataset}/*"', "wavelet"
    )
    text = text.replace("spec: laplacian, name: pyramid", 'spec: "weights:infrared-visible"')
    output = tmp_path / "out"
    assert run(config(text), output=output, data_root=data, num_workers=1) == 0
    assert "| method | Day | Night | Two |" in (output / "tables/matrix-EN.md").read_text()
    assert (output / "tables/Day-differences.md").is_file()
    assert [path.stem for path in (output / "grids").glob("Two-*.png")] == ["Two-2N"]
    assert {row["image"] for row in rows_of(output) if row["dataset"] == "Night"} == {"2N", "6N"}
    costs = {row["method"]: row for row in csv.DictReader((output / "cost.csv").read_text().splitlines())}
    assert float(costs["infrared-visible"]["parameters"]) == shipped()["infrared-visible"].num_parameters
    assert costs["Paper"]["published"] == "True"
    measured = (output / "measured-cost.csv").read_bytes()
    run(config(text), output=output, data_root=data, num_workers=1)
    assert (output / "measured-cost.csv").read_bytes() == measured


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("title: A small", "titel: A small", ConfigError, "titel"),
        ("laplacian", "laplace", ConfigError, "classical"),
        ("spec: average", 'spec: "weights:medicall"', WeightsError, "medicall"),
        ("spec: average", 'spec: "weights:runs/*.safetensors"', WeightsError, "No weights file matches"),
        ("spec: average", 'spec: "folder:nowhere/{dataset}"', InputError, "nowhere/Set"),
        ("spec: average", 'spec: "scores:nowhere.csv"', InputError, "no scores"),
        ("spec: average", 'spec: "python:nowhere:fuse"', ConfigError, "nowhere"),
        ("spec: average", 'spec: "python:math:fuse"', ConfigError, "no function"),
        ("spec: average", 'spec: "onnx:nowhere.onnx"', InputError, "nowhere.onnx"),
        ("spec: average", "spec: copy-of-a", ConfigError, "have the same name"),
        ("a: ir", "a: irr", PairingError, "irr"),
        ("name: Set", "name: a/b", ConfigError, "name of a folder"),
        ("name: Set", "name: ..", ConfigError, "name of a folder"),
        ("b: vi}", "b: vi, pattern: x*}", PairingError, "matches the pattern"),
        ("b: vi}", "b: vi, names: [7D]}", PairingError, "7D"),
        ("b: vi}", "b: vi, stride: 0}", ConfigError, "stride"),
        ("scenes: 1", "scenes: 1\ndegradations: [{kind: dim}]", ConfigError, "overexposure"),
        ("scenes: 1", "grids: [{dataset: Other, image: 1D}]", ConfigError, "grids"),
        ("scenes: 1", "grids: [{dataset: Set, image: 9D}]", InputError, "9D"),
        ("scenes: 1", "convention: mine", ConfigError, "cddfuse"),
        ("[EN,", "[ENN,", InputError, "ENN"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(data, config, tmp_path, capsys, old, new, error, message):
    assert old in CONFIG
    with pytest.raises(error, match=message):
        run(config(CONFIG.replace(old, new)), output=tmp_path / "out", data_root=data, num_workers=1)


def test_what_is_not_at_hand_may_be_optional(data, config, tmp_path, capsys):
    missing = '  - {spec: "folder:nowhere/{dataset}/*", optional: true}\n'
    assert run(config(CONFIG.replace("datasets:", f"{missing}datasets:")), output=tmp_path / "out", data_root=data) == 0
    head, _, rest = CONFIG.partition("methods:\n")
    text = f"{head}methods:\n{missing}datasets:{rest.partition('datasets:')[2]}"
    with pytest.raises(ConfigError, match="No method is left"):
        run(config(text), output=tmp_path / "out", data_root=data)


def test_only_what_changed_is_drawn_again(data, config, tmp_path, capsys, monkeypatch):
    drawn = []
    write = figures.save
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(path.name) or write(figure, path))
    sets = CONFIG.replace("  - {name: Set, a: ir, b: vi}", DAY_AND_NIGHT).replace("results/{dataset}", "results/Set")
    run(config(sets), output=tmp_path / "out", data_root=data, num_workers=1)
    assert any("Day" in name for name in drawn)
    drawn.clear()
    report, said = tmp_path / "out/report.html", capsys.readouterr().out
    written = report.stat().st_mtime_ns
    run(config(sets), output=tmp_path / "out", data_root=data, num_workers=1)
    assert (drawn, report.stat().st_mtime_ns) == ([], written)
    tables = [text.partition(" images fused")[0].rpartition("\n")[0] for text in (said, capsys.readouterr().out)]
    assert tables[0] == tables[1]
    lost = tmp_path / "out/tables/Day.md"
    lost.unlink()
    run(config(sets), output=tmp_path / "out", data_root=data, num_workers=1)
    assert lost.is_file()
    assert drawn == []
    write_image(data / "ir/2N.png", np.full((36, 48), 70, np.uint8), overwrite=True)
    run(config(sets), output=tmp_path / "out", data_root=data, num_workers=1)
    assert drawn
    assert all("Night" in name for name in drawn)


def test_a_name_of_broken_mathtext_is_drawn_as_it_is(data, config, tmp_path, capsys, drawn_figures):
    text = CONFIG.replace("name: pyramid", "name: 'a$_{b$'")
    assert run(config(text), output=tmp_path / "out", data_root=data, num_workers=1) == 0


def test_wrong_use(data, config, tmp_path):
    with pytest.raises(ConfigError, match="name of a shipped"):
        run(tmp_path / "none.yaml", output=tmp_path / "out", data_root=data)
    with pytest.raises(InputError, match="`data_root`"):
        run(config(), output=tmp_path / "out", data_root=tmp_path / "none")
    with pytest.raises(ConfigError, match="num_workers"):
        run(config(), output=tmp_path / "out", data_root=data, num_workers=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RefineFuseError, match="file"):
        run(config(), output=tmp_path / "file", data_root=data, num_workers=1)


def test_a_function_of_the_current_folder(data, config, tmp_path, capsys, monkeypatch):
    (tmp_path / "my_fusion.py").write_text("def fuse(a, b):\n    return b[..., 0] / 255 * 0.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", os.fspath(tmp_path))])
    text = CONFIG.replace("spec: average", 'spec: "python:my_fusion:fuse", name: Half')
    assert run(config(text), output=tmp_path / "out", data_root=data, num_workers=1) == 0
    half, whole = read_image(tmp_path / "out/fused/Half/Set/1D.png"), read_image(data / "vi/1D.bmp")[..., 0]
    assert np.abs(half - whole / 2).max() <= 0.5
