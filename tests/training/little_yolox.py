"""A detector of the YOLOX family with random weights, as small as one can be."""

import warnings

import torch
from torch import nn
from torch.nn import functional as F

SIDE = 96


class LittleYolox(nn.Module):
    """Everything that the graphs of YOLOX are made of: focus, pools, an enlargement, heads at two strides."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(12, 8, 3, stride=2, padding=1)
        self.stem.weight.data /= 255
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)
        self.heads = nn.ModuleList(nn.Conv2d(channels, 85, 1) for channels in (16, 16))

    def forward(self, x):
        top, bottom = x[..., ::2, :], x[..., 1::2, :]
        x = torch.cat([top[..., ::2], bottom[..., ::2], top[..., 1::2], bottom[..., 1::2]], 1)
        fine = self.stem(x)
        fine = fine * torch.sigmoid(fine)
        coarse = self.down(fine)
        coarse = torch.cat([coarse, F.max_pool2d(coarse, 5, 1, 2)], 1)
        fine = torch.cat([fine, F.interpolate(coarse[:, :8], scale_factor=2, mode="nearest") + fine], 1)
        found = []
        for head, features in zip(self.heads, (fine, coarse), strict=True):
            y = head(features)
            y = torch.cat([y[:, :4], torch.sigmoid(y[:, 4:5]), torch.sigmoid(y[:, 5:])], 1)
            found.append(y.reshape(1, 85, y.shape[2] * y.shape[3]))
        return torch.cat(found, 2).permute(0, 2, 1)


def export(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), torch.rand(1, 3, SIDE, SIDE), path, dynamo=False, opset_version=11, input_names=["images"]
        )
    return path
