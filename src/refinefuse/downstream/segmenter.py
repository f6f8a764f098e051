"""Segmentation networks that are trained per fusion method: a small U-Net from scratch, or a pretrained ONNX network.

Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI
2015. Differs from it: the first scale embeds patches of 4 x 4 pixels, the decoder adds features instead of
concatenating them, and each scale has few channels, so that training takes minutes on one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse.downstream.onnx_module import OnnxModule
from refinefuse.errors import ConfigError, InputError
from refinefuse.segmentation.onnx_segmenter import OnnxSegmenterSettings
from refinefuse.settings import read_settings

CHANNELS = (32, 64, 96, 128)
PATCH_SIZE = 4
TRIED = (64, 96)
"""Height and width of the image for the test run of an ONNX network."""
RAREST = 1e-3
"""Class frequency below which the loss weight hardly increases further."""


def _convs(before: int, channels: int, *strides: int) -> nn.Sequential:
    """Build a convolution, normalization and ReLU per stride."""
    layers: list[nn.Module] = []
    for stride in strides:
        layers += [nn.Conv2d(before, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        before = channels
    return nn.Sequential(*layers)


class SegmentationUNet(nn.Module):
    """A U-Net with four scales: 0.7 GFLOP for an image of 240 x 320.

    Args:
        num_classes: number of classes including the background.
        channels: channels per scale, from shallow to deep.
    """

    def __init__(self, num_classes: int, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.stem = _convs(3 * PATCH_SIZE**2, channels[0], 1)
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(_convs(before, after, 2, 1) for before, after in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(after, before, 1) for before, after in pairs)
        self.up = nn.ModuleList(_convs(before, before, 1) for before, _ in pairs)
        self.classify = nn.Conv2d(channels[0], num_classes, 1)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k h w"]:
        """Compute logits per class and pixel for images in 0..255 whose sides are multiples of 32."""
        features = [self.stem(F.pixel_unshuffle(images / 127.5 - 1, PATCH_SIZE))]
        for layer in self.down:
            features.append(layer(features[-1]))
        x = features.pop()
        for narrow, layer in zip(reversed(self.narrow), reversed(self.up), strict=True):
            x = layer(features.pop() + F.interpolate(narrow(x), scale_factor=2.0, mode="nearest"))
        scores = self.classify(x).float()
        return F.interpolate(scores, scale_factor=float(PATCH_SIZE), mode="bilinear", align_corners=False)


class PretrainedSegmenter(nn.Module):
    """A pretrained ONNX segmentation network with an added layer that maps its classes to those of the study.

    Args:
        path: ONNX file with its settings beside it, as for a benchmark. Of these, classes, channels, mean and std are
            used; images are not resized.
        num_classes: number of classes including the background.

    Raises:
        ConfigError: the settings are missing or do not match the output.
        InputError: the file cannot be read or executed, or has an unsupported operator.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path, num_classes: int) -> None:
        super().__init__()
        settings = read_settings(
            OnnxSegmenterSettings, path.with_suffix(".yaml"), "settings of the segmentation network"
        )
        self.flipped = settings.channels == "bgr"
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(settings, name))[:, None, None])
        self.network = OnnxModule(path)
        self._check_output(path, len(settings.classes))
        self.classify = nn.Conv2d(len(settings.classes), num_classes, 1)

    @torch.no_grad()
    def _check_output(self, path: Path, count: int) -> None:
        """Run the network on a small image and check that it returns a score per class and pixel."""
        try:
            shape = tuple(self.network(torch.zeros(1, 3, *TRIED)).shape)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"The network '{path}' cannot run on an image of this size.\n  {error}") from None
        if len(shape) != 4 or shape[:2] != (1, count):
            raise ConfigError(
                f"The output of '{path}' does not fit its settings.\n"
                f"  expected: (1, {count}, h, w), one map per class\n  got: {shape}"
            )

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k h w"]:
        """Compute logits per class and pixel for images in 0..255 whose sides are multiples of the network's stride."""
        given = (images.flip(1) if self.flipped else images).sub(self.mean).div(self.std)
        # torch computes wrong bfloat16 gradients of dilated convolutions on CPUs.
        with torch.autocast(images.device.type, enabled=False):
            scores = self.classify(self.network(given))
        return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)


def class_weights(masks: UInt8[np.ndarray, "n h w"], num_classes: int) -> Float32[np.ndarray, " k"]:
    """Compute loss weights: the inverse square root of each class frequency; 0 for a class without pixels."""
    part = np.bincount(masks.ravel(), minlength=256)[:num_classes] / masks.size
    return np.where(part > 0, (part + RAREST) ** -0.5, 0).astype(np.float32)


def confusion(
    truth: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"], num_classes: int
) -> Int64[np.ndarray, "k k"]:
    """Compute the confusion matrix in pixels (rows: truth, columns: prediction); other values are ignored."""
    counted = truth < num_classes
    pairs = truth[counted].astype(np.int64) * num_classes + predicted[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
