"""Run each kind of job: read the files in its folder, write results to `out`, and report a record for the page."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refinefuse.alignment.align import Alignment, TransformChoice, align
from refinefuse.alignment.transform import Transform, corners, load_transform
from refinefuse.errors import AlignmentError, InputError
from refinefuse.image.color import Color, to_array
from refinefuse.image.medical.intensity import parse_kinds
from refinefuse.image.medical.options import VolumeOptions
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.alignment_options import AlignmentOptions
from refinefuse.inference.backend import Backend
from refinefuse.inference.folders import fuse_files, fuse_folders
from refinefuse.inference.fuser import Fuser
from refinefuse.inference.inputs import load_input
from refinefuse.inference.outputs import OutputPaths
from refinefuse.inference.thermal import ThermalOptions
from refinefuse.inference.video.fuse import fuse_videos
from refinefuse.inference.video.options import VideoOptions
from refinefuse.inference.volumes import fuse_volumes
from refinefuse.studio.messages import plain_error, plain_warnings
from refinefuse.studio.views import evaluate_views, volume_geometry, write_slice, write_views
from refinefuse.studio.worker import Canceled, Report, Task

Send = Callable[[Report], None]
_TIFF = (".tif", ".tiff")


def run_task(task: Task, send: Send) -> None:
    """Run a job.

    Args:
        task: the job.
        send: receives reports; raises `Canceled` if the user canceled the job.

    Raises:
        InputError: the user can correct the problem; the message is meant for the page.
        Canceled: raised by `send`.
    """
    out = task.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    kinds = {"images": _fuse_images, "folders": _fuse_folders, "videos": _fuse_videos, "volumes": _fuse_volumes}
    send(Report())
    try:
        kinds[task.kind](task, out, send)
    except Canceled:
        raise
    except Exception as error:
        raise InputError(plain_error(error, task.folder)) from error


@lru_cache(maxsize=2)
def _fuser(weights: str, backend: Backend, color: Color) -> Fuser:
    """Load a network; cached, since consecutive jobs usually share one."""
    return Fuser(weights, backend=backend, color=color)


def _loader(task: Task) -> Callable[[], Fuser]:
    return partial(_fuser, task.weights, task.options.backend, task.options.color)


def _files(task: Task) -> tuple[list[Path], list[Path]]:
    a, b = (sorted((task.folder / slot).iterdir()) for slot in ("a", "b"))
    if not a or not b:
        raise InputError(f"{'A' if not a else 'B'} is missing. Choose a file for it.")
    return a, b


def _pair(task: Task) -> tuple[Path, Path]:
    a, b = _files(task)
    return a[0], b[0]


def _sources(task: Task) -> list[Path]:
    """Return the file of each slot, or its folder if it has several."""
    return [files[0] if len(files) == 1 else files[0].parent for files in _files(task)]


def _thermal(task: Task) -> ThermalOptions:
    text = task.options.range
    return ThermalOptions(IntensityRange.parse(text) if text else None, task.options.polarity)


def _given_transform(task: Task) -> Transform | None:
    files = sorted((task.folder / "transform").iterdir())
    return load_transform(files[-1]) if files and not task.options.align else None


def _fuse_images(task: Task, out: Path, send: Send) -> None:
    a, b = _pair(task)
    thermal, transform, found = _thermal(task).fitted([a]), _given_transform(task), None
    images = thermal.read(a).source.image, load_input(b, "b").image
    sizes = [list(image.shape[2:]) for image in images]
    send(Report(0, None, {"sizes": sizes}))
    if task.options.align:
        found = _aligned(*images, task.options.transform_type)
        transform = found.transform
    elif transform is None and sizes[0] != sizes[1]:
        raise InputError(
            "A and B differ in size.\n  A: {} x {}\n  B: {} x {}\nChoose automatic alignment, or align them by "
            "hand.".format(*sizes[0], *sizes[1])
        )
    if transform is not None:
        transform.save(out / "transform.json")
    suffix = ".tif" if {a.suffix.lower(), b.suffix.lower()} & set(_TIFF) else ".png"
    outputs = OutputPaths(out / f"{b.stem}_fused{suffix}", out / f"{b.stem}_weight_map.png")
    alignment = AlignmentOptions(transform=transform)
    done = fuse_files(_loader(task), (a, b), outputs, thermal, alignment, progress=partial(_step, send))
    warnings = [one for found_ in done.warnings.values() for one in found_]
    views = write_views(out, images, alignment, outputs)
    result: dict[str, Any] = {
        "sizes": sizes,
        "files": _listed(
            out, outputs.output, outputs.weight_map, None if transform is None else out / "transform.json"
        ),
        "views": views.names,
        "warnings": plain_warnings(warnings),
        "alignment": None if found is None else _confidence(found),
    }
    send(Report(1, 1, result))
    if task.options.metrics:
        send(Report(1, 1, result | {"metrics": evaluate_views(views)}))


def _aligned(a: Tensor, b: Tensor, transform_type: TransformChoice) -> Alignment:
    found = align(to_array(a, np.float32), to_array(b, np.float32), transform_type=transform_type)
    if not found.is_reliable:
        raise AlignmentError(
            "The images could not be aligned with confidence, so they were not fused.\n"
            + "\n".join(f"  {reason}" for reason in found.rejection_reasons)
            + "\nTry another type of transform, align them by hand, or use a saved transform of the same two cameras."
        )
    return found


def _confidence(found: Alignment) -> dict[str, Any]:
    """Return how far A was moved, and the confidence of the alignment."""
    points = corners(found.transform.size_fixed)
    moved = np.abs(found.transform.map_points(points) - points)
    return {
        "type": found.transform.transform_type,
        "moved": round(float(np.hypot(*moved.T).max()), 1),
        "error": round(found.corner_error, 2),
        "overlap": round(found.overlap, 3),
        "before": round(found.score_before, 1),
        "after": round(found.score_after, 1),
        "lead": round(min(found.peak_ratio, 1000.0), 2),
    }


def _fuse_folders(task: Task, out: Path, send: Send) -> None:
    _files(task)
    alignment = AlignmentOptions(task.options.align, _given_transform(task), task.options.transform_type)
    fused = out / "fused"
    outputs, sources = OutputPaths(fused, out / "weight_maps"), [task.folder / slot for slot in ("a", "b")]
    done = fuse_folders(_loader(task), sources, outputs, _thermal(task), alignment, progress=partial(_step, send))
    archive = _zipped(
        out / "fused.zip", [path for folder in outputs.wanted() for path in sorted(folder.iterdir())], out
    )
    result = {
        "files": _listed(out, archive),
        "fused": done.fused,
        "failed": {name: plain_error(InputError(text), task.folder) for name, text in done.failed.items()},
        "unpaired": [Path(name).name for name in done.unpaired],
        "warnings": [f"{name}: {text}" for name, all_ in done.warnings.items() for text in plain_warnings(all_)],
        "ranges": [[one.low, one.high] for one in done.ranges],
    }
    send(Report(1, 1, result))


def _fuse_videos(task: Task, out: Path, send: Send) -> None:
    a, b = _sources(task)
    options = VideoOptions(
        frame_stride=task.options.frame_stride,
        thermal=_thermal(task),
        alignment=AlignmentOptions(transform=_given_transform(task)),
    )
    output = out / f"{b.stem}_fused.mp4"
    done = fuse_videos(_loader(task), str(a), str(b), output, options, progress=partial(_step, send))
    result = {
        "files": _listed(out, output if output.exists() else None),
        "video": output.name if output.exists() else None,
        "frames": done.frames,
        "seconds": round(done.seconds, 1),
        "damaged": done.damaged[:20],
        "note": done.note,
        "warnings": plain_warnings(done.warnings),
        "failure": plain_error(InputError(done.failure), task.folder) if done.failure else "",
    }
    if done.interrupted is None:
        return send(Report(done.frames, done.frames, result))
    raise Canceled(result)


def _fuse_volumes(task: Task, out: Path, send: Send) -> None:
    given = task.options
    kinds = parse_kinds(f"{given.modality_a},{given.modality_b}", 2) if given.modality_a or given.modality_b else ()
    options = VolumeOptions(
        window=given.window or None,
        range=given.volume_range or None,
        suv_range=given.suv_range or None,
        colormap=given.colormap,
        grid=given.grid,
        anonymize=given.anonymize,
        kinds=kinds,
    )
    output = out / ("fused" if given.dicom else "fused.nii.gz")
    outputs = OutputPaths(output, out / "weight_map.nii.gz")
    slices = out / "slices"
    slices.mkdir()
    numbers = count()

    def show(images: list[NDArray[Any]]) -> None:
        write_slice(slices, next(numbers), images)

    report = partial(_step, send)
    done = fuse_volumes(_loader(task), _sources(task), outputs, options, progress=report, on_slice=show)
    if given.dicom:
        output = _zipped(out / "fused.zip", sorted(output.iterdir()), out)
    result = {
        "files": _listed(out, output, outputs.weight_map),
        "slices": next(numbers),
        "geometry": volume_geometry(done.affine),
        "messages": [plain_error(InputError(text), task.folder) for text in done.messages],
        "warnings": [
            *(plain_error(InputError(text), task.folder) for text in done.warnings),
            *plain_warnings(done.pair_warnings),
        ],
    }
    send(Report(1, 1, result))


def _step(send: Send, done: int, total: int | None) -> None:
    send(Report(done, total))


def _listed(out: Path, *paths: Path | None) -> list[dict[str, Any]]:
    """List the files to download: path relative to the results folder, and size."""
    given = [path for path in paths if path]
    return [{"name": str(path.relative_to(out)), "size": path.stat().st_size} for path in given]


def _zipped(archive: Path, files: list[Path], root: Path) -> Path:
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as file:  # images are already compressed
        for path in files:
            if not path.name.startswith("."):
                file.write(path, path.relative_to(root))
    return archive
