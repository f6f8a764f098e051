"""Make the weights `medical` of its two runs: their mean, with a little more detail, rounded to bfloat16.

Usage: python tools/weights/medical.py FIRST SECOND OUTPUT, where FIRST and SECOND are what the recipes medical-base and
medical give.

Why, and by how much: docs/experiments/edges-against-information.md.
"""

from __future__ import annotations

import sys

import torch

import refinefuse

DETAIL = 0.03
"""Added to the biases of what decides on the finer bands, before the hyperbolic tangent."""


def main(first: str, second: str, output: str) -> None:
    """Read the weights of both runs, and write those that ship."""
    model, other = refinefuse.load_model(first), refinefuse.load_model(second)
    with torch.no_grad():
        for weight, its in zip(model.parameters(), other.parameters(), strict=True):
            weight.lerp_(its, 0.5)
        model.head.predict[0].bias[model.config.patch_size**2 :] += DETAIL
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())
    model.save_weights(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
