"""What pip installs: the wheel holds what the package needs, and the README's first commands work from it alone."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed")
ROOT = Path(__file__).parents[2]
LARGEST_WHEEL = 12 * 2**20  # bytes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    from hatchling.builders.wheel import WheelBuilder

    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")))))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which only the wheel was unpacked, as pip does it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    expected = {name for name in files if "__pycache__" not in name and ".egg-info" not in name}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"refinefuse/py.typed", "refinefuse/recipes/medical.yaml", "refinefuse/samples/ir/smoke.png"} <= names
    assert wheel.stat().st_size < LARGEST_WHEEL


def test_its_metadata_names_licenses_and_addresses(installed):
    (info,) = installed.glob("*.dist-info")
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0 AND LicenseRef-RefineFuse-Weights"
    assert sorted(path.name for path in (info / "licenses").iterdir()) == ["LICENSE", "LICENSE-WEIGHTS"]
    assert {entry.partition(",")[0] for entry in metadata.get_all("Project-URL")} >= {"Paper"}
    assert "refinefuse = refinefuse.cli:main" in (info / "entry_points.txt").read_text()


def test_the_first_commands_work_from_the_wheel_alone(installed, tmp_path):
    def run(*words):
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("-c", "import refinefuse; print(refinefuse.__file__)").startswith(str(installed))
    run("-m", "refinefuse", "sample", "pairs")
    assert "3 fused" in run("-m", "refinefuse", "fuse", "pairs/ir", "pairs/vi", "-o", "fused")
    assert "medical" in run("-m", "refinefuse", "fuse", "pairs/ct", "pairs/mri", "-o", "head", "--weights", "medical")
