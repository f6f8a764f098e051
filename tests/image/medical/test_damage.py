"""DICOM as it comes: damaged, doubled, padded, inverted, without preamble, unevenly spaced."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from refinefuse.errors import InputError
from refinefuse.image.medical import pixels
from refinefuse.image.medical.dicom import is_dicom, read_dicom
from series import CT_CLASS, head, pet_tags, write_series


def changed(path, **elements):
    """Rewrite a file with other elements."""
    dataset = pydicom.dcmread(path)
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


class TestFilesOfAFolder:
    @pytest.mark.parametrize("length", [700, 400, 134])
    def test_a_slice_that_is_cut_off(self, tmp_path, length):
        files = write_series(tmp_path / "s", head())
        files[4].write_bytes(files[4].read_bytes()[:length])
        with pytest.raises(InputError, match=rf"(?s)damaged.*{files[4].name}.*move them out"):
            read_dicom(tmp_path / "s")

    def test_every_second_slice_is_cut_off(self, tmp_path):
        for path in sorted(write_series(tmp_path / "s", head()), key=lambda path: path.name[-7:])[::2]:
            path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(InputError, match="damaged"):
            read_dicom(tmp_path / "s")

    def test_a_slice_without_its_size(self, tmp_path):
        files = write_series(tmp_path / "s", head())
        changed(files[4], Rows=None)
        with pytest.raises(InputError, match=rf"(?s)damaged.*{files[4].name}"):
            read_dicom(tmp_path / "s")

    def test_an_outermost_slice_that_lost_its_size_and_its_series(self, tmp_path):
        files = write_series(tmp_path / "s", head())
        changed(files[-1], Rows=None, SeriesInstanceUID="1.2.9")  # no gap shows that it is missing
        with pytest.raises(InputError, match=rf"(?s)damaged.*{files[-1].name}"):
            read_dicom(tmp_path / "s")

    def test_a_transfer_syntax_that_is_none(self, tmp_path):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)))
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.1\0\0\0", 1))
        with pytest.raises(InputError, match=r"(?s)damaged.*transfer syntax"):
            read_dicom(path)

    def test_a_slice_whose_content_is_no_dicom_is_named(self, tmp_path):
        files = write_series(tmp_path / "s", head())
        bare = [path.rename(path.with_suffix("")) for path in files]
        bare[-1].write_bytes(b"hello")  # the last slice, which leaves no gap
        assert any(bare[-1].name in note for note in read_dicom(tmp_path / "s").warnings)

    def test_other_files_beside_the_slices(self, tmp_path):
        write_series(tmp_path / "s", head())
        (tmp_path / "s/preview.jpg").write_bytes(b"\xff\xd8")
        (tmp_path / "s/notes.txt").write_text("head")
        assert is_dicom(tmp_path / "s")
        volume = read_dicom(tmp_path / "s")
        assert volume.values.shape == (40, 36, 12)
        assert volume.warnings == ()

    @pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
    def test_files_without_preamble(self, tmp_path, syntax):
        files = write_series(tmp_path / "s", head())
        expected = read_dicom(tmp_path / "s").values
        for path in files:
            dataset = pydicom.dcmread(path)
            del dataset.file_meta
            dataset.preamble = None
            bare = path.with_suffix("")
            pydicom.dcmwrite(bare, dataset, implicit_vr=syntax is not None, little_endian=True)
            path.unlink()
        assert is_dicom(tmp_path / "s")
        np.testing.assert_array_equal(read_dicom(tmp_path / "s").values, expected)

    def test_copies_are_taken_once(self, tmp_path):
        files = write_series(tmp_path / "s", head())
        shutil.copy(files[3], tmp_path / "s/again.dcm")
        volume = read_dicom(tmp_path / "s")
        assert volume.values.shape == (40, 36, 12)
        assert "are used once" in volume.warnings[0]

    def test_one_uid_for_all_slices_makes_no_copies(self, tmp_path):
        for path in write_series(tmp_path / "s", head()):
            changed(path, SOPInstanceUID="1.2.3")
        assert read_dicom(tmp_path / "s").values.shape == (40, 36, 12)

    def test_uids_that_are_missing_do_no_harm(self, tmp_path):
        for path in write_series(tmp_path / "s", head()):
            changed(path, SOPInstanceUID=None, SeriesInstanceUID=None, FrameOfReferenceUID=None)
        assert read_dicom(tmp_path / "s").values.shape == (40, 36, 12)


class TestGeometry:
    def test_directions_may_wobble(self, tmp_path):
        for k, path in enumerate(write_series(tmp_path / "s", head())):
            angle = 3e-4 * (-1) ** k
            changed(path, ImageOrientationPatient=[np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0])
        assert read_dicom(tmp_path / "s").values.shape == (40, 36, 12)

    @pytest.mark.parametrize(("spacing", "accepted"), [(0.5004, True), (0.502, False)])
    def test_spacings_may_differ_by_a_thousandth(self, tmp_path, spacing, accepted):
        changed(write_series(tmp_path / "s", head())[5], PixelSpacing=[spacing, 0.8])
        if accepted:
            assert read_dicom(tmp_path / "s").values.shape == (40, 36, 12)
        else:
            with pytest.raises(InputError, match="spacings"):
                read_dicom(tmp_path / "s")

    def test_directions_that_are_no_right_angle(self, tmp_path):
        for path in write_series(tmp_path / "s", head()):
            changed(path, ImageOrientationPatient=[1, 0, 0, 0.3, 0.95, 0])
        with pytest.raises(InputError, match="right angles"):
            read_dicom(tmp_path / "s")

    def test_unequal_distances_are_interpolated(self, tmp_path):
        values = np.broadcast_to(np.arange(12.0) * 10, (8, 6, 12))
        depths = np.concatenate([np.arange(7) * 3.0, 18 + np.arange(1, 6) * 5.0])
        for path, depth in zip(write_series(tmp_path / "s", values), depths, strict=True):
            changed(path, ImagePositionPatient=[-10, -20, depth])
        volume = read_dicom(tmp_path / "s")
        assert "unevenly spaced" in volume.warnings[0]
        assert volume.values.shape[2] == len(volume.headers) > 12
        positions = volume.affine[2, 3] + volume.affine[2, 2] * np.arange(volume.values.shape[2])
        np.testing.assert_allclose(volume.values[3, 3], np.interp(positions, depths, np.arange(12) * 10), atol=1e-3)

    def test_distances_that_are_too_unequal(self, tmp_path):
        depths = [0, 1, 2, 3, 7.5, 12, 16.5]
        for path, depth in zip(write_series(tmp_path / "s", head((8, 6, 7))), depths, strict=True):
            changed(path, ImagePositionPatient=[0, 0, depth])
        with pytest.raises(InputError, match=r"(?s)unevenly spaced.*1\.000 to 4\.500"):
            read_dicom(tmp_path / "s")


class TestValues:
    def test_monochrome1_inverts_the_display_of_the_volume_not_its_values(self, tmp_path):
        bright = head()
        bright[5, 5, ::3] = 3000  # its slices would each be inverted about another value
        write_series(tmp_path / "s", bright, PhotometricInterpretation="MONOCHROME1")
        volume = read_dicom(tmp_path / "s")
        np.testing.assert_array_equal(volume.values, np.rint(bright))
        assert volume.is_inverted

    @pytest.mark.parametrize("modality", ["PT", "CT"])
    def test_monochrome1_of_measured_values_is_how_they_are_printed(self, tmp_path, modality):
        tags = pet_tags() if modality == "PT" else {"SOPClassUID": CT_CLASS}
        write_series(tmp_path / "s", head(), **{**tags, "Modality": modality}, PhotometricInterpretation="MONOCHROME1")
        volume = read_dicom(tmp_path / "s")
        assert not volume.is_inverted
        assert volume.units == ("SUV" if modality == "PT" else "HU")
        assert volume.values.min() == 0

    @pytest.mark.parametrize(
        ("keyword", "value"), [("PhotometricInterpretation", "MONOCHROME1"), ("Units", "CNTS"), ("Modality", "MR")]
    )
    def test_slices_whose_values_mean_something_else(self, tmp_path, keyword, value):
        changed(write_series(tmp_path / "s", head(), **pet_tags())[2], **{keyword: value})
        with pytest.raises(InputError, match=f"differ in {keyword}"):
            read_dicom(tmp_path / "s")

    @pytest.mark.parametrize("padding", [{"PixelPaddingValue": 4095},
                                         {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}])  # fmt: skip
    def test_padding_is_no_value(self, tmp_path, padding):
        values = head()
        values[:4] = 4095
        write_series(tmp_path / "s", values, slope=2.0, intercept=-1.0, **{
            name: (value + 1) // 2 for name, value in padding.items()})  # fmt: skip
        volume = read_dicom(tmp_path / "s")
        assert not volume.valid[:4].any()
        assert volume.valid[4:].all()
        assert volume.values.max() < 2000

    def test_padding_that_was_written_as_unsigned(self, tmp_path):
        values = head() - 1000
        values[:4] = -2000
        files = write_series(tmp_path / "s", values, Modality="CT", SOPClassUID=CT_CLASS)
        for path in files:
            dataset = pydicom.dcmread(path)
            dataset.add_new("PixelPaddingValue", "US", 63536)
            dataset.save_as(path)
        assert not read_dicom(tmp_path / "s").valid[:4].any()

    def test_nothing_but_padding(self, tmp_path):
        write_series(tmp_path / "s", np.zeros((8, 6, 3)), PixelPaddingValue=0)
        with pytest.raises(InputError, match="padding"):
            read_dicom(tmp_path / "s")

    def test_an_empty_slope_is_one(self, tmp_path):
        write_series(tmp_path / "s", head(), RescaleSlope="", RescaleIntercept="")
        np.testing.assert_array_equal(read_dicom(tmp_path / "s").values, np.rint(head()))

    def test_a_slope_of_zero(self, tmp_path):
        write_series(tmp_path / "s", head(), RescaleSlope=0)
        with pytest.raises(InputError, match="RescaleSlope is 0"):
            read_dicom(tmp_path / "s")

    def test_an_empty_patient_is_nobody(self, tmp_path):
        write_series(tmp_path / "s", head(), PatientName="", PatientID="")
        assert read_dicom(tmp_path / "s").patient == ""


class TestElements:
    @pytest.mark.parametrize(
        ("keyword", "vr", "value"),
        [("PatientBirthDate", "US", 7), ("WindowCenter", "PN", "a^b"), ("RescaleSlope", "LO", "1.5"),
         ("PixelSpacing", "LO", "1\\x"), ("Rows", "LO", "36"), ("ImagePositionPatient", "UI", "1.2")],
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")
    def test_another_value_representation_than_the_standard_has(self, tmp_path, keyword, vr, value):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)))
        dataset = pydicom.dcmread(path)
        if keyword in dataset:
            del dataset[keyword]
        tag = pydicom.datadict.tag_for_keyword(keyword)
        dataset.add_new(tag, vr, value)
        dataset.save_as(path)
        with pytest.raises(InputError, match=f"(?s){path.name}.*{keyword}"):
            read_dicom(path)

    def test_a_value_representation_that_does_not_exist(self, tmp_path):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)), WindowCenter=40, WindowWidth=80)
        path.write_bytes(path.read_bytes().replace(b"\x28\x00\x51\x10DS", b"\x28\x00\x51\x10ZZ"))
        with pytest.raises(InputError, match="WindowWidth"):
            read_dicom(path)


class TestDeclaredSizes:
    def test_more_pixels_than_the_limit(self, tmp_path):
        write_series(tmp_path / "s", head((8, 6, 3)))
        with pytest.raises(InputError, match=r"(?s)at most 100\n.*144.*REFINEFUSE_MAX_PIXELS"):
            read_dicom(tmp_path / "s", max_voxels=100)

    @pytest.mark.parametrize("elements", [{"Rows": 65535, "Columns": 65535}, {"Rows": 20_000, "Columns": 20_000},
                                          {"NumberOfFrames": 2_000_000_000, "Modality": "NM"},
                                          {"NumberOfFrames": 2_147_483_647}])  # fmt: skip
    def test_more_pixels_than_the_file_holds(self, tmp_path, elements):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)))
        changed(path, **elements)
        with pytest.raises(InputError, match="limit|missing"):
            read_dicom(path)

    def test_a_compressed_frame_that_declares_far_more(self, tmp_path):
        source = pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm", download=False)
        shutil.copy(source, tmp_path / "x.dcm")
        changed(tmp_path / "x.dcm", Rows=30_000, Columns=30_000)
        with pytest.raises(InputError, match="missing"):
            read_dicom(tmp_path / "x.dcm")

    def test_more_frames_than_declared(self, tmp_path):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)))
        dataset = pydicom.dcmread(path)
        dataset.PixelData = dataset.PixelData * 2
        dataset.save_as(path)
        with pytest.raises(InputError, match="192 bytes of pixels, not 96"):
            read_dicom(path)

    def test_a_deflated_file(self, tmp_path, monkeypatch):
        (path,) = write_series(tmp_path / "s", head((8, 6, 1)))
        expected = read_dicom(path).values
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
        np.testing.assert_array_equal(read_dicom(path).values, expected)
        monkeypatch.setattr(pixels, "_MAX_INFLATED", 100)
        with pytest.raises(InputError, match="deflated"):
            read_dicom(path)


class TestDecoders:
    def damaged(self, tmp_path):
        source = pydicom.data.get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
        path = tmp_path / "x.dcm"
        shutil.copy(source, path)
        return path

    def test_a_decoder_that_crashes(self, tmp_path, monkeypatch):
        (tmp_path / "gdcm.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(InputError, match=r"(?s)x\.dcm.*crashed"):
            read_dicom(self.damaged(tmp_path))

    def test_a_decoder_that_never_ends(self, tmp_path, monkeypatch):
        (tmp_path / "gdcm.py").write_text("while True: pass")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(pixels, "_SECONDS", 1.0)
        with pytest.raises(InputError, match=r"(?s)x\.dcm.*out of time"):
            read_dicom(self.damaged(tmp_path))

    def test_a_frame_that_is_damaged(self, tmp_path):
        path = self.damaged(tmp_path)
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\xf7")  # start of frame of JPEG-LS
        data[at + 5 : at + 9] = b"\xff\xff\xff\xff"  # its height and width
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"Cannot decode '.*x\.dcm'"):
            read_dicom(path)
