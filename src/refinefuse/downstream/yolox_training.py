"""Fine-tune a YOLOX: label assignment and loss.

Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021
(decoupled head, SimOTA with a center radius of 1.5 cells, box loss weight 5); the assignment: Z. Ge, S. Liu, Z. Li,
O. Yoshie, J. Sun, "OTA: optimal transport assignment for object detection", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from refinefuse.detection.cells import STRIDES, Cells, decode
from refinefuse.detection.coco import COCO_CLASSES
from refinefuse.downstream.onnx_module import OnnxModule
from refinefuse.errors import InputError

RADIUS = 1.5
"""Radius around an object's center, in cells, within which cells are candidates for it."""
CANDIDATES = 10
"""Number of largest IoUs whose sum is the number of cells assigned to an object."""
BOX_WEIGHT, COST_OF_OVERLAP, COST_OUTSIDE = 5.0, 3.0, 1e5


class DetectionTargets(NamedTuple):
    """Labeled objects of a batch of images, padded to the same number per image.

    Attributes:
        corners: box corners in pixels of the network's input.
        classes: class numbers.
        counted: mask of the objects to detect.
        crowd: mask of the ignore regions. Entries in neither mask are padding.
    """

    corners: Float[Tensor, "b g 4"]
    classes: Int[Tensor, "b g"]
    counted: Bool[Tensor, "b g"]
    crowd: Bool[Tensor, "b g"]

    def select(self, index: Int[Tensor, " m"], flips: Bool[Tensor, " m"], width: int) -> DetectionTargets:
        """Select the targets of some images and flip them where the image is flipped."""
        corners, *others = (x[index] for x in self)
        left, top, right, bottom = corners.unbind(-1)
        mirrored = torch.stack([width - right, top, width - left, bottom], -1)
        return DetectionTargets(torch.where(flips[:, None, None], mirrored, corners), *others)


def open_trainable(path: Path, classes: Sequence[str]) -> OnnxModule:
    """Load a COCO-pretrained YOLOX and reduce its last layers to the given classes.

    Raises:
        InputError: the file is not a YOLOX network, or a class is not one of COCO's.
    """
    unknown = [name for name in classes if name not in COCO_CLASSES]
    if unknown:
        raise InputError(
            "All classes must be classes of COCO, because the detector starts from COCO "
            f"weights.\n  got: {', '.join(unknown)}"
        )
    network = OnnxModule(path)
    chosen = [COCO_CLASSES.index(name) for name in classes]
    layers = {key: x for key, x in network.trained.items() if len(x) == len(COCO_CLASSES)}
    if len(layers) != 2 * len(STRIDES):
        raise InputError(
            f"'{path}' is not a YOLOX with {len(COCO_CLASSES)} classes.\n"
            f"  expected: {len(STRIDES)} output layers with {len(COCO_CLASSES)} channels and biases\n"
            f"  got: {len(layers)}"
        )
    for key, values in layers.items():
        network.trained[key] = torch.nn.Parameter(values.detach()[chosen].clone())
    return network


def overlaps(one: Float[Tensor, "*b 4"], two: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
    """Intersection over union of boxes given by their corners, with broadcasting."""
    inner = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0)
    shared = inner.prod(-1)
    areas = [(x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (one, two)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def assign(
    targets: DetectionTargets, boxes: Float[Tensor, "b n 4"], scores: Float[Tensor, "b n k"], cells: Cells
) -> tuple[Bool[Tensor, "b n"], Int[Tensor, "b n"], Float[Tensor, "b n"]]:
    """Assign cells to objects by SimOTA: whether a cell is assigned, the index of its object, and their IoU.

    Args:
        targets: labeled objects.
        boxes: predicted boxes of the cells.
        scores: class scores times objectness of the cells.
        cells: grid cells.
    """
    x, y = cells.centers.T
    left, top, right, bottom = targets.corners.unsqueeze(-1).unbind(2)
    within = torch.stack([x - left, y - top, right - x, bottom - y]).amin(0) > 0
    middle = (targets.corners[..., :2] + targets.corners[..., 2:]) / 2
    near = (cells.centers - middle[:, :, None]).abs().amax(-1) < RADIUS * cells.strides
    counted = targets.counted[..., None]
    possible = ((within | near) & counted).any(1, keepdim=True) & counted
    overlap = overlaps(targets.corners[:, :, None], boxes[:, None]) * possible
    wanted = F.one_hot(targets.classes, scores.shape[-1]).float()
    probability = scores.clamp(1e-6, 1 - 1e-6).sqrt()
    unlike = -(wanted @ probability.log().mT) - (1 - wanted) @ torch.log1p(-probability).mT
    cost = unlike - COST_OF_OVERLAP * overlap.clamp(min=1e-8).log() + COST_OUTSIDE * ~(within & near)
    cost = cost.masked_fill(~possible, torch.inf)
    most = min(CANDIDATES, cost.shape[-1])
    count = overlap.topk(most).values.sum(-1, keepdim=True).int().clamp(min=1)
    lowest = cost.topk(most, largest=False)
    few = (torch.arange(most, device=cost.device) < count) & lowest.values.isfinite()
    chosen = torch.zeros_like(possible).scatter(-1, lowest.indices, few)
    best = F.one_hot(cost.argmin(1), cost.shape[1]).mT.bool()
    chosen = torch.where(chosen.sum(1, keepdim=True) > 1, best, chosen)
    objects = chosen.int().argmax(1)
    return chosen.any(1), objects, overlap.gather(1, objects[:, None])[:, 0]


def detection_loss(output: Float[Tensor, "b n c"], targets: DetectionTargets, cells: Cells) -> Tensor:
    """Compute the loss of a batch, normalized by the number of assigned cells.

    Args:
        output: network output: offsets, sizes, objectness and class logits of every cell.
        targets: labeled objects of each image. Cells within ignore regions are excluded from the objectness loss.
        cells: grid cells.
    """
    output = output.float()
    boxes = decode(output, cells)
    with torch.no_grad():
        taken, objects, overlap = assign(targets, boxes, output[..., 4:5] * output[..., 5:], cells)
        x, y = cells.centers.T
        left, top, right, bottom = targets.corners.unsqueeze(-1).unbind(2)
        hidden = (x > left) & (x < right) & (y > top) & (y < bottom) & targets.crowd[..., None]
        asked = taken | ~hidden.any(1)
        corners = targets.corners.gather(1, objects[..., None].expand(-1, -1, 4))
        kinds = F.one_hot(targets.classes.gather(1, objects), output.shape[2] - 5) * overlap[..., None]
    far = 1 - overlaps(boxes, corners).square()
    unlike = F.binary_cross_entropy(output[..., 5:], kinds, reduction="none").sum(-1)
    objectness = F.binary_cross_entropy(output[..., 4], taken.float(), asked.float(), reduction="sum")
    return ((BOX_WEIGHT * far + unlike) * taken).sum().add(objectness) / taken.sum().clamp(min=1)
