"""DICOM series as volumes: geometry, units, and what is refused."""

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from refinefuse.errors import InputError, MissingDependencyError
from refinefuse.image.medical import dicom
from refinefuse.image.medical.dicom import is_dicom, read_dicom
from series import CT_CLASS, head, tilt, write_series


def bundled(name):
    return dicom.Path(get_testdata_file(name, download=False))


def at(volume, i, j, k):
    """The position of a voxel in LPS, as in DICOM."""
    position = volume.affine @ [i, j, k, 1]
    return np.array([-position[0], -position[1], position[2]])


@pytest.mark.parametrize("degrees", [0, 25, -160])
def test_every_voxel_lies_where_the_tags_say(tmp_path, degrees):
    values, axes = head(), tilt(degrees)
    write_series(tmp_path / "s", values, axes=axes, spacing=(0.8, 0.5, 3.1))
    volume = read_dicom(tmp_path / "s")
    np.testing.assert_array_equal(volume.values, np.rint(values))
    position = np.array([-10, -20, 30]) + 5 * 0.8 * axes[0] + 7 * 0.5 * axes[1] + 11 * 3.1 * np.cross(*axes)
    np.testing.assert_allclose(at(volume, 5, 7, 11), position, atol=1e-4)
    np.testing.assert_allclose(volume.spacing, (0.8, 0.5, 3.1), atol=1e-5)


def test_slope_and_intercept_give_hounsfield_units(tmp_path):
    values = np.round(head() - 1000)
    write_series(tmp_path / "s", values, intercept=-1024, Modality="CT", SOPClassUID=CT_CLASS, WindowCenter=[40, 300],
                 WindowWidth=[80, 1500])  # fmt: skip
    volume = read_dicom(tmp_path / "s")
    np.testing.assert_array_equal(volume.values, values)
    assert (volume.modality, volume.units, volume.window) == ("CT", "HU", (40, 80))


def test_a_single_file_is_a_volume_of_one_slice():
    volume = read_dicom(bundled("CT_small.dcm"))
    assert volume.values.shape == (128, 128, 1)
    assert volume.units == "HU"
    np.testing.assert_allclose(at(volume, 0, 0, 0), (-158.135803, -179.035797, -75.699997))
    assert volume.values.min() == -896


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_compressed_files_hold_the_same_values(name):
    np.testing.assert_array_equal(read_dicom(bundled(name)).values, read_dicom(bundled("MR_small.dcm")).values)


def test_a_decoder_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "gdcm.py").write_text("raise ImportError")
    (tmp_path / "PIL.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)  # the decoder's process searches where this one does
    with pytest.raises(MissingDependencyError, match=r"(?s)JPEG-LS Lossless.*refinefuse\[medical\]"):
        read_dicom(bundled("MR_small_jpeg_ls_lossless.dcm"))


def test_bundled_study_holds_several_series():
    folder = bundled("dicomdirtests/98892003/MR2/6273").parents[1]
    with pytest.raises(InputError, match=r"(?s)several series.*`series`"):
        read_dicom(folder)
    with pytest.raises(InputError, match="no series '99'"):
        read_dicom(folder, "99")
    with pytest.raises(InputError, match="several series '1'"):  # three localizers share the number
        read_dicom(folder, "1")


def test_bundled_ct_series():
    volume = read_dicom(bundled("dicomdirtests/98892001/CT5N/2062").parent)
    assert volume.values.shape == (16, 16, 5)
    np.testing.assert_allclose(volume.spacing, (0.488281, 0.488281, 2.5), atol=1e-5)
    assert volume.units == "HU"


def test_series_are_chosen_by_number_or_uid(tmp_path):
    write_series(tmp_path / "s/one", head(), SeriesNumber=1, SeriesDescription="T1")
    files = write_series(tmp_path / "s/two", head(seed=1), SeriesNumber=2, SeriesDescription="T2")
    with pytest.raises(InputError, match=r"(?s)1: MR, 12 files, 'T1'.*2: MR, 12 files, 'T2'"):
        read_dicom(tmp_path / "s")
    uid = str(pydicom.dcmread(files[0]).SeriesInstanceUID)
    np.testing.assert_array_equal(read_dicom(tmp_path / "s", "2").values, read_dicom(tmp_path / "s", uid).values)


def enhanced(tmp_path, count=4):
    """A multi-frame MR whose frames are stored out of order, each with a slope of its own."""
    (path,) = write_series(tmp_path / "e", head((20, 18, 1)))
    dataset = pydicom.dcmread(path)
    frames = np.arange(count * 18 * 20, dtype=np.int16).reshape(count, 18, 20)
    shared, groups = Dataset(), []
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1.0, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.8], 2.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    order = np.random.default_rng(0).permutation(count)
    for frame in range(count):
        group, position, scale = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [1.0, 2.0, 2.5 * int(order[frame])]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = int(order[frame]) + 1, -3, "US"
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [position], [scale]
        groups.append(group)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], groups
    dataset.NumberOfFrames, dataset.PixelData = count, frames.tobytes()
    dataset.save_as(path)
    return path, frames, order


def test_frames_of_an_enhanced_file(tmp_path):
    path, frames, order = enhanced(tmp_path)
    volume = read_dicom(path)
    np.testing.assert_allclose(volume.spacing, (0.8, 0.5, 2.5))
    for frame, k in enumerate(order):
        np.testing.assert_array_equal(volume.values[:, :, k], frames[frame].T * (k + 1) - 3)


def test_spect_keeps_its_geometry_with_the_detector(tmp_path):
    (path,) = write_series(tmp_path / "n", head((20, 18, 1)), Modality="NM")
    dataset = pydicom.dcmread(path)
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [5.0, 6, 7], [1.0, 0, 0, 0, 1, 0]
    dataset.DetectorInformationSequence, dataset.NumberOfFrames, dataset.SpacingBetweenSlices = [detector], 3, -4.0
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    frames = np.arange(3 * 18 * 20, dtype=np.int16).reshape(3, 18, 20)
    dataset.PixelData = frames.tobytes()
    dataset.save_as(path)
    volume = read_dicom(path)
    np.testing.assert_array_equal(volume.values[:, :, 0], frames[2].T)  # the lowest slice first
    np.testing.assert_allclose(at(volume, 0, 0, 2), (5, 6, 7))
    np.testing.assert_allclose(at(volume, 0, 0, 0), (5, 6, -1))


class TestRefused:
    @pytest.mark.parametrize(("gone", "missing"), [((5,), 1), ((6, 7, 8), 3)])
    def test_missing_slices(self, tmp_path, gone, missing):
        files = write_series(tmp_path / "s", head())
        for k in gone:
            files[k].unlink()
        with pytest.raises(InputError, match=rf"(?s)missing: about {missing} after.*3\.000 mm"):
            read_dicom(tmp_path / "s")

    def test_two_volumes_in_one_series(self, tmp_path):
        write_series(tmp_path / "s", head(), SeriesInstanceUID="1.2.3.5")
        write_series(tmp_path / "s/later", head(), SeriesInstanceUID="1.2.3.5")
        with pytest.raises(InputError, match="several slices at the same position"):
            read_dicom(tmp_path / "s")

    def test_slices_of_another_orientation(self, tmp_path):
        write_series(tmp_path / "s", head(), SeriesInstanceUID="1.2.3.5")
        write_series(tmp_path / "s/scout", head(), SeriesInstanceUID="1.2.3.5", axes=tilt(40))
        with pytest.raises(InputError, match="localizers"):
            read_dicom(tmp_path / "s")

    def test_a_slice_that_is_shifted_sideways(self, tmp_path):
        files = write_series(tmp_path / "s", head())
        dataset = pydicom.dcmread(files[4])
        dataset.ImagePositionPatient[0] += 2
        dataset.save_as(files[4])
        with pytest.raises(InputError, match="not aligned"):
            read_dicom(tmp_path / "s")

    def test_no_pixel_data(self, tmp_path):
        with pytest.raises(InputError, match="RTPLAN without pixel data"):
            read_dicom(bundled("rtplan.dcm"))
        (path,) = write_series(tmp_path / "s", head((8, 8, 1)))
        dataset = pydicom.dcmread(path)
        del dataset.PixelData
        dataset.save_as(path)
        with pytest.raises(InputError, match="no pixel data"):
            read_dicom(path)

    def test_truncated_pixels(self):
        with pytest.raises(InputError, match="Cannot decode"):
            read_dicom(bundled("MR_truncated.dcm"))

    def test_colors(self):
        with pytest.raises(InputError, match="colors"):
            read_dicom(bundled("SC_rgb_small_odd.dcm"))

    def test_no_geometry(self):
        with pytest.raises(InputError, match="no position"):
            read_dicom(bundled("JPEG2000.dcm"))

    def test_a_segmentation(self):
        with pytest.raises(InputError, match="no position"):
            read_dicom(bundled("liver_1frame.dcm"))

    def test_no_dicom(self, tmp_path):
        (tmp_path / "x.dcm").write_bytes(b"hello")
        with pytest.raises(InputError, match="not a DICOM file"):
            read_dicom(tmp_path / "x.dcm")
        with pytest.raises(InputError, match="no such file"):
            read_dicom(tmp_path / "y.dcm")


def test_what_counts_as_dicom(tmp_path):
    assert is_dicom(bundled("CT_small.dcm"))
    assert is_dicom(bundled("dicomdirtests/98892003/MR2/6273"))  # without a suffix
    assert is_dicom(bundled("dicomdirtests/98892003/MR2/6273").parents[1])
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "no")
    (tmp_path / "a.png").write_bytes(b"")
    assert not is_dicom(tmp_path)
    write_series(tmp_path / "s", head((8, 8, 1)))
    assert is_dicom(tmp_path)
