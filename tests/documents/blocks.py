"""The code of the documents, and a folder that holds the files which it speaks of."""

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refinefuse import write_image
from rendering import render

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]
OUTPUTS = ("-o", "--output", "--csv", "--json", "--latex", "--montage", "--save-transform")
SHELL = ("sh", "bash", "console", "shell")

NOT_RUN = {
    r"\bDATA\b|\bPAIRS\b": "needs public datasets",
    r"celsius": "needs the counts of a thermal camera",
    r"rtsp://|/dev/video|^refinefuse live": "needs cameras",
    r"\brig\b": "needs frames of two cameras on one mount",
    r"--detector|detect train": "needs a detector's file",
    r"^refinefuse train\b": "takes hours",
    r"^refinefuse (bench|benchmark)\b": "takes minutes",
    r"CT_FOLDER|ct_series": "needs series of DICOM files",
    r"s3://|--address": "needs an object store and a Ray cluster",
    r"int8": "needs a calibration set of a useful size",
    r"^# my_": "is a file of the user's",
}
"""Code that the tests do not run: what it looks like, and why. Its commands must be right all the same."""


class Code(NamedTuple):
    """A block of Python, or one command of a shell block."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def label(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def why_not(self) -> str | None:
        """The reason for which it is not run."""
        return next((why for look, why in NOT_RUN.items() if re.search(look, self.text)), None)


def code_of(path):
    """Python blocks, and the commands of `refinefuse` in shell blocks, in their order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for block in re.finditer(r"^```(\w+)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start(2)) + 1
        if block[1] == "python":
            found.append(Code(path, line, "python", block[2]))
        elif block[1] in SHELL:
            lines = block[2].replace("\\\n", "  ").splitlines()
            commands = [(line + n, one.strip().removeprefix("$ ")) for n, one in enumerate(lines)]
            found += [Code(path, n, "shell", one) for n, one in commands if one.startswith("refinefuse ")]
    return found


def words_of(command):
    """The arguments of a command, without its comment."""
    return shlex.split(command, comments=True)[1:]


def outputs_of(code):
    """What it writes, by its options or by `write_image`."""
    if code.language == "python":
        return re.findall(r'write_image\("([^"]+)"', code.text)
    return [name for option, name in pairwise(words_of(code.text)) if option in OUTPUTS]


def clear_outputs(code):
    """Delete what code before has written where this writes: each is shown as the first."""
    for output in map(Path, outputs_of(code)):
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)


def workspace(folder):
    """Files under the names that the documents use: images, folders, frames, videos, volumes."""
    scenes = [[pixels[::2, ::2] for pixels in render(name)] for name in ("night_street", "smoke")]
    scenes.append([(pixels[::2, ::2] // 257).astype(np.uint8) for pixels in render("ridge_16bit")])
    ct, mri = render("head_ct_mri")
    (infrared, visible), *_ = scenes
    images = {
        "ir": infrared, "vi": visible, "vis": visible, "visible": visible, "infrared": infrared, "ct": ct, "mri": mri,
        "pet": np.stack([ct, mri, ct], -1), "longwave": infrared, "midwave": infrared, "fused": visible,
        "ir_100_mpix": infrared, "vis_100_mpix": visible,
    }  # fmt: skip
    for name, pixels in images.items():
        for extension in (".png", ".tif"):
            write_image(folder / f"{name}{extension}", pixels)
    for index, pair in zip(("1", "2", "7"), scenes, strict=True):
        for parent in ("", "frames/"):
            for name, pixels in zip(("ir", "vi"), pair, strict=True):
                _write(folder / f"{parent}{name}" / f"{index}.png", pixels)
        for method in ("fused", "methods/one", "methods/two"):
            _write(folder / method / f"{index}.png", pair[1])
    _videos(folder)
    _volumes(folder)


def _write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, pixels)


def _videos(folder):
    import av

    for name in ("IR", "VIS", "ir", "vi", "vis"):
        with av.open(str(folder / f"{name}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for index in range(5):
                pixels = np.full((48, 64, 3), 60, np.uint8)
                pixels[10:20, 5 * index : 5 * index + 10] = 220
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode(None))


def _volumes(folder):
    import nibabel

    from series import head

    for seed, name in enumerate(("mri", "pet", "MRI", "PET")):
        nibabel.save(nibabel.Nifti1Image(head(seed=seed % 2), np.diag([2.0, 2.0, 3.0, 1.0])), folder / f"{name}.nii.gz")
