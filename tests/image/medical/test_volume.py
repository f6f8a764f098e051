"""Grids: NIfTI and back, one onto the other, display_orientation, and from units to [0, 1]."""

import gzip

import cv2
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.image.medical import volume as volumes
from refinefuse.image.medical.formats import is_volume, read_volume
from refinefuse.image.medical.intensity import (
    WINDOWS,
    colored,
    intensity_ranges,
    intensity_warnings,
    parse_kinds,
    parse_window,
    range_of,
    saturated_fraction,
    scaled,
    with_kind,
)
from refinefuse.image.medical.nifti import modality_of, read_nifti, write_nifti
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.medical.resampling import resample_to
from refinefuse.image.medical.volume import (
    Volume,
    colored_last,
    different_patients,
    display_orientation,
    exchanged_sources,
    finest,
    reorient,
    reorient_back,
)
from refinefuse.image.thermal import IntensityRange
from series import head

HERE = volumes.Path("here.nii")


def rotation(x, y, z):
    turned = np.eye(3)
    for axis, angle in enumerate((x, y, z)):
        c, s = np.cos(angle), np.sin(angle)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        one = np.eye(3)
        one[i, i] = one[j, j] = c
        one[i, j], one[j, i] = -s, s
        turned = one @ turned
    return turned


def affine_of(angles=(0.2, -0.3, 0.1), spacing=(1.0, 1.5, 3.0), origin=(5, -7, 11)):
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) * spacing
    affine[:3, 3] = origin
    return affine


def field(affine, shape):
    """Values that are linear in space: linear interpolation gives them exactly on any grid."""
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in shape], indexing="ij"), -1)
    points = grid @ affine[:3, :3].T + affine[:3, 3]
    return (points @ [1.0, -2.0, 0.5] + 100).astype(np.float32)


def test_linear_values_come_out_exactly_on_an_oblique_anisotropic_grid():
    source = affine_of(spacing=(2, 2, 2), origin=(-40, -40, -40), angles=(0, 0.05, 0))
    target = affine_of(spacing=(2, 2.5, 4), origin=(-12, -10, -11))
    cut = resample_to(Volume(field(source, (45, 45, 45)), source, HERE), target, (10, 9, 6))
    expected = field(target, (10, 9, 6))
    for k in range(6):
        values, inside = cut(k)
        assert inside.all()
        np.testing.assert_allclose(values, expected[:, :, k], atol=0.3)  # blurred first; exact but for the border


@settings(max_examples=60)
@given(st.permutations([0, 1, 2]), st.lists(st.sampled_from([1, -1]), min_size=3, max_size=3), st.integers(0, 9))
def test_a_turned_grid_gives_the_same_values_without_resampling(order, signs, seed):
    values = np.random.default_rng(seed).random((4, 5, 6), np.float32)
    affine, turned = affine_of(), affine_of()
    for new, (voxel, sign) in enumerate(zip(order, signs, strict=True)):
        turned[:, new] = affine[:, voxel] * sign
        turned[:, 3] += affine[:, voxel] * (values.shape[voxel] - 1) * (sign < 0)
    expected = reorient(values, order, signs)
    cut = resample_to(Volume(values, affine, HERE), turned, expected.shape)
    np.testing.assert_array_equal(np.stack([cut(k)[0] for k in range(expected.shape[2])], -1), expected)
    np.testing.assert_array_equal(reorient_back(expected, order, signs), values)


@settings(max_examples=60)
@given(st.tuples(*[st.floats(-3.1, 3.1)] * 3), st.permutations([1.0, 1.1, 3.0]))
def test_upright_slices_face_the_reader(angles, spacing):
    affine, shape = affine_of(angles, np.array(spacing)), (4, 5, 6)
    order, signs, turned = display_orientation(affine, shape)
    np.testing.assert_allclose(np.linalg.norm(turned[:3, 2]), 3)  # across the widest spacing
    along = np.abs(turned[:3, :3] / np.linalg.norm(turned[:3, :3], axis=0)).argmax(0)
    if sorted(along) == [0, 1, 2]:
        down, right = turned[along[0], 0], turned[along[1], 1]
        assert down < 0  # to the back or to the feet
        assert right < 0  # to the patient's left... seen from the feet, or to the back
    values = np.arange(120).reshape(shape)
    np.testing.assert_array_equal(reorient_back(reorient(values, order, signs), order, signs), values)
    last = np.array(reorient(values, order, signs).shape) - 1
    point = np.linalg.inv(affine) @ turned @ [*last, 1]
    assert values[tuple(np.rint(point[:3]).astype(int))] == reorient(values, order, signs)[tuple(last)]


def test_a_finer_volume_is_smoothed_before_it_is_thinned():
    stripes = np.zeros((64, 64, 8), np.float32)
    stripes[::2] = 1.0
    coarse = np.diag([4.0, 4.0, 1.0, 1.0])
    values, _ = resample_to(Volume(stripes, np.eye(4), HERE), coarse, (14, 14, 8))(4)
    assert np.abs(values[2:-2] - 0.5).max() < 0.02


def test_outside_the_field_of_view_is_said():
    shifted = np.eye(4)
    shifted[0, 3] = 6
    _, inside = resample_to(Volume(head((10, 10, 3)), np.eye(4), HERE), shifted, (10, 10, 3))(1)
    assert inside[:4].all()
    assert not inside[4:].any()


def test_what_is_not_valid_takes_no_part_in_interpolation():
    valid = np.ones((20, 20, 5), np.bool_)
    valid[:10] = False
    values = np.where(valid, 7.0, -3000.0).astype(np.float32)
    shifted = np.diag([1.5, 1.5, 1.0, 1.0])
    sliced, inside = resample_to(Volume(values, np.eye(4), HERE, valid=valid), shifted, (13, 13, 5))(2)
    assert inside[7:].all()
    assert not inside[:6].any()
    np.testing.assert_allclose(sliced[inside], 7, atol=1e-4)
    same, whole = resample_to(Volume(values, np.eye(4), HERE, valid=valid), np.eye(4), (20, 20, 5))(2)
    np.testing.assert_array_equal(whole, valid[:, :, 2])
    np.testing.assert_array_equal(same, values[:, :, 2])


def test_the_finest_grid():
    coarse, fine = (Volume(head((4, 4, 4)), np.diag([side, side, 1, 1.0]), HERE) for side in (2.0, 1.0))
    assert finest([fine, coarse]) == 0
    assert finest([coarse, fine]) == 1
    assert finest([fine, fine]) == 1


def test_patients():
    one, other, nobody = (Volume(head((4, 4, 4)), np.eye(4), HERE, patient=name) for name in ("Ann", "Bob", ""))
    assert "Ann and Bob" in different_patients([one, other], show_names=True)[0]
    (anonymous,) = different_patients([one, other], show_names=False)
    assert "different patients" in anonymous
    assert "Ann" not in anonymous
    assert different_patients([nobody, other], show_names=True) == []


def test_the_order_of_sources():
    ct, mr, pet = (Volume(head((4, 4, 4)), np.eye(4), HERE, kind) for kind in ("CT", "MR", "PT"))
    assert "treated as the last" in exchanged_sources([pet, mr])[0]
    assert exchanged_sources([mr, pet]) == exchanged_sources([mr, mr]) == exchanged_sources([mr, ct]) == []
    assert colored_last([pet, ct, mr]) == [ct, mr, pet]


def test_no_overlap():
    far = np.eye(4)
    far[2, 3] = 500
    with pytest.raises(InputError, match=r"(?s)do not overlap.*500 .. 50[23]"):
        resample_to(Volume(head((10, 10, 3)), np.eye(4), HERE), far, (10, 10, 3))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.diag([1.0, 1, 0, 1]), np.full((4, 4), np.nan)])
def test_singular_affine(affine):
    with pytest.raises(InputError, match="its affine"):
        Volume(head((4, 4, 4)), affine, HERE)


class TestNifti:
    def test_geometry_comes_back_bit_by_bit(self, tmp_path):
        source = nibabel.Nifti1Image(head().astype(np.int16), affine_of())
        source.set_qform(affine_of((0.2, -0.3, 0.1)), "scanner")
        source.set_sform(affine_of((0.21, -0.3, 0.1)), "talairach")
        source.header.set_slope_inter(2, -10)
        nibabel.save(source, tmp_path / "t1.nii.gz")
        volume = read_nifti(tmp_path / "t1.nii.gz")
        write_nifti(tmp_path / "out.nii.gz", volume.values, volume)
        before, after = nibabel.load(tmp_path / "t1.nii.gz"), nibabel.load(tmp_path / "out.nii.gz")
        for name in ("sform_code", "qform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
            np.testing.assert_array_equal(after.header[name], before.header[name])
        np.testing.assert_array_equal(after.affine, before.affine)
        np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
        assert b"Not a medical device" in after.header["descrip"].item()

    def test_color(self, tmp_path):
        rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
        grid = Volume(np.zeros((5, 6, 7), np.float32), affine_of(), HERE)
        write_nifti(tmp_path / "out.nii", rgb, grid)
        stored = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj)
        np.testing.assert_array_equal(np.stack([stored[name] for name in "RGB"], -1), rgb)
        with pytest.raises(InputError, match="one real number"):
            read_nifti(tmp_path / "out.nii")

    @pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
    def test_a_long_comment(self, tmp_path, name):
        write_nifti(tmp_path / name, head(), Volume(head(), affine_of(), HERE), "long " * 500)
        np.testing.assert_array_equal(read_nifti(tmp_path / name).values, head())
        (extension,) = nibabel.load(tmp_path / name).header.extensions
        assert extension.content.startswith(b"long long")

    def test_the_same_bytes_twice(self, tmp_path):
        grid = Volume(head(), affine_of(), HERE)
        for name in ("1.nii.gz", "2.nii.gz"):
            write_nifti(tmp_path / name, grid.values, grid)
        assert (tmp_path / "1.nii.gz").read_bytes() == (tmp_path / "2.nii.gz").read_bytes()

    def test_several_volumes(self, tmp_path):
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4)), tmp_path / "x.nii")
        with pytest.raises(InputError, match="it is 4-D, with several volumes"):
            read_nifti(tmp_path / "x.nii")
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 1), np.float32), np.eye(4)), tmp_path / "x.nii")
        assert read_nifti(tmp_path / "x.nii").values.shape == (4, 4, 4)

    def test_not_a_number(self, tmp_path):
        values = head()
        values[:3] = np.nan
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
        volume = read_nifti(tmp_path / "x.nii")
        assert volume.values.min() == volume.values[0, 0, 0] == 0
        assert "1296 voxels" in volume.warnings[0]
        assert not volume.valid[:3].any()
        assert volume.valid[3:].all()
        nibabel.save(nibabel.Nifti1Image(values * np.nan, np.eye(4)), tmp_path / "x.nii")
        with pytest.raises(InputError, match="all voxels"):
            read_nifti(tmp_path / "x.nii")

    @pytest.mark.parametrize(
        ("content", "got"),
        [(b"", "0 bytes"), (b"\0" * 400, "400 bytes"), (b"NRRD0005\n", "NRRD"), (b"\x89PNG\r\n\x1a\n", "png")],
    )
    def test_no_nifti(self, tmp_path, content, got):
        (tmp_path / "x.nii").write_bytes(content)
        with pytest.raises(InputError, match=f"(?s)not a NIfTI file.*got: {got}"):
            read_nifti(tmp_path / "x.nii")

    def test_truncated(self, tmp_path):
        nibabel.save(nibabel.Nifti1Image(head(), np.eye(4)), tmp_path / "x.nii")
        (tmp_path / "x.nii").write_bytes((tmp_path / "x.nii").read_bytes()[:9000])
        with pytest.raises(InputError, match="damaged"):
            read_nifti(tmp_path / "x.nii")

    @pytest.mark.parametrize(("units", "scale"), [("micron", 1000), ("meter", 0.001), ("mm", 1), ("unknown", 1)])
    def test_units(self, tmp_path, units, scale):
        affine = np.diag([2.0 * scale, 2.0 * scale, 3.0 * scale, 1.0])
        image = nibabel.Nifti1Image(head(), affine)
        image.header.set_xyzt_units(units)
        nibabel.save(image, tmp_path / "x.nii")
        volume = read_nifti(tmp_path / "x.nii")
        np.testing.assert_allclose(volume.spacing, (2, 2, 3), rtol=1e-5)
        write_nifti(tmp_path / "out.nii", volume.values, volume)
        np.testing.assert_allclose(read_nifti(tmp_path / "out.nii").spacing, (2, 2, 3), rtol=1e-5)

    def test_sform_against_qform(self, tmp_path):
        image = nibabel.Nifti1Image(head(), affine_of())
        image.set_sform(affine_of(), 1)
        image.set_qform(affine_of(origin=(23, -7, 11)), 1)
        nibabel.save(image, tmp_path / "x.nii")
        volume = read_nifti(tmp_path / "x.nii")
        assert volume.warnings == (
            f"sform and qform of '{tmp_path / 'x.nii'}' differ by up to 18 mm: the sform is used",
        )
        np.testing.assert_allclose(volume.affine, affine_of(), atol=1e-5)
        image.set_qform(affine_of(), 1)
        nibabel.save(image, tmp_path / "y.nii")
        assert read_nifti(tmp_path / "y.nii").warnings == ()

    def test_compression_by_content_and_names_in_capitals(self, tmp_path):
        nibabel.save(nibabel.Nifti1Image(head(), np.eye(4)), tmp_path / "x.nii.gz")
        (tmp_path / "packed.nii").write_bytes((tmp_path / "x.nii.gz").read_bytes())
        volume = read_nifti(tmp_path / "packed.nii")
        np.testing.assert_array_equal(volume.values, head())
        write_nifti(tmp_path / "OUT.NII.GZ", volume.values, volume)
        assert (tmp_path / "OUT.NII.GZ").read_bytes()[:2] == b"\x1f\x8b"
        (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress((tmp_path / "OUT.NII.GZ").read_bytes()))
        np.testing.assert_array_equal(read_nifti(tmp_path / "plain.nii.gz").values, head())

    def test_declared_sizes(self, tmp_path):
        image = nibabel.Nifti1Image(head((4, 4, 4)), np.eye(4))
        data = bytearray(image.to_bytes())
        data[42:48] = np.array([32767] * 3, "<i2").tobytes()
        (tmp_path / "x.nii").write_bytes(data)
        with pytest.raises(InputError, match=r"(?s)limit.*35,181,150,961,663.*REFINEFUSE_MAX_PIXELS"):
            read_nifti(tmp_path / "x.nii")
        data[42:48] = np.array([512] * 3, "<i2").tobytes()
        for name, content in (("x.nii", bytes(data)), ("x.nii.gz", gzip.compress(data))):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match="the header declares 536,871,264"):
                read_nifti(tmp_path / name)
        with pytest.raises(InputError, match="at most 9"):
            read_nifti(tmp_path / "x.nii", max_voxels=9)

    def test_a_damaged_checksum(self, tmp_path):
        nibabel.save(nibabel.Nifti1Image(head(), np.eye(4)), tmp_path / "x.nii.gz")
        data = bytearray((tmp_path / "x.nii.gz").read_bytes())
        data[-8] ^= 1
        (tmp_path / "x.nii.gz").write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            read_nifti(tmp_path / "x.nii.gz")

    @pytest.mark.parametrize("affine", [np.diag([1e-6, 1e-6, 1e-6, 1]), np.diag([1.0, 1, 5000, 1])])
    def test_absurd_spacings(self, tmp_path, affine):
        nibabel.save(nibabel.Nifti1Image(head((4, 4, 4)), affine), tmp_path / "x.nii")
        with pytest.raises(InputError, match="spacing"):
            read_nifti(tmp_path / "x.nii")

    def test_nibabels_own_files(self):
        folder = volumes.Path(nibabel.__file__).parent / "tests" / "data"
        assert read_nifti(folder / "anatomical.nii").values.shape == (33, 41, 25)
        with pytest.raises(InputError, match="several volumes"):
            read_nifti(folder / "functional.nii")
        with pytest.raises(InputError, match="not a NIfTI volume"):
            read_nifti(folder / "row_major.dconn.nii")

    def test_a_library_that_is_missing(self):
        with pytest.raises(MissingDependencyError, match=r"refinefuse\[medical\]"):
            volumes.load("nibabel_that_is_not_there")


@pytest.mark.parametrize(
    ("name", "modality"),
    [("MRI.nii.gz", "MR"), ("sub-01_T1w.nii", "MR"), ("PET.nii.gz", "PT"), ("fdg_suv.nii", "PT"), ("ct.nii", "CT"),
     ("SPECT_1.nii", "NM"), ("spectrum.nii", ""), ("mri_to_pet.nii", ""), ("x.nii", "")],
)  # fmt: skip
def test_kind_by_name(name, modality):
    assert modality_of(volumes.Path(name)) == modality


@pytest.mark.parametrize(("name", "format_name"), [("x.nrrd", "NRRD"), ("x.MHA", "MetaImage"), ("x.mgz", "MGH")])
def test_formats_that_are_not_read_are_named(tmp_path, name, format_name):
    (tmp_path / name).write_bytes(b"NRRD0005")
    assert is_volume(tmp_path / name)
    with pytest.raises(InputError, match=rf"(?s)not supported.*NIfTI.*got: .*{format_name}.*3D Slicer"):
        read_volume(tmp_path / name)


def test_the_limit_of_pixels_raises_that_of_voxels(monkeypatch):
    assert VolumeOptions().max_voxels == 2**30
    monkeypatch.setenv("REFINEFUSE_MAX_PIXELS", str(2**31))
    assert VolumeOptions().max_voxels == 2**31
    monkeypatch.setenv("REFINEFUSE_MAX_PIXELS", "100")
    assert VolumeOptions().max_voxels == 2**30


def test_a_grid_at_right_angles_comes_before_a_finer_one_that_is_sheared():
    sheared = np.diag([0.5, 0.5, 1.0, 1.0])
    sheared[1, 2] = 0.4  # a tilted gantry
    tilted, upright = Volume(head((4, 4, 4)), sheared, HERE), Volume(head((4, 4, 4)), np.eye(4), HERE)
    assert not tilted.is_orthogonal
    assert upright.is_orthogonal
    assert finest([tilted, upright]) == 1
    assert finest([tilted, tilted]) == 1


class TestIntensity:
    def test_windows(self):
        assert parse_window("brain") == IntensityRange("counts", 0, 80)
        assert parse_window("lung") == IntensityRange("counts", -1350, 150)
        assert parse_window("-50,300") == IntensityRange("counts", -200, 100)
        for text in ("head", "40", "40,0", "40,-5", "a,b", "1,2,3"):
            with pytest.raises(InputError, match="CENTER,WIDTH"):
                parse_window(text)

    def volume(self, **kind):
        return Volume(head() - 100 * (kind.get("modality") == "CT"), np.eye(4), HERE, **kind)

    def test_by_modality(self):
        tissue = parse_window("tissue")
        assert (
            range_of(self.volume(modality="CT"), None, None, None)
            == tissue
            == parse_window("{},{}".format(*WINDOWS["tissue"]))
        )
        assert range_of(self.volume(modality="CT", window=(30, 60)), None, None, None) == IntensityRange(
            "counts", 0, 60
        )
        assert range_of(self.volume(modality="CT", window=(30, 60)), parse_window("bone"), None, None).high == 1300
        uptake = range_of(self.volume(modality="PT"), None, None, None)
        assert uptake.low == 0
        assert uptake.high == pytest.approx(np.percentile(head(), 99.9, method="inverted_cdf"))
        assert range_of(self.volume(modality="PT", units="SUV"), None, None, IntensityRange("counts", 0, 7)).high == 7
        fixed = range_of(self.volume(modality="MR"), None, None, None)
        assert fixed.high == pytest.approx(np.percentile(head(), 99.5, method="inverted_cdf"))
        assert range_of(self.volume(modality="MR"), None, IntensityRange("counts", 5, 9), None) == IntensityRange(
            "counts", 5, 9
        )

    def test_a_rule_holds_for_any_modality(self):
        rule = IntensityRange("counts", 5, 9)
        for modality in ("CT", "MR", "PT", "NM", ""):
            assert range_of(self.volume(modality=modality), parse_window("bone"), rule, None) == rule

    def test_options_of_several_sources(self):
        ct, mr, pet = (self.volume(modality=modality) for modality in ("CT", "MR", "PT"))
        rule, window = IntensityRange("counts", 5, 9), parse_window("brain")
        assert intensity_ranges([pet, mr], None, rule, None)[0] == rule
        assert intensity_ranges([mr, pet], None, rule, None)[1] != rule
        assert intensity_ranges([mr, ct], window, rule, None) == [rule, window]
        with pytest.raises(InputError, match="`window` and `range` both"):
            intensity_ranges([ct, mr], window, rule, None)
        with pytest.raises(InputError, match="`window` applies to CT"):
            intensity_ranges([mr, pet], window, None, None)
        with pytest.raises(InputError, match="`suv_range` applies to PET"):
            intensity_ranges([ct, mr], None, None, rule)

    def test_what_is_not_valid_takes_no_part(self):
        values = head()
        values[:4] = 9000
        masked = Volume(values, np.eye(4), HERE, "MR", valid=np.arange(40)[:, None, None] + np.zeros((40, 36, 12)) >= 4)
        assert range_of(masked, None, None, None).high < 1000
        assert range_of(Volume(values, np.eye(4), HERE, "MR"), None, None, None).high == 9000

    def test_a_window_that_saturates_the_body(self):
        bones = Volume(head() + 500, np.eye(4), HERE, "CT", units="HU")
        assert saturated_fraction(bones, parse_window("brain")) == 1
        assert "100% of the body" in intensity_warnings(bones, parse_window("brain"))[0]
        assert intensity_warnings(bones, parse_window("500,4000")) == []
        air = Volume(head() * 0 - 1000, np.eye(4), HERE, "CT", units="HU")
        assert saturated_fraction(air, parse_window("lung")) == 0

    def test_kinds(self):
        assert parse_kinds("ct,MRI", 2) == ("CT", "MR")
        assert parse_kinds(",pet", 2) == ("", "PT")
        for text in ("ct", "ct,mri,pet", "ct,xray"):
            with pytest.raises(InputError, match="ct, mri, pet, spect"):
                parse_kinds(text, 2)
        assert with_kind(self.volume(), "CT").units == "HU"
        assert with_kind(self.volume(modality="PT"), "").modality == "PT"

    def test_an_suv_that_is_not_there(self):
        with pytest.raises(InputError, match="lack PatientWeight"):
            range_of(
                self.volume(modality="PT", warnings=("lack PatientWeight",)), None, None, IntensityRange("counts", 0, 7)
            )

    def test_nothing_in_it(self):
        with pytest.raises(InputError, match="the same value"):
            range_of(Volume(np.ones((4, 4, 4), np.float32), np.eye(4), HERE), None, None, None)
        with pytest.raises(InputError, match="uptake"):
            range_of(
                Volume(np.arange(64, dtype=np.float32).reshape(4, 4, 4) - 99, np.eye(4), HERE, "PT"), None, None, None
            )

    @pytest.mark.parametrize("name", ["inferno", "magma"])
    def test_the_maps_are_perceptually_even(self, name):
        steps = np.linspace(0, 1, 65, dtype=np.float32)[None]
        lightness = cv2.cvtColor(colored(steps, name), cv2.COLOR_RGB2Lab)[0, :, 0]
        rises = np.diff(lightness)
        assert rises.min() > 0
        assert rises[4:].std() < 0.15 * rises[4:].mean()

    def test_scaled(self):
        values, fixed = np.array([[-5.0, 0, 5, 15]], np.float32), IntensityRange("counts", 0, 10)
        np.testing.assert_array_equal(scaled(values, fixed), [[0, 0, 0.5, 1]])
        np.testing.assert_array_equal(scaled(values, fixed, inverted=True), [[1, 1, 0.5, 0]])
