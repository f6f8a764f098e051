"""Wrong words, help, completion and the global options."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from refinefuse.cli import COMMANDS
from refinefuse.cli.completion import SCRIPTS, words_after
from refinefuse.cli.session import session
from refinefuse.image.files import read_image, write_image
from refinefuse.inference.record import RECORD_NAME
from refinefuse.renamed import renamed

FUSE = ("fuse", "a.png", "b.png", "-o", "o.png")


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, (new, *_) in renamed().items() if old.startswith("-")])
def test_a_renamed_option_is_answered_with_the_new_one(run, old, new):
    code, _, err = run(*FUSE, old)
    assert code == 2
    assert f"`{old}` is now `{new}`" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("fues",), "Did you mean fuse?"),
        (("data", "lst"), "Did you mean data list?"),
        ((*FUSE, "--wieght-map", "w.png"), "Did you mean --weight-map?"),
        ((*FUSE, "--codec", "h264"), "--codec is an option of `refinefuse video`"),
        ((*FUSE, "--window=brain"), "--window is an option of `refinefuse volume`"),
        (("video", "a.mp4", "b.mp4", "-o", "o.mp4", "--align"), "--align is an option of `refinefuse fuse`"),
        ((*FUSE, "--color", "gry"), "expected: b, a, both, gray; got: 'gry'. Did you mean gray?"),
        ((*FUSE, "--tile", "big"), "expected: auto, off, a whole number; got: 'big'"),
        (("fuse", "a.mp4", "b.mp4", "-o", "o.mp4"), "Use `refinefuse video`"),
        (("fuse", "a.nii.gz", "b.nii.gz", "-o", "o.nii.gz"), "Use `refinefuse volume`"),
        (("video", "a.nii.gz", "b.nii.gz", "-o", "o.mp4"), "Use `refinefuse volume`"),
        (("volume", "a.mp4", "b.mp4", "-o", "o.nii"), "Use `refinefuse video`"),
        (("volume", "a.png", "b.png", "-o", "o.nii"), "Use `refinefuse fuse`"),
        (("fuse", "a.png", "b.png", "-o", "o.gif"), "expected: .png, "),
        (("fuse", "a.png", "b.png", "-o", "o.nrrd"), ".nrrd"),
        (("fuse", "a.png", "b.png"), "-o"),
    ],
)
def test_wrong_words_are_answered_with_what_to_do(run, words, text):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["fuse", "video", "volume", "align"])
def test_help_fits_on_a_screen_and_ends_with_examples(run, command):
    code, out, _ = run(command, "-h")
    assert code == 0
    assert out.startswith(f"usage: refinefuse {command} A B")
    assert len(out.splitlines()) <= 80
    assert out.rstrip().splitlines()[-1].startswith(f"  refinefuse {command} ")


def test_help_is_quick():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "refinefuse", "fuse", "-h"], check=True, stdout=subprocess.DEVNULL)
    assert time.perf_counter() - start < 3  # measured: 0.11 s on a quiet machine


def test_completion_offers_commands_options_and_values(run):
    assert set(words_after([])) == {command.split()[0] for command in COMMANDS}
    assert words_after(["data"]) == ["list", "verify", "split"]
    assert "--weight-map" in words_after(["fuse", "a.png"])
    assert words_after(["fuse", "--color"]) == ["b", "a", "both", "gray"]
    assert words_after(["fuse", "--output"]) == []
    for shell, script in SCRIPTS.items():
        assert run("completion", shell) == (0, f"{script}\n", "")


def test_completion_works_in_bash():
    bash = Path("/bin/bash")
    if not bash.exists():
        pytest.skip("bash is not installed")
    program = (
        f'refinefuse() {{ {sys.executable} -m refinefuse "$@"; }}; source <(refinefuse completion bash);'
        'COMP_WORDS=(refinefuse fuse --pol); COMP_CWORD=2; _refinefuse refinefuse --pol fuse; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "--polarity"


def test_threads_and_quiet(pairs, run):
    before = torch.get_num_threads()
    try:
        words = ("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out")
        code, out, err = run(*words, "--threads", 2, "--quiet")
        assert (code, out, err) == (0, "", "")
        assert torch.get_num_threads() == 2
        assert session.quiet
        assert "3 skipped" in run(*words)[1]
    finally:
        torch.set_num_threads(before)
    assert "expected: a whole number" in run(*words, "--threads", "many")[2]


def test_threads_of_openmp_wait_without_spinning():
    program = "import os; from refinefuse.cli import main; main(['--version']); print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for chosen, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment | chosen, capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[-1] == expected


def test_results_make_their_folders_and_a_folder_stands_for_a_file(pairs, run):
    sources = pairs / "ir/1.png", pairs / "vi/1.bmp"
    code, out, _ = run("fuse", *sources, "-o", f"{pairs}/new/deep/", "--weight-map", pairs / "maps/m.png")
    assert code == 0
    assert out.splitlines()[-1].startswith("Weights: infrared-visible (infrared-visible-")
    assert read_image(pairs / "new/deep/1.png").shape == (24, 30, 3)
    assert read_image(pairs / "maps/m.png").shape == (24, 30)
    assert run("fuse", *sources, "-o", pairs / "new/deep")[0] == 2  # the file exists
    assert run("fuse", *sources, "-o", pairs / "new/deep", "--overwrite")[0] == 0


class TestRecord:
    """Results are skipped only if they were made with the same options and weights."""

    @pytest.fixture
    def fuse(self, pairs, run):
        return lambda *words: run("fuse", pairs / "ir", pairs / "vi", "-o", pairs / "out", *words)

    def test_other_options_are_refused_and_nothing_changes(self, pairs, fuse):
        assert "3 fused" in fuse()[1]
        before = {path: path.read_bytes() for path in (pairs / "out").iterdir()}
        for words in (
            ("--color", "gray"), ("--weights", "infrared-visible-small"), ("--range", "0,200"),
            ("--polarity", "black-hot"), ("--precision", "bfloat16"), ("--strict",),
        ):  # fmt: skip
            code, _, err = fuse(*words)
            if words == ("--strict",):  # it decides about no value
                assert code == 0
                continue
            assert (code, "other options or weights" in err, "--overwrite" in err) == (2, True, True), words
        assert {path: path.read_bytes() for path in (pairs / "out").iterdir()} == before

    def test_overwrite_makes_them_anew_and_the_next_run_skips_them(self, fuse):
        fuse()
        assert "3 fused" in fuse("--color", "gray", "--overwrite")[1]
        assert "3 skipped" in fuse("--color", "gray")[1]
        assert fuse()[0] == 2

    def test_results_of_unknown_origin_are_not_taken_for_ours(self, pairs, fuse):
        write_image(pairs / "out/2.png", np.zeros((3, 3), np.uint8))
        code, _, err = fuse()
        assert (code, "2.png" in err) == (2, True)
        assert read_image(pairs / "out/2.png").shape == (3, 3)

    def test_an_interrupted_change_of_options_leaves_no_old_result_behind(self, pairs, fuse):
        fuse()
        old = pairs / "out/10.png"
        data, stat = old.read_bytes(), old.stat()
        fuse("--color", "gray", "--overwrite")
        old.write_bytes(data)
        os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        code, _, err = fuse("--color", "gray")
        assert (code, "10.png" in err) == (2, True)

    def test_the_range_of_the_first_run_holds_for_later_images(self, pairs, fuse):
        first = fuse("--range", "percentile:5,95")[1]
        write_image(pairs / "ir/3.png", np.full((24, 30), 200, np.uint8))
        write_image(pairs / "vi/3.bmp", np.zeros((24, 30, 3), np.uint8))
        later = fuse("--range", "percentile:5,95")[1]
        assert "1 fused, 3 skipped" in later
        assert next(line for line in later.splitlines() if line.startswith("range: ")) in first

    def test_a_broken_record_counts_for_nothing(self, pairs, fuse):
        fuse()
        (pairs / "out" / RECORD_NAME).write_text("[]")
        assert fuse()[0] == 2


def test_termination_leaves_whole_files_alone(tmp_path, process):
    for index in range(300):
        pixels = np.random.default_rng(index).integers(0, 256, (200, 200), np.uint8)
        for folder in ("ir", "vi"):
            write_image(tmp_path / folder / f"{index}.png", pixels)
    running = process("fuse", tmp_path / "ir", tmp_path / "vi", "-o", tmp_path / "out")
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/*.png"))) < 3:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143
    assert "Terminated." in err
    assert "Traceback" not in err
    written = {path.name for path in (tmp_path / "out").iterdir()} - {RECORD_NAME}
    assert 3 <= len(written) < 300
    assert all(read_image(tmp_path / "out" / name).shape == (200, 200) for name in written)
