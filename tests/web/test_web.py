"""The browser page against the package, where node, its modules and Chromium are installed (see docs/web.md)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"


def run(*command: str, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=WEB, env=os.environ | environment, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("node and npm are not installed")
    if not (WEB / "node_modules").is_dir():
        pytest.skip("the page's modules are not installed: run `make web`")
    return npm


@pytest.mark.slow
def test_functions_of_the_page(npm: str) -> None:
    run(npm, "run", "check")
    run(npm, "test")


@pytest.mark.slow
def test_the_page_of_the_studio_is_built_from_these_sources(npm: str, tmp_path: Path) -> None:
    run(npm, "run", "build:studio", "--", "--outDir", str(tmp_path))
    shipped = WEB.parent / "src" / "refinefuse" / "studio" / "page"
    assert sorted(path.name for path in shipped.iterdir()) == sorted(path.name for path in tmp_path.iterdir())
    for path in shipped.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), f"run `make web`: {path.name} is not current"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_page_fuses_as_the_package_does(npm: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="exporting the networks needs the extra onnx")
    pytest.importorskip("av", reason="rendering the videos needs the extra video")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("Chromium is not installed")
    run(sys.executable, "export.py", "models")
    run(npm, "run", "build")
    reference = tmp_path / "reference"
    run(sys.executable, "tests/reference.py", str(reference), PYTHONPATH=str(WEB.parent / "tools"))
    run(npm, "run", "test:browser", REFINEFUSE_WEB_REFERENCE=str(reference), REFINEFUSE_PYTHON=sys.executable)
