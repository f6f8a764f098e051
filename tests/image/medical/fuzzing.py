"""Mutate DICOM and NIfTI files and read them: a refusal or a volume, never anything else.

`python tests/image/medical/fuzzing.py COUNT [FIRST]` reads COUNT mutated inputs and reports what went wrong; an input
is known by its number alone. Each is read in a process with bounded memory, which is started again if one ends it.
"""

import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import nibabel
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from refinefuse.errors import RefineFuseError
from refinefuse.image.medical.dicom import read_dicom
from refinefuse.image.medical.nifti import read_nifti
from refinefuse.image.medical.secondary_capture import write_secondary_capture
from refinefuse.image.medical.volume import display_orientation, reorient
from series import head, pet_tags, write_series

SECONDS, MEGABYTES = 30, 1024  # that an input may take
COMPRESSED = ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm")


def _dicom(folder: Path) -> list[bytes]:
    plain = write_series(folder / "mr", head((24, 20, 1)))[0]
    pet = write_series(folder / "pet", head((24, 20, 1)), slope=10.0, **pet_tags())[0]
    dataset = pydicom.dcmread(plain)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(folder / "deflated.dcm")
    jpeg = pydicom.dcmread(plain)
    frame = cv2.imencode(".jpg", (head((24, 20, 1))[:, :, 0].T / 4).astype(np.uint8))[1].tobytes()
    jpeg.BitsAllocated, jpeg.BitsStored, jpeg.HighBit, jpeg.PixelRepresentation = 8, 8, 7, 0
    jpeg.PixelData, jpeg.file_meta.TransferSyntaxUID = encapsulate([frame]), JPEGBaseline8Bit
    jpeg["PixelData"].VR = "OB"
    jpeg.save_as(folder / "jpeg.dcm")
    own = [plain.read_bytes(), pet.read_bytes(), plain.read_bytes()[132:]]
    made = [(folder / name).read_bytes() for name in ("deflated.dcm", "jpeg.dcm")]
    bundled = [Path(get_testdata_file(name, download=False)).read_bytes() for name in COMPRESSED]
    return [*own, *made, *bundled, *bundled]  # compressed ones twice: their decoders are not ours


def _nifti(folder: Path) -> list[bytes]:
    image = nibabel.Nifti1Image(np.rint(head((16, 14, 6))).astype(np.int16), np.diag([1.0, 1.5, 3.0, 1.0]))
    second = nibabel.Nifti2Image(head((10, 9, 5)), np.eye(4))
    return [image.to_bytes(), gzip.compress(image.to_bytes(), mtime=0), second.to_bytes()]


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """One to four changes: bits, bytes, numbers of interest, runs, cuts, copies."""
    found = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        if not found:
            break
        # Half of the changes go to the first tenth, where headers are.
        at = int(random.integers(0, len(found) if random.random() < 0.5 else max(len(found) // 10, 1)))
        kind = int(random.integers(0, 7))
        if kind == 0:
            found[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            found[at] = int(random.integers(0, 256))
        elif kind == 2:
            number = int(random.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
            found[at : at + 4] = number.to_bytes(4, "little")
        elif kind == 3:
            length = int(random.integers(1, 64))
            found[at : at + length] = bytes([int(random.choice([0, 0xFF, 0x20]))]) * length
        elif kind == 4:
            del found[at : at + int(random.integers(1, 32))]
        elif kind == 5:
            found[at:at] = found[max(at - 64, 0) : at]
        elif random.random() < 0.3:
            del found[at:]
    return bytes(found)


def make_input(number: int, folder: Path) -> tuple[Path, Callable[[Path], object], int]:
    """The input of a number: its path, its reader, and how many slices it had."""
    random = np.random.default_rng(number)
    kind = number % 4
    if kind == 3:
        seeds = _nifti(folder)
        path = folder / ("mri.nii.gz" if number % 8 == 3 else "mri.nii")
        path.write_bytes(mutated(seeds[int(random.integers(len(seeds)))], random))
        return path, read_nifti, 0
    if kind == 2:
        files = write_series(folder / "series", head((16, 14, 5)))
        victim = files[int(random.integers(len(files)))]
        victim.write_bytes(mutated(victim.read_bytes(), random))
        return folder / "series", read_dicom, 5
    seeds = _dicom(folder)
    path = folder / "one.dcm"
    path.write_bytes(mutated(seeds[int(random.integers(len(seeds)))], random))
    return path, read_dicom, 0


def try_input(number: int) -> tuple[str, str]:
    """Read an input and write it as DICOM: what came of it, and the details."""
    handles = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path, read, slices = make_input(number, Path(name))
        start = time.monotonic()
        try:
            volume = read(path)
            order, signs, affine = display_orientation(volume.affine, volume.values.shape)
            images = reorient(np.clip(np.nan_to_num(volume.values / 1000), 0, 1), order, signs)
            write_secondary_capture(Path(name) / "out", images, affine, [volume], anonymize=False)
            outcome, detail = "read", volume.description
            if not np.isfinite(volume.values).all():
                outcome = "values that are not finite"
            elif slices and volume.values.shape[2] != slices and not volume.warnings:
                outcome = "slices lost without a word"
        except RefineFuseError as error:
            outcome, detail = "refused", str(error).partition("\n")[0]
        except Exception as error:  # what this looks for
            outcome, detail = type(error).__name__, str(error)
        if time.monotonic() - start > SECONDS:
            outcome = "out of time"
    if sum(1 for _ in Path("/proc/self/fd").iterdir()) > handles:
        outcome = "open handle"
    if _peak_kilobytes() > MEGABYTES * 1024:
        outcome = "out of memory"
    return outcome, detail


def _peak_kilobytes() -> int:
    """Peak resident memory of this program; `ru_maxrss` would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def fuzz(first: int, count: int) -> list[tuple[int, str, str]]:
    """What came of the inputs first, first + 1, ...: number, outcome, details."""
    found: list[tuple[int, str, str]] = []
    while len(found) < count:
        at = first + len(found)
        worker = subprocess.run(
            [sys.executable, __file__, "--worker", str(at), str(count - len(found))], capture_output=True, check=False
        )
        found += [tuple(json.loads(line)) for line in worker.stdout.splitlines() if line.startswith(b"[")]
        if len(found) < count and worker.returncode:
            found.append((first + len(found), f"process ended with {worker.returncode}", worker.stderr.decode()[-300:]))
    return found


def main() -> None:
    """Report outcomes, and every input that was answered otherwise than by a volume or a refusal."""
    if sys.argv[1] == "--worker":
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, resource.RLIM_INFINITY))
        first, count = int(sys.argv[2]), int(sys.argv[3])
        for number in range(first, first + count):
            sys.stdout.write(json.dumps([number, *try_input(number)]) + "\n")
            sys.stdout.flush()
        return
    found = fuzz(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1]))
    for number, outcome, detail in found:
        if outcome not in ("read", "refused"):
            sys.stdout.write(f"{number}: {outcome}: {detail}\n")
    sys.stdout.write(f"{dict(Counter(outcome for _, outcome, _ in found))}\n")


if __name__ == "__main__":
    main()
