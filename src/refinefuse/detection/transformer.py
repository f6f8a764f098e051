"""Detectors of the transformers library: RT-DETR, D-FINE and all others that `AutoModelForObjectDetection` loads.

Source: Y. Zhao et al., "DETRs beat YOLOs on real-time object detection", CVPR 2024 (RT-DETR); Y. Peng et al.,
"D-FINE: redefine regression task in DETRs as fine-grained distribution refinement", ICLR 2025.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from refinefuse.detection.boxes import Boxes, make_boxes
from refinefuse.detection.suppression import LOWEST_SCORE
from refinefuse.errors import InputError, optional
from refinefuse.weights.store import HUB, parse_hub

EXTRA = "detection"


def fetch(source: str) -> Path:
    """Download `hf://owner/name` or `hf://owner/name@revision`, unless cached, and return its folder.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
        InputError: the repository does not exist or cannot be reached.
    """
    if not source.startswith(HUB):
        raise InputError(
            f"The detector '{source}' does not exist.\n"
            f"  expected: FILE.onnx, a folder written by save_pretrained, or {HUB}owner/name on the Hugging Face Hub"
        )
    repository, revision = parse_hub(source)
    with optional(EXTRA, f"Loading '{repository}' from the Hugging Face Hub"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"Cannot download the detector '{repository}'.\n  {error}") from None


def load(folder: Path, **changes: Any) -> tuple[Any, Any]:
    """Load a network and its image processor.

    Args:
        folder: folder written by `save_pretrained`.
        changes: overrides of the network's config, such as its classes.

    Raises:
        MissingDependencyError: transformers is not installed.
        InputError: the folder contains no detector.
    """
    with optional(EXTRA, "A detector in a folder"):
        transformers: Any = import_module("transformers")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        # Use the processor that does not need torchvision, and never load pickled weights.
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, use_fast=False, trust_remote_code=False
        )
        model = transformers.AutoModelForObjectDetection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, **changes
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise InputError(
            f"Cannot load a detector from '{folder}'.\n  expected: config.json, model.safetensors and "
            f"preprocessor_config.json of an object detector\n  {error}"
        ) from None
    return model.eval(), processor


class Transformer:
    """A detector of the transformers library, on the CPU.

    Args:
        folder: folder written by `save_pretrained` of its network and processor.
    """

    def __init__(self, folder: Path) -> None:
        self._model, self._processor = load(folder)
        self.names = tuple(str(name) for _, name in sorted(self._model.config.id2label.items()))

    @torch.inference_mode()
    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Boxes:
        """Detect objects in an RGB image: boxes with a score of at least 0.01 in descending order of score."""
        height, width = pixels.shape[:2]
        inputs = self._processor(images=[pixels], return_tensors="pt", input_data_format="channels_last")
        output = self._model(**inputs)
        sizes = [(height, width)]
        found = self._processor.post_process_object_detection(output, threshold=LOWEST_SCORE, target_sizes=sizes)[0]
        order = found["scores"].argsort(descending=True, stable=True)
        corners = found["boxes"][order].numpy().clip(0, [width, height, width, height])
        labels = self._model.config.id2label
        return make_boxes(
            corners, [str(labels[int(i)]) for i in found["labels"][order]], found["scores"][order].numpy()
        )
