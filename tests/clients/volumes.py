"""Medical volumes: objects, geometry and values by DICOM and NIfTI programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from outputs import Outputs
from programs import Client, run


def _dicoms(outputs: Outputs) -> dict[str, Path]:
    return {name: path for name, path in outputs.volumes.items() if path.suffix == ".dcm"}


def _niftis(outputs: Outputs) -> dict[str, Path]:
    return {name: path for name, path in outputs.volumes.items() if path.suffix == ".gz"}


def _reference(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values (x, y, z) in [0, 1], RGB last, and the affine of a NIfTI file, by nibabel."""
    import nibabel

    image = nibabel.load(path)
    values = np.asanyarray(image.dataobj)
    if values.dtype.names:
        return np.stack([values[name] for name in values.dtype.names], -1) / 255, image.affine
    return values.astype(np.float64), image.affine


def _centers(affine: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Where the corners of a volume lie, whatever the order of its axes, sorted."""
    corners = np.array([[i, j, k, 1] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    points = np.round((corners @ affine.T)[:, :3], 2) + 0.0
    return points[np.lexsort(points.T)]


def _by_nibabel(outputs: Outputs) -> str:
    """Every slice is what the API returns for the slices of the sources."""
    values, affine = _reference(outputs.volumes["gray.nii.gz"])
    assert values.min() >= 0, values.min()
    assert values.max() <= 1, values.max()
    assert np.linalg.det(affine[:3, :3]) != 0
    for name in ("gray", "color"):
        found, matrix = _reference(outputs.volumes[f"{name}.nii.gz"])
        for frames, _ in _frames(outputs.volumes[name]):
            levels = np.sort((found * 255).round().ravel())
            difference = np.abs(levels - np.sort(frames.ravel() * 255)).max()
            assert difference < 1, f"{name}: {difference} levels between NIfTI and DICOM"
        assert np.allclose(matrix, affine if name == "gray" else matrix)
    return "values in [0, 1]; the same volume as DICOM within 1 level"


def _frames(path: Path) -> Iterator[tuple[NDArray[Any], Any]]:
    import pydicom

    dataset = pydicom.dcmread(path)
    scale = 255 if dataset.SamplesPerPixel == 3 else 65535
    yield dataset.pixel_array / scale, dataset


def _by_pydicom(outputs: Outputs) -> str:
    for name, path in _dicoms(outputs).items():
        (frames, dataset) = next(_frames(path))
        groups = dataset.PerFrameFunctionalGroupsSequence
        assert len(groups) == len(frames) == dataset.NumberOfFrames, name
        anonymous = name.endswith("anonymous")
        assert ("Doe" in str(dataset.PatientName)) != anonymous, name
        assert ("SourceImageSequence" in dataset) != anonymous, name
    return "positions of every frame, references to the sources, no name in anonymized files"


def _by_simpleitk(outputs: Outputs) -> str:
    import SimpleITK

    for name, path in _niftis(outputs).items():
        values, affine = _reference(path)
        image = SimpleITK.ReadImage(str(path))
        found = np.moveaxis(SimpleITK.GetArrayFromImage(image), [0, 1, 2], [2, 1, 0])
        assert np.allclose(found / (255 if found.ndim == 4 else 1), values, atol=1e-6), name
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        matrix[:3, 3] = image.GetOrigin()
        assert np.allclose(np.diag([-1, -1, 1, 1]) @ matrix, affine, atol=1e-4), f"{name}: another geometry"
    for name, path in _dicoms(outputs).items():
        frames, _ = next(_frames(path))
        found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        assert np.allclose(found / (255 if found.ndim == 4 else 65535), frames, atol=1e-4), name
    return "values and geometry of NIfTI as nibabel's; values of DICOM as pydicom's"


def _dciodvfy(outputs: Outputs) -> str:
    for name, path in _dicoms(outputs).items():
        said = run("dciodvfy", path, codes=(0, 1))
        complaints = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
        assert not complaints, f"{name}: {complaints[0]}"
    return f"{len(_dicoms(outputs))} files: no error, no warning"


def _dcmtk(outputs: Outputs) -> str:
    import cv2

    for name, path in _dicoms(outputs).items():
        assert run("dcmftest", path).startswith("yes"), name
        run("dcmdump", path)
        run("dcm2pnm", "+F", 3, path, image := path.with_suffix(".pnm"))
        frames, dataset = next(_frames(path))
        if dataset.SamplesPerPixel == 3:
            found = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
            assert np.array_equal(found, np.rint(frames[2] * 255)), f"{name}: other pixels than pydicom's"
    return "valid; a frame in color as pydicom's, difference 0"


def _gdcm(outputs: Outputs) -> str:
    for name, path in _dicoms(outputs).items():
        said = run("gdcminfo", path)
        assert "Secondary Capture" in said, f"{name}: {said[:80]}"
    return "reads all"


def _dcm2niix(outputs: Outputs) -> str:
    import nibabel

    for name in ("gray", "color"):
        folder = outputs.folder / f"niix-{name}"
        folder.mkdir(exist_ok=True)
        run("dcm2niix", "-f", "out", "-o", folder, outputs.volumes[name].parent)
        (path,) = folder.glob("*.nii")
        values, affine = _reference(outputs.volumes[f"{name}.nii.gz"])
        found = nibabel.load(path)
        assert np.allclose(_centers(found.affine, found.shape), _centers(affine, values.shape), atol=0.02), (
            f"{name}: another position"
        )
    return "the same eight corners as our NIfTI file (oblique)"


def _nifti_tool(outputs: Outputs) -> str:
    for name, path in _niftis(outputs).items():
        for what in ("-check_hdr", "-check_nim"):
            assert "IS GOOD" in run("nifti_tool", what, "-infiles", path), f"{name}: {what}"
    return "headers are good"


_DICOM, _NIFTI = "DICOM, gray and color, anonymized too", "NIfTI, gray and color"

CLIENTS = (
    Client("nibabel", _NIFTI, _by_nibabel, "nibabel"),
    Client("pydicom", _DICOM, _by_pydicom, "pydicom"),
    Client("SimpleITK", f"{_NIFTI}; {_DICOM}", _by_simpleitk, "SimpleITK"),
    Client("dciodvfy", _DICOM, _dciodvfy, "dicom3tools", ("dciodvfy", "-version")),
    Client("DCMTK", _DICOM, _dcmtk, "dcmtk", ("dcmdump", "--version")),
    Client("GDCM", _DICOM, _gdcm, "libgdcm-tools", ("gdcminfo", "--version")),
    Client("dcm2niix", _DICOM, _dcm2niix, "dcm2niix", ("dcm2niix", "--version")),
    Client("nifti_tool", _NIFTI, _nifti_tool, "nifti-bin", ("nifti_tool", "-ver")),
)
