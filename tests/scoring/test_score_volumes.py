"""`refinefuse score` on volumes: slice by slice, in the ranges in which they were fused."""

import nibabel
import numpy as np
import pytest

from refinefuse import VolumeOptions
from refinefuse import score as score_files
from refinefuse.cli.score import VolumeArguments
from refinefuse.cli.score import run as score
from refinefuse.errors import InputError, PairingError
from refinefuse.image.files import write_image
from refinefuse.image.medical.dicom import read_dicom
from refinefuse.image.medical.secondary_capture import write_secondary_capture
from refinefuse.image.medical.volume import display_orientation, reorient
from series import CT_CLASS, head, write_series


def nifti(path, values, spacing=(1.0, 1.0, 3.0)):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*spacing, 1.0])), path)
    return path


@pytest.fixture
def volumes(tmp_path):
    """A CT, an MRI, and the CT as it is shown in the window of the brain, called fused."""
    ct = head() / 5 - 40
    return (
        nifti(tmp_path / "fused.nii.gz", (ct / 80).clip(0, 1).astype(np.float32)),
        nifti(tmp_path / "ct.nii.gz", ct.astype(np.float32)),
        nifti(tmp_path / "mri.nii.gz", head(seed=1)),
    )


def test_a_copy_of_a_source_in_its_window_has_no_error(volumes):
    """So geometry, order of the slices and ranges are those of the fusion."""
    table = score_files(*volumes, metrics=["MI", "PSNR"], volumes=VolumeOptions(window="brain"))
    (images,) = table.scores.values()
    assert list(images) == [f"slice {k}" for k in range(2, 12)]  # the outermost hold nothing
    other = score_files(*volumes, metrics=["MI", "PSNR"], volumes=VolumeOptions(window="bone"))
    for name, values in other.scores["fused.nii"].items():
        assert values["MI"] < images[name]["MI"]
        assert values["PSNR"] < images[name]["PSNR"]


def test_levels_are_those_of_the_display(volumes):
    from refinefuse.scoring.volumes import find_task

    task = find_task([volumes[0]], *volumes[1:], VolumeOptions(window="brain"))
    fused, ct, mri = task.triplets[4].read("luma")
    np.testing.assert_array_equal(fused, ct)
    shown = np.floor((head() / 5 - 40).clip(0, 80) / 80 * 255 + 0.5)[:, :, 5].T[::-1, ::-1]
    assert np.abs(ct[0, 0].numpy() - shown).max() <= 1
    assert mri.shape == ct.shape


def test_sources_on_another_grid_are_brought_onto_that_of_the_result(volumes, tmp_path):
    nifti(tmp_path / "fine_mri.nii.gz", head((80, 72, 12), seed=1), (0.5, 0.5, 3.0))
    table = score_files(volumes[0], volumes[1], tmp_path / "fine_mri.nii.gz", metrics=["SCD"])
    assert len(table.scores["fused.nii"]) == 10


def test_slices_without_one_of_the_sources_are_left_out(volumes, tmp_path, capsys):
    nifti(tmp_path / "short_mri.nii.gz", head(seed=1)[:, :, :5])
    files = [str(path) for path in (*volumes[:2], tmp_path / "short_mri.nii.gz")]
    assert score(*files, metrics="EN", volumes=VolumeArguments(window="brain")) == 0
    captured = capsys.readouterr()
    assert "4 images" in captured.out
    assert "8 of 12 slices" in captured.err
    assert "black to white: 0 to 80" in captured.err


@pytest.mark.parametrize("color", [True, False])
def test_a_dicom_result(tmp_path, color):
    write_series(tmp_path / "ct", head() - 500, Modality="CT", SOPClassUID=CT_CLASS)
    write_series(tmp_path / "mr", head(seed=1))
    sources = [read_dicom(tmp_path / name) for name in ("ct", "mr")]
    order, signs, affine = display_orientation(sources[1].affine, sources[1].values.shape)
    levels = reorient(((sources[0].values + 200) / 400).clip(0, 1), order, signs)
    shown = np.repeat(np.rint(levels[..., None] * 255).astype(np.uint8), 3, -1) if color else levels
    write_secondary_capture(tmp_path / "fused", shown, affine, sources, anonymize=False)
    table = score_files(
        tmp_path / "fused", tmp_path / "ct", tmp_path / "mr", metrics=["PSNR"], volumes=VolumeOptions(window="0,400")
    )
    worse = score_files(tmp_path / "fused", tmp_path / "ct", tmp_path / "mr", metrics=["PSNR"])
    assert table.means()["fused"]["PSNR"].value > worse.means()["fused"]["PSNR"].value + 1


def test_refused(volumes, tmp_path):
    write_image(tmp_path / "x.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(PairingError, match="not a volume: .*x.png"):
        score_files(tmp_path / "x.png", *volumes[1:])
    with pytest.raises(InputError, match="got: images"):
        score_files(*[tmp_path / "x.png"] * 3, volumes=VolumeOptions(window="brain"))
    with pytest.raises(InputError, match=r"levels(.|\n)*got: -40 to"):
        score_files(volumes[1], *volumes[1:])
    write_series(tmp_path / "mr", head())
    with pytest.raises(InputError, match="not a fused volume(.|\n)*12 DICOM files of MR"):
        score_files(tmp_path / "mr", *volumes[1:])
