"""Volumes that are registered: as files, before they are fused, and by the command line."""

import nibabel
import numpy as np
import pytest

from refinefuse import Fuser, VolumeOptions, align_volume, fuse_volume
from refinefuse.errors import InputError
from refinefuse.image.files import write_image
from refinefuse.image.medical.dicom import read_dicom
from series import write_series

pytest.importorskip("SimpleITK")
SIDES, STEP = (40, 44, 30), 1.5  # a small head, for speed
SHIFT, CUT = (5.0, -4.0, 4.0), 6  # of the CT, which also lacks as many voxels on one side
#: Ellipsoids: center and radii in half millimeters, and their values in CT and MRI.
PARTS = [((0, 0, 0), (52, 58, 42), 300, 200), ((0, 2, 0), (46, 52, 36), 60, 420), ((-16, 18, 6), (13, 20, 11), 90, 150),
         ((20, -14, -4), (10, 16, 20), -20, 800), ((8, 30, 14), (16, 7, 10), 110, 300),
         ((-22, -26, -14), (14, 10, 12), 130, 700)]  # fmt: skip


def scan(modality):
    grid = (np.stack(np.meshgrid(*map(np.arange, SIDES), indexing="ij"), -1) - (np.array(SIDES) - 1) / 2) * 2 * STEP
    values = np.full(SIDES, -1000.0 if modality == "ct" else 0.0)
    for center, radii, *levels in PARTS:
        values[(((grid - center) / radii) ** 2).sum(-1) < 1] = levels[modality == "mri"]
    return (values + np.random.default_rng(len(modality)).normal(0, 6, SIDES)).astype(np.float32)


def affine(shift=(0, 0, 0)):
    matrix = np.diag([STEP, STEP, STEP, 1.0])
    matrix[:3, 3] = -(np.array(SIDES) - 1) / 2 * STEP + shift
    return matrix


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A CT that lies beside its MRI by `SHIFT`, and the same CT where it belongs."""
    folder = tmp_path_factory.mktemp("head")
    cut = np.array([CUT * STEP, 0, 0])
    for name, shift in (("ct", cut + SHIFT), ("mri", np.zeros(3)), ("true_ct", cut)):
        values = scan("mri") if name == "mri" else scan("ct")[CUT:]
        nibabel.save(nibabel.Nifti1Image(values, affine(shift)), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def aligned(head):
    files = {name: head / f"aligned{end}" for name, end in (("output", ".nii.gz"), ("save_transform", ".tfm"))}
    found = align_volume(head / "ct.nii.gz", head / "mri.nii.gz", valid_mask=head / "valid.nii", **files)
    return found, nibabel.load(files["output"]), nibabel.load(head / "valid.nii"), files["save_transform"]


def test_the_moved_volume_lies_on_the_grid_of_the_other(aligned):
    found, moved, valid, transform = aligned
    assert found.is_reliable
    np.testing.assert_allclose(found.transform[:3, 3], np.negative(SHIFT), atol=0.7)
    np.testing.assert_allclose(moved.affine, affine(), atol=1e-5)
    inside = np.asarray(valid.dataobj) == 1
    values = moved.get_fdata()
    assert inside.mean() == pytest.approx(1 - CUT / SIDES[0], abs=0.02)
    assert np.corrcoef(values[inside], scan("ct")[inside])[0, 1] > 0.99
    np.testing.assert_array_equal(values[~inside], values.min())
    assert transform.read_text().startswith("#Insight Transform File")


def test_fusing_registers_first(head, tmp_path):
    fuser, options = Fuser("medical"), VolumeOptions(window="tissue", grid="b")
    result = fuse_volume(
        head / "ct.nii.gz", head / "mri.nii.gz", tmp_path / "1.nii", align="rigid", fuser=fuser, options=options
    )
    (message,) = [text for text in result.messages if "registered to" in text]
    assert "confidence" in message
    fuse_volume(head / "true_ct.nii.gz", head / "mri.nii.gz", tmp_path / "2.nii", fuser=fuser, options=options)
    fuse_volume(head / "ct.nii.gz", head / "mri.nii.gz", tmp_path / "3.nii", fuser=fuser, options=options)
    one, right, beside = (nibabel.load(tmp_path / f"{k}.nii").get_fdata()[4:-4, 4:-4, 4:-4] for k in (1, 2, 3))
    assert np.abs(one - right).mean() < 0.4 * np.abs(beside - right).mean()


def test_a_moved_grid_is_written_where_it_lies(head, tmp_path, run):
    code, out, err = run("volume", head / "ct.nii.gz", head / "mri.nii.gz", "-o", tmp_path / "o.nii", "--align",
                         "--grid", "a")  # fmt: skip
    assert code == 0, err
    assert "registered to" in out
    written = nibabel.load(tmp_path / "o.nii").affine
    np.testing.assert_allclose(written[:3, 3], affine((CUT * STEP, 0, 0))[:3, 3], atol=0.7)
    np.testing.assert_allclose(nibabel.load(tmp_path / "o.nii").header.get_qform(), written, atol=1e-3)


def test_a_dicom_series_is_moved_into_the_frame_of_the_other(head, tmp_path):
    axes, to_lps = np.array([[-1.0, 0, 0], [0, -1.0, 0]]), np.array([-1, -1, 1])
    for name, shift, tags in (("ct", SHIFT, {"Modality": "CT", "FrameOfReferenceUID": "9.9"}), ("mri", (0, 0, 0), {})):
        origin = to_lps * affine(shift)[:3, 3]
        write_series(tmp_path / name, scan(name), axes=axes, origin=origin, spacing=(STEP,) * 3, **tags)
    fixed = read_dicom(tmp_path / "mri")
    np.testing.assert_allclose(fixed.affine, affine(), atol=1e-6)
    result = fuse_volume(tmp_path / "ct", tmp_path / "mri", tmp_path / "out", align="rigid")
    assert not any("frames of reference" in text for text in result.warnings)
    fused = read_dicom(tmp_path / "out")
    assert fused.frame == fixed.frame


def test_noise_is_refused_and_nothing_written(tmp_path, run):
    for seed, name in enumerate(("a_mri.nii", "b_mri.nii")):
        noise = np.random.default_rng(seed).normal(500, 50, (20, 20, 20)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(noise, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / name)
    files = tmp_path / "a_mri.nii", tmp_path / "b_mri.nii"
    for command in ("align", "volume"):
        extra = ("--align",) if command == "volume" else ()
        code, _, err = run(command, *files, "-o", tmp_path / "o.nii", *extra)
        assert code == 1
        assert "could not be registered" in err
        assert "in common" in err
    assert not align_volume(*files).is_reliable
    assert {path.name for path in tmp_path.iterdir()} == {"a_mri.nii", "b_mri.nii"}


def test_the_command(head, tmp_path, run):
    code, out, err = run("align", head / "ct.nii.gz", head / "mri.nii.gz", "-o", tmp_path / "moved.nii.gz")
    assert code == 0, err
    assert "mutual information" in out
    assert nibabel.load(tmp_path / "moved.nii.gz").shape == SIDES


class TestRefused:
    def test_outputs(self, head, tmp_path):
        files = head / "ct.nii.gz", head / "mri.nii.gz"
        with pytest.raises(InputError, match=r"\.nii, \.nii\.gz"):
            align_volume(*files, tmp_path / "o.png")
        with pytest.raises(InputError, match=r"\.tfm"):
            align_volume(*files, save_transform=tmp_path / "t.json")
        with pytest.raises(InputError, match="named twice"):
            align_volume(*files, files[0])
        (tmp_path / "o.nii").write_bytes(b"")
        with pytest.raises(InputError, match="exists"):
            align_volume(*files, tmp_path / "o.nii")

    @pytest.mark.parametrize(
        ("words", "text"),
        [(("--mask-a", "m.png"), "--mask-a is for images"), (("--transform-type", "homography"), "rigid or affine"),
         (("--transform", "t.json"), "--transform is for images")],
    )  # fmt: skip
    def test_options_of_images(self, head, tmp_path, run, words, text):
        code, _, err = run("align", head / "ct.nii.gz", head / "mri.nii.gz", "-o", tmp_path / "o.nii", *words)
        assert code == 2
        assert text in err

    def test_a_volume_and_an_image(self, head, tmp_path, run):
        write_image(tmp_path / "x.png", np.zeros((40, 40), np.uint8))
        code, _, err = run("align", head / "ct.nii.gz", tmp_path / "x.png", "-o", tmp_path / "o.nii")
        assert code == 2
        assert "volume and an image" in err
