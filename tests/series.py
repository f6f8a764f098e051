"""DICOM series and NIfTI files made by the tests."""

from datetime import date
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_CLASS, MR_CLASS, PET_CLASS = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128"))


def tilt(degrees: float) -> np.ndarray:
    """Row and column directions of an oblique slice (LPS)."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle) * 0.8, np.cos(angle) * 0.8, 0.6]])


def write_series(folder: Path, values: np.ndarray, *, axes=None, origin=(-10.0, -20.0, 30.0), spacing=(0.8, 0.5, 3.0),
                 slope=1.0, intercept=0.0, study="1.2.3", **tags) -> list[Path]:  # fmt: skip
    """A series of single slices from (i, j, k) values; `spacing` is along i, j, k in millimeters.

    Files are named so that their order is not that of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    axes = np.eye(3)[:2] if axes is None else axes
    normal = np.cross(*axes)
    series, files = generate_uid(), []
    stored = np.rint((values - intercept) / slope).astype(np.int16)
    for k in range(values.shape[2]):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = tags.get("SOPClassUID", MR_CLASS), generate_uid()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "J1", "19700101"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = study, series, 3
        dataset.FrameOfReferenceUID, dataset.Modality = "1.2.3.4", "MR"
        dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
        dataset.ImagePositionPatient = [float(x) for x in np.array(origin) + k * spacing[2] * normal]
        dataset.ImageOrientationPatient = [float(x) for x in axes.ravel()]
        dataset.PixelSpacing = [spacing[1], spacing[0]]
        dataset.SliceThickness = spacing[2]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
        path = folder / f"{(k * 7) % 11:02d}_{k:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def pet_tags(**changes) -> dict:
    """What the SUV by body weight needs: 400 MBq of F-18 an hour before, 80 kg."""
    dose = Dataset()
    dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = 4e8, 6586.2
    dose.RadiopharmaceuticalStartTime = "110000"
    tags = {
        "Modality": "PT",
        "SOPClassUID": PET_CLASS,
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["ATTN", "DECY"],
        "PatientWeight": 80,
        "SeriesDate": date(2024, 5, 6).strftime("%Y%m%d"),
        "SeriesTime": "120000",
        "AcquisitionDate": "20240506",
        "AcquisitionTime": "120000.5",
        "RadiopharmaceuticalInformationSequence": [dose],
    }
    return {**tags, **changes}


def head(shape=(40, 36, 12), seed=0) -> np.ndarray:
    """Smooth values from 0 to about 1000: a ball with a brighter one inside."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    return (600 * (radius < 0.9) + 350 * (radius < 0.4) + noise * (radius < 0.9)).clip(0).astype(np.float32)


def read_series(folder: Path) -> list[pydicom.Dataset]:
    """All files of a folder, by name."""
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
