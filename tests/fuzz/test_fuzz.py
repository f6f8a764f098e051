"""A short slice of `make fuzz`: every reader answers damaged files by an error of the package or a result."""

import pytest
from harness import fuzz
from readers import READERS

NEEDS = {"dicom": "pydicom", "dicom-frames": "pydicom", "nifti": "nibabel", "nifti-gz": "nibabel"}
NEEDS |= {"mp4": "av", "mkv": "av", "avi": "av", "onnx": "onnxruntime"}
NEEDS |= {"checkpoint": "lightning", "recipe": "lightning"}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    failures = [outcome for outcome in fuzz(name, 40, seed=1) if not outcome.is_right]
    assert not failures
