"""Fused volumes as DICOM: the object, its geometry, its references, and what anonymization leaves."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from refinefuse._version import __version__
from refinefuse.errors import InputError
from refinefuse.image.medical.dicom import read_dicom
from refinefuse.image.medical.secondary_capture import DerivationText, check_series_folder, write_secondary_capture
from refinefuse.image.medical.volume import display_orientation, reorient
from series import CT_CLASS, head, pet_tags, read_series, tilt, write_series

NOTHING = DerivationText()
DCIODVFY = shutil.which("dciodvfy")
STUDY = {
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.3.9.8",
    "StudyID": "7",
    "StudyDate": "20240506",
    "StudyTime": "101010",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "Roe^Max",
    "BodyPartExamined": "HEAD",
}


@pytest.fixture
def sources(tmp_path):
    """An oblique CT and a PET of one study."""
    write_series(tmp_path / "ct", head() - 500, Modality="CT", SOPClassUID=CT_CLASS, axes=tilt(15), **STUDY)
    write_series(tmp_path / "pt", head(seed=1), axes=tilt(15), slope=10.0, **pet_tags(**STUDY))
    return [read_dicom(tmp_path / "ct"), read_dicom(tmp_path / "pt")]


def written(folder, sources, *, color=True, anonymize=False, provenance=NOTHING):
    grid = sources[-1]
    order, signs, affine = display_orientation(grid.affine, grid.values.shape)
    images = reorient(grid.values / grid.values.max(), order, signs)
    if color:
        images = np.stack([np.rint(images * 255).astype(np.uint8)] * 3, -1)
    write_secondary_capture(folder, images, affine, sources, anonymize=anonymize, provenance=provenance)
    return pydicom.dcmread(folder / "fused.dcm"), images, affine


@pytest.mark.parametrize("color", [True, False])
def test_pixels_and_geometry(sources, tmp_path, color):
    dataset, images, affine = written(tmp_path / "out", sources, color=color)
    for k in (0, 5, 11):
        expected = images[:, :, k] if color else np.rint(images[:, :, k] * 65535)
        np.testing.assert_allclose(dataset.pixel_array[k], expected, atol=0 if color else 1)
        position = dataset.PerFrameFunctionalGroupsSequence[k].PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(np.array(position, float) * [-1, -1, 1], affine[:3] @ [0, 0, k, 1], atol=1e-6)
    if not color:
        again = read_dicom(tmp_path / "out")
        np.testing.assert_allclose(again.affine, sources[-1].affine, atol=1e-6)
        np.testing.assert_array_equal(again.values.shape, sources[-1].values.shape)


def test_orientation_of_the_patient(tmp_path):
    write_series(tmp_path / "mr", head())
    dataset, _, _ = written(tmp_path / "out", [read_dicom(tmp_path / "mr")])
    assert list(dataset.PatientOrientation) == ["L", "P"]


def test_what_made_it_and_what_it_was_made_from(sources, tmp_path):
    dataset, _, _ = written(
        tmp_path / "out", sources, provenance=DerivationText("Weights medical.", "Weights medical, sha256 0123.")
    )
    (equipment,) = dataset.ContributingEquipmentSequence
    assert "Weights medical, sha256 0123." in equipment.ContributionDescription
    assert dataset.DerivationDescription.startswith("Fusion of CT + PET. Weights medical. Made by RefineFuse.")
    assert equipment.SoftwareVersions
    assert "not for diagnosis" in dataset.SeriesDescription.lower()
    assert "Not a medical device" in dataset.ImageComments
    assert (dataset.FrameOfReferenceUID, dataset.BodyPartExamined) == ("1.2.3.4", "HEAD")
    known = {str(one.SOPInstanceUID) for folder in ("ct", "pt") for one in read_series(tmp_path / folder)}
    assert {str(one.ReferencedSOPInstanceUID) for one in dataset.SourceImageSequence} == known
    assert {one.PurposeOfReferenceCodeSequence[0].CodeValue for one in dataset.SourceImageSequence} == {"121322"}
    instances = [one for series in dataset.ReferencedSeriesSequence for one in series.ReferencedInstanceSequence]
    assert {str(one.ReferencedSOPInstanceUID) for one in instances} == known
    assert dataset.SOPInstanceUID not in known


@pytest.mark.parametrize(("declared", "expected"), [((None, None), "YES"), (("NO", None), "YES"), (("NO", "NO"), "NO"),
                                                    (("YES", "NO"), "YES")])  # fmt: skip
def test_burned_in_annotation_is_denied_only_if_all_sources_deny_it(sources, tmp_path, declared, expected):
    for source, value in zip(sources, declared, strict=True):
        if value is not None:
            source.headers[0].BurnedInAnnotation = value
    assert written(tmp_path / "out", sources)[0].BurnedInAnnotation == expected


@pytest.mark.filterwarnings("ignore:Invalid value")  # of this test
def test_damaged_identities_are_left_out(sources, tmp_path):
    for header in sources[-1].headers:
        del header.SOPInstanceUID
        header.StudyInstanceUID = "no UID"
    dataset, _, _ = written(tmp_path / "out", sources)
    assert dataset.StudyInstanceUID.is_valid
    assert len(dataset.SourceImageSequence) == len(sources[0].headers)


def test_the_same_volume_gets_the_same_bytes(sources, tmp_path):
    written(tmp_path / "1", sources)
    written(tmp_path / "2", sources)
    assert (tmp_path / "1/fused.dcm").read_bytes() == (tmp_path / "2/fused.dcm").read_bytes()


TEXTS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
VALUES = {"AS": "042Y", "DA": "19420131", "DS": "4242.42", "DT": "19420131424242", "IS": "424242", "TM": "042042.4242"}
#: What reading relies on, and our own result may therefore equal.
NEEDED = {"Modality", "SOPClassUID", "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient",
          "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "WindowCenter",
          "WindowWidth", "NumberOfFrames", "TransferSyntaxUID", "SpecificCharacterSet"}  # fmt: skip


def marked(path):
    """Fill every element of DICOM's dictionary that holds text, date, number or UID, also in private groups."""
    dataset, expected = pydicom.dcmread(path), []
    for tag, (kind, _, _, _, keyword) in DicomDictionary.items():
        if kind not in TEXTS or not keyword or keyword in NEEDED or not 0x0008 <= tag >> 16 < 0x5000:
            continue
        value = f"1.9.42.{tag}" if kind == "UI" else VALUES.get(kind, f"MARK{tag:08X}")
        dataset.add_new(tag, kind, value)
        expected.append(value)
    block = dataset.private_block(0x0029, "MARKPRIVATE", create=True)
    block.add_new(1, "LO", "MARKPRIVATEVALUE")
    item = Dataset()
    item.add_new(0x00100010, "PN", "MARKNESTED")
    dataset.add_new(0x00101002, "SQ", [item])
    dataset.save_as(path)
    return {*expected, "MARKPRIVATE", "MARKNESTED"}


@pytest.mark.filterwarnings("ignore")  # pydicom's remarks on the values of this test
def test_anonymized_results_hold_nothing_of_any_element(tmp_path):
    markers = set()
    for path in write_series(tmp_path / "mr", head((12, 10, 3))):
        markers |= marked(path)
    source = read_dicom(tmp_path / "mr")
    written(tmp_path / "out", [source], anonymize=True)
    content = (tmp_path / "out/fused.dcm").read_bytes()
    assert len(markers) > 1000
    assert not [marker for marker in markers if marker.encode() in content]
    written(tmp_path / "named", [source])
    assert b"MARK00100010" in (tmp_path / "named/fused.dcm").read_bytes()  # so the test can fail


#: Annex E of PS3.15, table E.1-1, basic profile: the elements that an anonymized result has, and what they hold.
REPLACED = {
    "AccessionNumber": "", "ContentDate": "19000101", "ContentTime": "000000", "DeidentificationMethod": "RefineFuse",
    "DerivationDescription": "Fusion of MRI", "ImageComments": "Made by RefineFuse", "Laterality": "",
    "Manufacturer": "RefineFuse", "ManufacturerModelName": "RefineFuse", "PatientBirthDate": "",
    "PatientID": "ANONYMOUS-", "PatientName": "Anonymous^Patient", "PatientSex": "", "PositionReferenceIndicator": "",
    "ReferringPhysicianName": "", "SeriesDescription": "Fused MRI", "SoftwareVersions": __version__,
    "StudyDate": "19000101", "StudyID": "1", "StudyTime": "000000",
}  # fmt: skip
NEW_UIDS = {"FrameOfReferenceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyInstanceUID"}
#: What says how pixels are stored, shown and located, and that the profile does not name.
OF_PIXELS = {
    "BitsAllocated", "BitsStored", "BurnedInAnnotation", "Columns", "ContributingEquipmentSequence", "ConversionType",
    "DeidentificationMethodCodeSequence", "FrameIncrementPointer", "HighBit", "ImageType", "InstanceNumber",
    "LongitudinalTemporalInformationModified", "Modality", "NumberOfFrames", "PatientIdentityRemoved",
    "PatientOrientation", "PerFrameFunctionalGroupsSequence", "PhotometricInterpretation", "PixelData",
    "PixelRepresentation", "PlanarConfiguration", "PresentationLUTShape", "RescaleIntercept", "RescaleSlope",
    "RescaleType", "Rows", "SamplesPerPixel", "SeriesNumber", "SharedFunctionalGroupsSequence", "SOPClassUID",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize("color", [True, False])
def test_every_element_of_an_anonymized_result_is_accounted_for(color, tmp_path):
    """Each is ours, new, or says how pixels are stored: all others of the profile's table are absent."""
    for path in write_series(tmp_path / "mr", head((12, 10, 3))):
        marked(path)
    source = read_dicom(tmp_path / "mr")
    dataset, _, _ = written(tmp_path / "out", [source], anonymize=True, color=color)
    elements = {element.keyword: element for element in dataset}
    assert not [element for element in dataset.iterall() if element.tag.is_private]
    assert elements.keys() <= REPLACED.keys() | NEW_UIDS | OF_PIXELS
    for keyword, start in REPLACED.items():
        found = str(elements[keyword].value)
        assert found.startswith(start) if start else found == "", keyword
    old = {str(element.value) for element in source.headers[0].iterall() if element.VR == "UI"}
    assert not NEW_UIDS - elements.keys()
    assert not {str(elements[keyword].value) for keyword in NEW_UIDS} & old
    dates = {str(element.value) for element in dataset.iterall() if element.VR in ("DA", "DT", "TM")}
    assert dates == {"", "19000101", "000000"}


def test_the_profile_of_anonymization_is_declared(sources, tmp_path):
    first, _, _ = written(tmp_path / "1", sources, anonymize=True)
    second, _, _ = written(tmp_path / "2", sources, anonymize=True)
    assert first.PatientIdentityRemoved == "YES"
    assert first.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert first.LongitudinalTemporalInformationModified == "REMOVED"
    assert first.BurnedInAnnotation == "YES"  # nobody has looked
    assert first.StudyDate == "19000101"
    assert "SourceImageSequence" not in first
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert first[name].value != second[name].value


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy (Debian: dicom3tools) is not installed")
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("anonymize", [True, False])
def test_dciodvfy_has_nothing_to_say(sources, tmp_path, color, anonymize):
    written(
        tmp_path / "out",
        sources,
        color=color,
        anonymize=anonymize,
        provenance=DerivationText("Weights medical.", '{"weights": "medical"}'),
    )
    found = subprocess.run([DCIODVFY, "-new", tmp_path / "out/fused.dcm"], capture_output=True, text=True, check=False)
    assert "SCImage" in found.stderr + found.stdout
    assert "Error" not in found.stderr + found.stdout
    assert "Warning" not in found.stderr + found.stdout


class TestRefused:
    def test_rows_and_columns_at_an_angle(self, tmp_path):
        affine = np.eye(4)
        affine[0, 1] = 0.1
        with pytest.raises(InputError, match="right angles"):
            write_secondary_capture(tmp_path / "o", np.zeros((4, 4, 2), np.float32), affine, [], anonymize=False)

    def test_more_than_a_file_holds(self, tmp_path):
        images = np.broadcast_to(np.float32(0), (2**15, 2**15, 4))
        with pytest.raises(InputError, match="too large"):
            write_secondary_capture(tmp_path / "o", images, np.eye(4), [], anonymize=False)

    def test_folders_with_something_in_them(self, tmp_path):
        (tmp_path / "fused.dcm").write_bytes(b"")
        check_series_folder(tmp_path, overwrite=True)
        with pytest.raises(InputError, match="`overwrite`"):
            check_series_folder(tmp_path, overwrite=False)
        (tmp_path / "mine.txt").write_text("1")
        with pytest.raises(InputError, match="not empty"):
            check_series_folder(tmp_path, overwrite=True)
