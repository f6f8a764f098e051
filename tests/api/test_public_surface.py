"""The public interface: complete, lazy, and changed only on purpose."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import refinefuse

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from public_surface import FILE, surface

SCRIPT = Path(__file__).with_name("user_script.py")


def test_no_name_goes_and_no_signature_changes_unnoticed():
    assert surface() == FILE.read_text(encoding="utf-8"), (
        "The public interface changed. If it is meant to: `make docs`, and a line in CHANGELOG.md."
    )


def test_dir_shows_public_names_only():
    assert dir(refinefuse) == sorted(refinefuse.__all__)
    for name in refinefuse.__all__:
        assert getattr(refinefuse, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fusion'"):
        refinefuse.fusion  # noqa: B018


def test_import_costs_nothing():
    code = "import sys, refinefuse; print([name for name in ('torch', 'numpy', 'cv2') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_users_script_touches_every_public_name():
    used = set(re.findall(r"\brf\.(\w+)", SCRIPT.read_text(encoding="utf-8")))
    assert used == set(refinefuse.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_a_users_script_is_typed(checker, tmp_path):
    """A script that uses all of it, without a cast or an ignored error."""
    pytest.importorskip(checker, reason=f"the type checker {checker} is not installed")
    if checker == "mypy":
        options = ["--strict", "--config-file", "", "--cache-dir", str(tmp_path)]
    else:
        (tmp_path / "pyrightconfig.json").write_text(f'{{"typeCheckingMode": "standard", "include": ["{SCRIPT}"]}}')
        options = ["--project", str(tmp_path), "--pythonpath", sys.executable]
    command = [sys.executable, "-m", checker, *options, *([str(SCRIPT)] if checker == "mypy" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout
