import pytest

from refinefuse.cli.sample import run as sample
from refinefuse.data.pairs import pair_folders
from refinefuse.errors import InputError
from refinefuse.image.files import read_image
from refinefuse.samples import write_samples


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


def test_the_folders_are_pairs(tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    files = write_samples(folder)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(files)
    infrared = pair_folders(folder / "ir", folder / "vi")
    assert [pair.name for pair in infrared.pairs] == ["night_street", "ridge_16bit", "smoke"]
    head = pair_folders(folder / "ct", folder / "mri")
    assert [pair.name for pair in head.pairs] == ["head_ct_mri"]
    assert infrared.only_a + infrared.only_b + head.only_a + head.only_b == ()


def test_nothing_is_replaced_unasked(tmp_path):
    present = tmp_path / "vi" / "smoke.png"
    present.parent.mkdir()
    present.write_bytes(b"mine")
    with pytest.raises(InputError, match="overwrite") as caught:
        write_samples(tmp_path)
    assert "1 of the 8 files" in str(caught.value)
    assert str(present) in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [present]
    assert present.read_bytes() == b"mine"
    write_samples(tmp_path, overwrite=True)
    assert read_image(present).shape == (240, 320, 3)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot create the folder"):
        write_samples(tmp_path / "file")
