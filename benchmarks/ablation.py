"""Train the standard network, and again without each of its parts, for the config `benchmark/ablation.yaml`.

Usage: python benchmarks/ablation.py FOLDER, with REFINEFUSE_DATA set. Every run is `infrared-visible.yaml` from random
weights, with fewer steps and one thing changed; FOLDER/NAME holds its weights and its recipe, with which
`refinefuse train` gives it again. What is there is not trained again. The parts of the network are left out by
`SEEDS` seeds each, and FOLDER/held-out.md says what that does to the loss on the pairs that are held out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from refinefuse.atomic import write_text_atomic
from refinefuse.inference.device import retain_freed_memory
from refinefuse.losses import LossWeights, fusion_loss
from refinefuse.network.model import RefineFuse
from refinefuse.settings import RECIPES
from refinefuse.training.datasets import LumaPair, load_datasets
from refinefuse.training.recipe import Recipe, load_recipe
from refinefuse.training.train import fit_recipe

STEPS = 800
"""A budget that lets a run end within three minutes on one processor core."""
SEEDS = 3
EVERY = 4
"""Of the pairs that are held out, every so many is compared on."""
ALL_PARTS = "all-parts"


def base_recipe() -> Recipe:
    """The whole network, from random weights, with nothing but its budget changed."""
    shipped = load_recipe(RECIPES / "infrared-visible.yaml")
    return replace(
        shipped,
        name=ALL_PARTS,
        pretrained=None,
        seed=0,
        max_steps=STEPS,
        val_check_interval=2 * STEPS,  # the config evaluates
        learning_rate=3e-3,
    )


def without_parts(base: Recipe) -> dict[str, Recipe]:
    """By name, the network without each part of the paper's abstract."""
    network = base.network
    changes: dict[str, dict[str, Any]] = {
        "pixel-interaction": {"pixel_interaction": False},
        "global-attention": {"global_attention": False},
        "couplings": {"pixel_interaction": False, "global_attention": False},  # each may do for both
        "gradual-refinement": {"gradual_refinement": False},
        "scales": {"channels": network.channels[:1]},
    }
    return {f"without-{part}": replace(base, network=replace(network, **change)) for part, change in changes.items()}


def without_means(base: Recipe) -> dict[str, Recipe]:
    """By name, the whole network, trained without each loss and each augmentation."""
    losses = [term.name for term in fields(LossWeights) if getattr(base.loss_weights, term.name)]
    augmentations = ("degrade_visible_p", "degrade_infrared_p", "thermal_noise_p", "misaligned_p")
    return {
        **{
            f"without-loss-{name}": replace(base, loss_weights=replace(base.loss_weights, **{name: 0.0}))
            for name in losses
        },
        **{
            f"without-{name}": replace(base, augmentation=replace(base.augmentation, **{name: 0.0}))
            for name in augmentations
        },
    }


def held_out_loss(weights: Path, pairs: Sequence[LumaPair], loss_weights: LossWeights) -> float:
    """The mean loss of whole pairs."""
    network = RefineFuse.from_pretrained(weights)
    losses = []
    for pair in pairs:
        a, b = (torch.from_numpy(luma.astype(np.float32))[None, None] / 255 for luma in pair)
        with torch.inference_mode():
            losses.append(fusion_loss(network(a, b), a, b, loss_weights)[0].item())
    return float(np.mean(losses))


def held_out_table(losses: dict[str, list[float]]) -> str:
    """Every row by its seeds, and its mean difference from the whole network of the same seed."""
    seeds = range(len(losses[ALL_PARTS]))
    lines = [
        f"Loss on held-out pairs after {STEPS} steps, lower is better; differences are from all parts, seed by seed.\n",
        f"| network | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | difference | from .. to |",
        "|---" * (len(seeds) + 4) + "|",
    ]
    for name, row in losses.items():
        change = np.subtract(row, losses[ALL_PARTS])
        values = " | ".join(f"{loss:.3f}" for loss in row)
        span = f"{change.min():+.3f} .. {change.max():+.3f}"
        lines.append(f"| {name} | {values} | {np.mean(row):.3f} | {change.mean():+.3f} | {span} |")
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Train what is not there yet, and compare."""
    retain_freed_memory()
    data = Path(os.environ["REFINEFUSE_DATA"])

    def trained(recipe: Recipe, name: str, seed: int = 0) -> Path:
        label = f"{name}-{seed + 1}" if seed else name
        weights = fit_recipe(replace(recipe, name=label, seed=seed), data, folder / label, cache=folder / "images")
        print(weights, flush=True)
        return weights

    base = base_recipe()
    parts = {ALL_PARTS: base, **without_parts(base)}
    runs = {(name, seed): trained(recipe, name, seed) for seed in range(SEEDS) for name, recipe in parts.items()}
    held_out = load_datasets(base, data, folder / "images").validation[::EVERY]
    losses = {
        name: [held_out_loss(runs[name, seed], held_out, base.loss_weights) for seed in range(SEEDS)] for name in parts
    }
    write_text_atomic(folder / "held-out.md", held_out_table(losses))
    for name, recipe in without_means(base).items():
        trained(recipe, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
