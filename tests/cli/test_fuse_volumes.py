"""`refinefuse fuse` with medical volumes."""

import nibabel
import numpy as np
import pydicom
import pytest

from refinefuse.image.files import read_image, write_image
from refinefuse.image.medical.dicom import read_dicom
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.volumes import fuse_volumes
from series import CT_CLASS, head, pet_tags, read_series, tilt, write_series


def nifti(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0]) if affine is None else affine), path)
    return path


@pytest.fixture
def pet(tmp_path):
    """An MRI and a PET of half its resolution, of one field of view."""
    coarse = np.diag([2.0, 2.0, 3.0, 1.0])
    coarse[:2, 3] = 0.5
    return nifti(tmp_path / "mri.nii.gz", head()), nifti(tmp_path / "pet.nii.gz", head((20, 18, 12), seed=1), coarse)


def test_mri_and_pet(pet, tmp_path, run):
    code, out, err = run("volume", *pet, "-o", tmp_path / "out.nii.gz", "--montage", tmp_path / "montage.png",
                         "--weight-map", tmp_path / "weights.nii", "--grid", "b")  # fmt: skip
    assert code == 0
    assert "PET, 20 x 18 x 12 voxels of 2 x 2 x 3 mm" in out
    assert "--grid a" in err
    fused = nibabel.load(tmp_path / "out.nii.gz")
    assert fused.shape == (20, 18, 12)
    assert fused.get_data_dtype().names == ("R", "G", "B")
    np.testing.assert_array_equal(fused.affine, nibabel.load(pet[1]).affine)
    assert nibabel.load(tmp_path / "weights.nii").shape == (20, 18, 12)
    assert read_image(tmp_path / "montage.png").shape[2] == 3


@pytest.mark.parametrize("grid", [(), ("--grid", "a")])
def test_the_finer_grid_is_the_default(pet, tmp_path, run, grid):
    assert run("volume", *pet, "-o", tmp_path / "out.nii", *grid, "--colormap", "gray")[0] == 0
    fused = nibabel.load(tmp_path / "out.nii")
    assert fused.shape == (40, 36, 12)
    assert fused.get_data_dtype() == np.float32
    assert 0 <= fused.get_fdata().min() < fused.get_fdata().max() <= 1


def test_a_volume_with_itself_is_itself(tmp_path, run):
    """So geometry, turning and ranges do not change a value, on an oblique grid of any order."""
    affine = np.eye(4)
    affine[:3, :3] = tilt(20)[[0, 1, 1]].T @ np.diag([1, 0, 0]) + np.cross(*tilt(20))[:, None] * [0, -1.5, 0]
    affine[:3, 2] = -2 * tilt(20)[1]
    one = nifti(tmp_path / "x_mri.nii", head((14, 30, 28)), affine)
    assert run("volume", one, one, "-o", tmp_path / "out.nii", "--range", "0,1000")[0] == 0
    fused = nibabel.load(tmp_path / "out.nii")
    np.testing.assert_allclose(fused.affine, affine, atol=1e-6)
    shown = head((14, 30, 28)) / np.percentile(head((14, 30, 28)), 99.5)
    assert np.corrcoef(fused.get_fdata().ravel(), shown.clip(0, 1).ravel())[0, 1] > 0.999


def test_slices_do_not_pump(tmp_path, run):
    """A bright spot in one slice leaves the others as they are."""
    plain, spot = head(), head()
    spot[18:22, 16:20, 6] = 3000
    outs = []
    for name, values in (("plain", plain), ("spot", spot)):
        one = nifti(tmp_path / f"{name}_mri.nii", values)
        other = nifti(tmp_path / f"{name}_ct.nii", head(seed=2))
        run("volume", other, one, "-o", tmp_path / f"{name}.nii", "--window", "400,800")
        outs.append(nibabel.load(tmp_path / f"{name}.nii").get_fdata())
    np.testing.assert_allclose(outs[0][..., :6], outs[1][..., :6], atol=0.02)


def test_outside_of_one_field_of_view_the_other_is_kept(tmp_path, run):
    shifted = np.diag([1.0, 1.0, 3.0, 1.0])
    shifted[0, 3] = 24
    code, _, err = run("volume", nifti(tmp_path / "a_mri.nii", head(), shifted), nifti(tmp_path / "b_mri.nii", head()),
                       "-o", tmp_path / "out.nii")  # fmt: skip
    assert code == 0
    assert "source 1 has data in only 40%" in err
    fused = nibabel.load(tmp_path / "out.nii").get_fdata()
    expected = (head() / np.percentile(head(), 99.5, method="inverted_cdf")).clip(0, 1)
    # The field begins at row 24; from 12 rows away on it is felt no more.
    np.testing.assert_allclose(fused[:12], expected[:12], atol=0.02)


@pytest.fixture
def study(tmp_path):
    """An oblique CT and a PET of one patient."""
    write_series(tmp_path / "ct", head() - 500, Modality="CT", SOPClassUID=CT_CLASS, axes=tilt(15))
    write_series(tmp_path / "pt", head(seed=1), axes=tilt(15), **pet_tags(), StudyDate="20240506")
    return tmp_path / "ct", tmp_path / "pt"


def test_derived_dicom(study, tmp_path, run):
    code, out, err = run("volume", *study, "-o", tmp_path / "out", "--window", "tissue", "--suv-range", "0,0.3")
    assert (code, err.count("warning")) == (0, 0)
    assert "0 to 0.3 SUV" in out
    (fused,) = read_series(tmp_path / "out")
    assert (fused.Modality, fused.PhotometricInterpretation, fused.NumberOfFrames) == ("OT", "RGB", 12)
    assert (fused.PatientName, fused.PatientID, fused.StudyInstanceUID) == ("Doe^Jane", "J1", "1.2.3")


def test_dicom_geometry_comes_back(tmp_path, run):
    write_series(tmp_path / "ct", head() - 500, Modality="CT", SOPClassUID=CT_CLASS, axes=tilt(15))
    write_series(tmp_path / "mr", head(seed=1), axes=tilt(15))
    assert run("volume", tmp_path / "ct", tmp_path / "mr", "-o", tmp_path / "out")[0] == 0
    before, after = read_dicom(tmp_path / "mr"), read_dicom(tmp_path / "out")
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-6)
    assert after.values.shape == before.values.shape
    assert pydicom.dcmread(tmp_path / "out/fused.dcm").BitsStored == 16
    assert after.values.max() > 40_000


def test_anonymize_keeps_nothing_of_the_patient(study, tmp_path, run):
    assert run("volume", *study, "-o", tmp_path / "out", "--anonymize")[0] == 0
    text = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    sources = [one for folder in study for one in read_series(folder)]
    for one in sources:
        for name in ("PatientName", "PatientID", "PatientBirthDate", "SOPInstanceUID", "SeriesInstanceUID"):
            assert str(one[name].value).encode() not in text
    assert b"20240506" not in text
    first = read_series(tmp_path / "out")[0]
    assert first.PatientIdentityRemoved == "YES"
    assert first.StudyInstanceUID != "1.2.3"
    assert first.FrameOfReferenceUID != "1.2.3.4"
    assert "SourceImageSequence" not in first


def test_the_same_fusion_gets_the_same_identity(study, tmp_path, run):
    run("volume", *study, "-o", tmp_path / "1")
    run("volume", *study, "-o", tmp_path / "2")
    names = [sorted(path.read_bytes() for path in (tmp_path / name).iterdir()) for name in "12"]
    assert names[0] == names[1]


def test_another_patient_and_another_frame_are_reported(study, tmp_path, run):
    write_series(tmp_path / "other", head(), axes=tilt(15), PatientName="Roe^Max", PatientID="M9")
    code, _, err = run("volume", tmp_path / "other", study[1], "-o", tmp_path / "out.nii")
    assert code == 0
    assert "different patients: Roe^Max (M9) and Doe^Jane (J1)" in err
    write_series(tmp_path / "later", head(), axes=tilt(15), FrameOfReferenceUID="9.9")
    code, _, err = run("volume", tmp_path / "later", study[1], "-o", tmp_path / "out2.nii")
    assert "different frames of reference" in err


def test_series_of_one_folder(tmp_path, run):
    write_series(tmp_path / "s/1", head() - 500, Modality="CT", SeriesNumber=1)
    write_series(tmp_path / "s/2", head(), SeriesNumber=2)
    code, _, err = run("volume", tmp_path / "s", tmp_path / "s", "-o", tmp_path / "out.nii")
    assert code == 2
    assert "--series" in err
    code, out, _ = run("volume", tmp_path / "s", tmp_path / "s", "-o", tmp_path / "out.nii", "--series", "1,2")
    assert code == 0
    assert "CT, 40" in out


def test_pet_gives_the_color_wherever_it_stands(pet, tmp_path, run):
    grids = {"1": "a", "2": "b"}
    for name, sources in {"1": pet, "2": pet[::-1]}.items():
        code, _, err = run("volume", *sources, "-o", tmp_path / f"{name}.nii", "--grid", grids[name], "--no-provenance")
        assert code == 0
        assert ("was treated as the last one" in err) == (name == "2")
    assert (tmp_path / "1.nii").read_bytes() == (tmp_path / "2.nii").read_bytes()
    gray = run("volume", *pet[::-1], "-o", tmp_path / "3.nii", "--colormap", "gray")
    assert gray[0] == 0
    assert "treated as the last" not in gray[2]


def test_three_volumes_in_any_order(pet, tmp_path, run):
    third = nifti(tmp_path / "t2w.nii", head(seed=5))
    run("volume", pet[0], third, pet[1], "-o", tmp_path / "1.nii", "--no-provenance")
    run("volume", third, pet[0], pet[1], "-o", tmp_path / "2.nii", "--no-provenance")
    assert (tmp_path / "1.nii").read_bytes() == (tmp_path / "2.nii").read_bytes()


def test_two_volumes_in_any_order(tmp_path, run):
    """Of CT and MRI none is preferred: neither as a source nor for what it shows outside of the other's view."""
    shifted = np.diag([1.0, 1.0, 3.0, 1.0])
    shifted[0, 3] = 6
    ct, mri = nifti(tmp_path / "ct.nii", head() - 500), nifti(tmp_path / "mri.nii", head((36, 36, 12), 1), shifted)
    run("volume", ct, mri, "-o", tmp_path / "1.nii", "--grid", "a", "--no-provenance")
    run("volume", mri, ct, "-o", tmp_path / "2.nii", "--grid", "b", "--no-provenance")
    assert (tmp_path / "1.nii").read_bytes() == (tmp_path / "2.nii").read_bytes()


@pytest.mark.parametrize("modality", ["pet", "spect"])
@pytest.mark.parametrize("extra", [(), ("--colormap", "gray")])
def test_activity_is_carried_by_luma(tmp_path, run, modality, extra):
    """Also where the MRI shows nothing and without color, what is more active is brighter."""
    activity = np.full((40, 40, 6), 5, np.float32)
    activity[10:15, 17:23], activity[25:30, 17:23] = 50, 100
    mri = np.random.default_rng(0).normal(500, 20, activity.shape).astype(np.float32)
    files = nifti(tmp_path / "mri.nii", mri), nifti(tmp_path / f"{modality}.nii", activity)
    assert run("volume", *files, "-o", tmp_path / "out.nii", *extra)[0] == 0
    voxels = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj)
    colors = {"R": 0.299, "G": 0.587, "B": 0.114}
    luma = 255 * voxels if extra else sum(weight * voxels[name] for name, weight in colors.items())
    cold, warm, hot = (luma[rows, 18:22].mean() for rows in (slice(18, 22), slice(11, 14), slice(26, 29)))
    assert cold + 10 < warm < hot - 10


class TestRefused:
    @pytest.fixture
    def refused(self, run, tmp_path):
        def call(*words, text):
            before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
            code, _, err = run("volume", *words)
            assert code == 2
            assert text in err
            assert "Traceback" not in err
            assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

        return call

    def test_volume_and_image(self, pet, tmp_path, refused):
        write_image(tmp_path / "x.png", np.zeros((8, 8), np.uint8))
        refused(pet[0], tmp_path / "x.png", "-o", tmp_path / "o.nii", text="volume and an image")

    def test_output_is_a_image(self, pet, tmp_path, refused):
        refused(*pet, "-o", tmp_path / "o.png", text=".nii.gz")

    def test_output_exists(self, pet, tmp_path, refused):
        refused(*pet, "-o", pet[0], text="named twice")
        (tmp_path / "o.nii").write_bytes(b"1")
        refused(*pet, "-o", tmp_path / "o.nii", text="--overwrite")

    def test_output_folder_is_not_empty(self, pet, tmp_path, refused):
        (tmp_path / "o").mkdir()
        (tmp_path / "o/mine.txt").write_text("1")
        refused(*pet, "-o", tmp_path / "o", "--overwrite", text="not empty")

    def test_no_overlap(self, pet, tmp_path, refused):
        far = np.eye(4)
        far[0, 3] = 1000
        refused(nifti(tmp_path / "far.nii", head(), far), pet[1], "-o", tmp_path / "o.nii", text="do not overlap")

    def test_singular_affine(self, pet, tmp_path, refused):
        nifti(tmp_path / "flat.nii", head(), np.diag([1.0, 1, 1, 1]))
        data = bytearray((tmp_path / "flat.nii").read_bytes())
        data[312:328] = b"\0" * 16  # srow_z
        (tmp_path / "flat.nii").write_bytes(data)
        refused(tmp_path / "flat.nii", pet[1], "-o", tmp_path / "o.nii", text="singular")

    def test_window_without_a_ct(self, pet, tmp_path, refused):
        refused(*pet, "-o", tmp_path / "o.nii", "--window", "brain", text="--window applies to CT")

    def test_suv_without_tags(self, pet, tmp_path, refused):
        refused(*pet, "-o", tmp_path / "o.nii", "--suv-range", "0,5", text="--suv-range needs a PET")

    def test_options_of_images(self, pet, tmp_path, refused):
        refused(*pet, "-o", tmp_path / "o.nii", "--polarity", "black-hot", text="`refinefuse fuse`")
        refused(*pet, "-o", tmp_path / "o.nii", "--range", "celsius:0,1", text="MIN,MAX or percentile")

    def test_images(self, tmp_path, refused):
        write_image(tmp_path / "x.png", np.zeros((8, 8), np.uint8))
        refused(tmp_path / "x.png", tmp_path / "x.png", "-o", tmp_path / "o.nii", text="Use `refinefuse fuse`")

    def test_too_many_series(self, pet, tmp_path, refused):
        refused(*pet, "-o", tmp_path / "o.nii", "--series", "1,2,3", text="at most 2")


def test_overwriting_replaces_the_whole_folder(study, tmp_path, run):
    (tmp_path / "out").mkdir()
    for name in ("fused.dcm", "fused_0900.dcm"):
        (tmp_path / "out" / name).write_bytes(b"old")
    assert run("volume", *study, "-o", tmp_path / "out")[0] == 2
    assert run("volume", *study, "-o", tmp_path / "out", "--overwrite")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fused.dcm"]


def test_slices_are_shown_as_they_are_written(pet, tmp_path):
    shown, output = [], tmp_path / "fused.nii.gz"
    options = VolumeOptions(grid="a")
    result = fuse_volumes(lambda: Fuser("medical"), pet, OutputPaths(output), options, on_slice=shown.append)
    fused = np.asarray(nibabel.load(output).dataobj)
    assert [len(images) for images in shown] == [3] * fused.shape[2]
    mri, colored, last = shown[-1]
    assert (mri.shape, colored.shape) == ((36, 40), (36, 40, 3))
    written = np.stack([fused[name][::-1, ::-1, -1].T for name in ("R", "G", "B")], -1)
    np.testing.assert_array_equal(last, written)
    np.testing.assert_allclose(result.affine[:3, :3], [[0, -1, 0], [-1, 0, 0], [0, 0, 3]])


def test_kinds_are_named_where_files_do_not(tmp_path, run):
    files = nifti(tmp_path / "x1.nii", head() - 500), nifti(tmp_path / "x2.nii", head(seed=1))
    _, out, err = run("volume", *files, "-o", tmp_path / "1.nii")
    assert out.count("of unknown kind") == 2
    assert "set its --kind" in err
    code, out, err = run("volume", *files, "-o", tmp_path / "2.nii", "--kind", "ct,pet", "--window", "0,1000")
    assert (code, err.count("kind")) == (0, 0)
    assert "CT, 40 x 36 x 12" in out
    assert "black to white: -500 to 500 HU" in out
    assert "PET, 40 x 36 x 12" in out
    assert nibabel.load(tmp_path / "2.nii").get_data_dtype().names == ("R", "G", "B")


def test_a_pet_before_the_mri_is_reported(pet, tmp_path, run):
    _, _, err = run("volume", *reversed(pet), "-o", tmp_path / "out.nii")
    assert "but was treated as the last one" in err


def test_a_range_applies_to_all_sources_but_the_last(pet, tmp_path, run):
    _, out, _ = run("volume", *reversed(pet), "-o", tmp_path / "out.nii", "--range", "5,250")
    first, second = out.splitlines()[:2]
    assert first.startswith("MRI")
    assert first.endswith("5 to 250")
    assert not second.endswith("5 to 250")


def test_a_window_that_saturates_the_body_is_reported(tmp_path, run):
    files = nifti(tmp_path / "ct.nii", head() + 300), nifti(tmp_path / "mri.nii", head(seed=1))
    _, _, err = run("volume", *files, "-o", tmp_path / "out.nii", "--window", "brain")
    assert "100% of the body" in err


def test_formats_that_are_not_read(pet, tmp_path, run):
    (tmp_path / "scan.nrrd").write_bytes(b"NRRD0005\n")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for words, reason in (
        ((tmp_path / "scan.nrrd", pet[1]), "got: NRRD"),
        ((pet[0], tmp_path / "scan.nrrd"), "got: NRRD"),
        ((tmp_path / "photo.heic", pet[1]), "volume and an image"),
    ):
        code, _, err = run("volume", *words, "-o", tmp_path / "out.nii")
        assert code == 2
        assert reason in err


class TestProvenance:
    def lines(self, run, *files):
        code, out, err = run("info", *files)
        assert code == 0, err
        return out

    @pytest.mark.parametrize("output", ["out", "out.nii.gz"])
    def test_a_result_says_what_made_it(self, study, tmp_path, run, output):
        assert run("volume", *study, "-o", tmp_path / output, "--window", "brain")[0] == 0
        said = self.lines(run, tmp_path / output)
        code, out, err = run("score", tmp_path / output, *study, "--metrics", "EN", "--window", "brain")
        assert code == 0, err
        assert "EN" in out
        for text in ("weights: medical (medical-", "sha256", "sources: ct, pt", "modality: CT, PET",
                     "colormap: inferno", "range: 0 to 80 HU, 0 to 0.", "SUV", "made by: refinefuse "):  # fmt: skip
            assert text in said

    def test_pixels_are_the_same_without_it(self, pet, tmp_path, run):
        run("volume", *pet, "-o", tmp_path / "1.nii", "--weight-map", tmp_path / "w.nii")
        run("volume", *pet, "-o", tmp_path / "2.nii", "--no-provenance")
        one, other = (nibabel.load(tmp_path / name) for name in ("1.nii", "2.nii"))
        np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
        assert "mri.nii.gz, pet.nii.gz" in self.lines(run, tmp_path / "w.nii")
        assert other.header.extensions == []
        code, _, err = run("info", tmp_path / "2.nii")
        assert code == 1
        assert "has no record of how it was made" in err

    @pytest.mark.parametrize("output", ["out", "out.nii"])
    def test_an_anonymous_result_names_no_source(self, tmp_path, run, output):
        for name, tags in (("DoeJane_ct", {"Modality": "CT", "SOPClassUID": CT_CLASS}), ("DoeJane_mr", {})):
            write_series(tmp_path / name, head() - 500, **tags)
        sources = (tmp_path / "DoeJane_ct", tmp_path / "DoeJane_mr")
        assert run("volume", *sources, "-o", tmp_path / output, "--anonymize")[0] == 0
        files = [tmp_path / output] if "." in output else list((tmp_path / output).iterdir())
        assert all(b"DoeJane" not in file.read_bytes() for file in files)
        assert "weights: medical" in self.lines(run, tmp_path / output)

    def test_many_sources_fit_into_the_texts_of_dicom(self, tmp_path, run):
        names = [f"{'long-name-' * 20}{k}_mr" for k in range(4)]
        for k, name in enumerate(names):
            write_series(tmp_path / name, head(seed=k))
        assert run("volume", *(tmp_path / name for name in names), "-o", tmp_path / "out")[0] == 0
        (equipment,) = pydicom.dcmread(tmp_path / "out/fused.dcm").ContributingEquipmentSequence
        assert len(equipment.ContributionDescription) <= 1024
        assert "weights: medical" in self.lines(run, tmp_path / "out")
