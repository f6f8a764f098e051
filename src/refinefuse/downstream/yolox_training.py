"""Fine-tuning a YOLOX: which cells are responsible for which object, and the loss.

Source: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, 2021
(decoupled head, SimOTA with a center radius of 1.5 cells, weight 5 of the boxes); the assignment: Z. Ge, S. Liu, Z. Li,
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

from refinefuse.detection.coco import COCO_CLASSES
from refinefuse.detection.yolox import STRIDES
from refinefuse.downstream.onnx_module import OnnxModule
from refinefuse.errors import InputError

RADIUS = 1.5
"""In cells: how far from its center an object may be found."""
CANDIDATES = 10
"""The overlaps whose sum says how many cells are responsible for an object."""
BOX_WEIGHT, COST_OF_OVERLAP, COST_OUTSIDE = 5.0, 3.0, 1e5


class Targets(NamedTuple):
    """The objects of an image: corners in the pixels of the network's input, class numbers, and whether they count."""

    corners: Float[Tensor, "g 4"]
    classes: Int[Tensor, " g"]
    crowd: Bool[Tensor, " g"]


class Cells(NamedTuple):
    """The cells of all scales: their centers and strides in pixels."""

    centers: Float[Tensor, "n 2"]
    strides: Float[Tensor, " n"]


def open_trainable(path: Path, classes: Sequence[str]) -> OnnxModule:
    """A YOLOX of COCO's classes whose last layers are reduced to some of them.

    Raises:
        InputError: the file is no such network, or a class is not one of COCO's.
    """
    unknown = [name for name in classes if name not in COCO_CLASSES]
    if unknown:
        raise InputError(f"The detector starts from COCO's classes.\n  got: {', '.join(unknown)}")
    network = OnnxModule(path)
    chosen = [COCO_CLASSES.index(name) for name in classes]
    layers = {key: x for key, x in network.trained.items() if len(x) == len(COCO_CLASSES)}
    if len(layers) != 2 * len(STRIDES):
        raise InputError(
            f"'{path}' is no YOLOX of {len(COCO_CLASSES)} classes.\n"
            f"  expected: {len(STRIDES)} layers of {len(COCO_CLASSES)} channels with their biases\n  got: {len(layers)}"
        )
    for key, values in layers.items():
        network.trained[key] = torch.nn.Parameter(values.detach()[chosen].clone())
    return network


def cells_of(height: int, width: int) -> Cells:
    """The cells of an image, in the order of the network's output."""
    centers, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centers.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((x.numel(),), float(stride)))
    return Cells(torch.cat(centers), torch.cat(strides))


def decode(output: Float[Tensor, "*b n c"], cells: Cells) -> Float[Tensor, "*b n 4"]:
    """The corners of the boxes that the cells predict, in pixels."""
    stride = cells.strides[:, None]
    center = cells.centers + (output[..., :2] - 0.5) * stride
    half = output[..., 2:4].clamp(max=8).exp() * stride / 2
    return torch.cat([center - half, center + half], -1)


def overlaps(one: Float[Tensor, "*b 4"], two: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
    """Intersection over union of boxes by corners, broadcast."""
    inner = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0)
    shared = inner.prod(-1)
    areas = [(x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (one, two)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def assign(
    corners: Float[Tensor, "g 4"],
    classes: Int[Tensor, " g"],
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, "n k"],
    cells: Cells,
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"], Float[Tensor, " m"]]:
    """Which cells are responsible for which object: their numbers, the object's, and the overlap with it.

    Args:
        corners: of the objects.
        classes: of the objects.
        boxes: what the cells predict.
        scores: the square root of class score times objectness is what an object costs; here the product.
        cells: where they are.
    """
    x, y = cells.centers.T
    sides = torch.stack([x - corners[:, :1], y - corners[:, 1:2], corners[:, 2:3] - x, corners[:, 3:] - y])
    within = sides.amin(0) > 0
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    near = ((cells.centers - middle[:, None]).abs().amax(-1)) < RADIUS * cells.strides
    candidates = torch.nonzero((within | near).any(0)).flatten()
    overlap = overlaps(corners[:, None], boxes[candidates])
    wanted = F.one_hot(classes, scores.shape[1]).float()
    probability = scores[candidates].clamp(1e-6, 1 - 1e-6).sqrt()
    unlike = -(wanted @ probability.log().T) - (1 - wanted) @ torch.log1p(-probability).T
    both = (within & near)[:, candidates]
    cost = unlike - COST_OF_OVERLAP * overlap.clamp(min=1e-8).log() + COST_OUTSIDE * ~both
    counts = overlap.topk(min(CANDIDATES, len(candidates)), 1).values.sum(1).int().clamp(min=1)
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    for row, count in enumerate(counts.tolist()):
        chosen[row, cost[row].topk(min(count, len(candidates)), largest=False).indices] = True
    twice = chosen.sum(0) > 1
    chosen[:, twice] = F.one_hot(cost[:, twice].argmin(0), len(corners)).T.bool()
    taken = torch.nonzero(chosen.any(0)).flatten()
    objects = chosen[:, taken].int().argmax(0)
    return candidates[taken], objects, overlap[objects, taken]


def detection_loss(output: Float[Tensor, "b n c"], targets: Sequence[Targets], cells: Cells) -> Tensor:
    """The loss of a batch, per responsible cell.

    Args:
        output: of the network: offsets, sizes, objectness and class scores of every cell.
        targets: of each image. Cells within an object that does not count learn nothing about objectness.
        cells: where they are.
    """
    output = output.float()
    boxes = decode(output, cells)
    wanted = torch.zeros(output.shape[:2])
    asked = torch.ones(output.shape[:2])
    loss, count = output.new_zeros(()), 0
    for number, target in enumerate(targets):
        x, y = cells.centers.T
        for left, top, right, bottom in target.corners[target.crowd].tolist():
            asked[number, (x > left) & (x < right) & (y > top) & (y < bottom)] = 0
        corners, classes = target.corners[~target.crowd], target.classes[~target.crowd]
        if not len(corners):
            continue
        with torch.no_grad():
            scores = output[number, :, 4:5] * output[number, :, 5:]
            index, objects, overlap = assign(corners, classes, boxes[number], scores, cells)
        wanted[number, index], asked[number, index] = 1, 1
        count += len(index)
        shared = overlaps(boxes[number, index], corners[objects])
        kinds = F.one_hot(classes[objects], output.shape[2] - 5) * overlap[:, None]
        loss = loss + BOX_WEIGHT * (1 - shared.square()).sum()
        loss = loss + F.binary_cross_entropy(output[number, index, 5:], kinds, reduction="sum")
    objectness = F.binary_cross_entropy(output[..., 4], wanted, asked, reduction="sum")
    return (loss + objectness) / max(1, count)
