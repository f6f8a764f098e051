import pytest

from refinefuse.cli.sample import run as sample
from refinefuse.errors import InputError


def test_says_what_was_written_and_what_to_do_next(tmp_path, capsys):
    folder = tmp_path / "my samples"
    assert sample(folder) == 0
    printed, errors = capsys.readouterr()
    files = [line for line in printed.splitlines() if line.endswith(".png")]
    assert len(files) == 8
    assert sorted(files) == sorted(str(path) for path in folder.rglob("*.png"))
    assert f"refinefuse fuse '{folder}/ir' '{folder}/vi' -o '{folder}/fused'" in printed
    assert errors == ""

    with pytest.raises(InputError, match="8 of the 8 files"):
        sample(folder)
