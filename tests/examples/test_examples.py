"""The examples run, and the README says what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from refinefuse.cli import COMMANDS, parser_of
from refinefuse.image.files import read_image

ROOT = Path(__file__).parents[2]


def test_fuse_in_python(tmp_path):
    program = ROOT / "examples" / "fuse_in_python.py"
    done = subprocess.run([sys.executable, program, tmp_path], check=True, capture_output=True, text=True)
    assert "(2, 1, 96, 128)" in done.stdout
    assert read_image(tmp_path / "smoke_fused.png").shape == read_image(tmp_path / "vi" / "smoke.png").shape


def test_first_pair_without_data_sets(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["/bin/sh", ROOT / "examples" / "first_pair.sh", "", tmp_path / "out"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": path})
    for name in ("fused.png", "montage.png", "weight_map.png"):
        assert read_image(tmp_path / "out" / name).shape[0] >= 240


def test_readme_names_only_what_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in re.findall(r"^refinefuse (.*)$", text, re.MULTILINE):
        command = max((command for command in COMMANDS if words.startswith(command)), key=len)
        rest = words.removeprefix(command)
        known = parser_of(command)._option_string_actions
        assert all(option in known for option in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", rest))
    for path in re.findall(r"\]\((?!https?:)([^)]+)\)", text) + re.findall(r"recipes/[\w.-]+\.yaml", text):
        assert (ROOT / path).exists(), path
