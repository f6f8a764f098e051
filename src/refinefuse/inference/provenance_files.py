"""Read the provenance record from any kind of output."""

from __future__ import annotations

import os
from pathlib import Path

from refinefuse.errors import InputError
from refinefuse.image.medical.dicom_files import is_dicom
from refinefuse.image.medical.elements import quiet_pydicom
from refinefuse.image.medical.nifti import is_nifti
from refinefuse.image.medical.volume import load
from refinefuse.image.metadata import read_metadata
from refinefuse.inference.provenance import Provenance, find_text
from refinefuse.inference.video.frames import import_av
from refinefuse.inference.video.sources import VIDEO_EXTENSIONS


def read_provenance(path: str | os.PathLike[str]) -> Provenance | None:
    """What made a result of refinefuse; None if the file has no record of it.

    Args:
        path: an image, a video, a NIfTI file, a DICOM file or a folder of DICOM files.

    Raises:
        InputError: if there is no such file, or it cannot be read.
        MissingDependencyError: if the library that reads videos or volumes is not installed.
    """
    file = Path(path)
    if not file.exists():
        raise InputError(f"Cannot read '{file}': there is no such file.\nCheck the path.")
    text: str | None
    if file.suffix.lower() in VIDEO_EXTENSIONS and file.is_file():
        text = _of_video(file)
    elif is_nifti(file):
        text = _of_nifti(file)
    elif is_dicom(file):
        text = _of_dicom(file)
    elif file.is_dir():
        raise InputError(f"Cannot read '{file}': it is a folder.\nPass one of the results in it.")
    else:
        text = find_text(read_metadata(file).xmp)
    return Provenance.from_text(text)


def _of_video(path: Path) -> str:
    av = import_av()
    try:
        with av.open(str(path)) as container:
            return "\n".join(container.metadata.values())
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(path, "video", error) from None


def _of_nifti(path: Path) -> str:
    nibabel = load("nibabel")
    try:
        extensions = nibabel.load(path).header.extensions
        return "\n".join(extension.content.decode("utf-8", "replace") for extension in extensions)
    except Exception as error:  # nibabel raises many kinds for damaged files
        raise _unreadable(path, "NIfTI file", error) from None


def _of_dicom(path: Path) -> str:
    pydicom = load("pydicom")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file() and is_dicom(file))
    try:
        with quiet_pydicom():
            header = pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
            equipment = header.get("ContributingEquipmentSequence", [])
            return "\n".join(str(item.get("ContributionDescription", "")) for item in equipment)
    except Exception as error:  # pydicom raises many kinds for damaged files
        raise _unreadable(path, "DICOM file", error) from None


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    return InputError(f"Cannot read '{path}': it is not a {kind}, or it is damaged.\n  got: {error}\nCopy it again.")
