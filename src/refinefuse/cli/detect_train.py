"""`refinefuse detect train`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def run(
    recipe: str,
    *,
    output: Path,
    method: str | None = None,
    data_root: Path | None = None,
    num_workers: int = 0,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> int:
    """Fine-tune a detector (D-FINE, RT-DETR) on labeled pairs fused by any method, or resume such a run.

    The recipe is the training schedule, the same for all methods. The result is a folder for `refinefuse detect
    --detector` and for the detection study of `refinefuse benchmark`. Needs the extras `detection` and `train`.

    Args:
        recipe: YAML file, or the name of a shipped recipe: msrs-rtdetr.
        output: Folder of the run: recipe, fused images, checkpoint, logs, and at the end the detector.
        method: Method that fuses the pairs: infrared, visible, or a `spec` as in a config of `refinefuse benchmark`
            (weights:infrared-visible, average, python:module:function, ...); by default that of the recipe.
        data_root: Folder of the recipe's datasets; by default the environment variable REFINEFUSE_DATA.
        num_workers: Number of processes that read images.
        accelerator: Device to train on; auto uses a GPU if there is one.
    """
    from dataclasses import replace

    from refinefuse.data.layout import training_root
    from refinefuse.errors import ConfigError, optional
    from refinefuse.inference.device import retain_freed_memory

    root = training_root(data_root)
    retain_freed_memory()
    from refinefuse.benchmark.detection import seen_by
    from refinefuse.benchmark.image_datasets import PathVariables
    from refinefuse.detection.recipe import load_detector_recipe
    from refinefuse.settings import locate_settings

    path = locate_settings(recipe, "detection")
    schedule = load_detector_recipe(path)
    schedule = replace(schedule, method=method or schedule.method)
    if not schedule.method:
        raise ConfigError("The recipe names no method.\nAdd --method: infrared, visible, weights:NAME, average, ...")
    with optional("train", "Training"):
        from refinefuse.detection.train import train_detector
    seen = seen_by(schedule.method, PathVariables(root, path.parent))
    detector = train_detector(schedule, root, output, seen, num_workers=num_workers, accelerator=accelerator)
    print(f"The detector is in '{detector}'. Try it: refinefuse detect A B --detector '{detector}' -o MONTAGE.png")
    return 0
