"""Train the standard network, and again without each of its parts, for the config `benchmark/ablation.yaml`.

Usage: python benchmarks/ablation.py FOLDER, with REFINEFUSE_DATA set. Every run is `infrared-visible-base.yaml`
with fewer steps and one thing changed; FOLDER/NAME holds its weights and its recipe, with which `refinefuse train`
gives it again. What is there is not trained again.
"""

from __future__ import annotations

import os
import sys
from dataclasses import fields, replace
from pathlib import Path

from refinefuse.inference.device import retain_freed_memory
from refinefuse.losses import LossWeights
from refinefuse.settings import RECIPES
from refinefuse.training.recipe import Recipe, load_recipe
from refinefuse.training.train import fit_recipe

BASE = RECIPES / "infrared-visible-base.yaml"
STEPS = 800
"""A budget that lets all runs end within forty minutes on one processor core."""


def variants(base: Recipe) -> dict[str, Recipe]:
    """By name: the whole network twice, and without each part of the paper's abstract and each means of training."""
    network = base.network
    without = {
        "pixel-interaction": {"network": replace(network, pixel_interaction=False)},
        "global-attention": {"network": replace(network, global_attention=False)},
        "couplings": {
            "network": replace(network, pixel_interaction=False, global_attention=False)
        },  # each may do for both
        "gradual-refinement": {"network": replace(network, gradual_refinement=False)},
        "scales": {"network": replace(network, channels=network.channels[:1])},
        "degrade_visible_p": {"augmentation": replace(base.augmentation, degrade_visible_p=0.0)},
        "degrade_infrared_p": {"augmentation": replace(base.augmentation, degrade_infrared_p=0.0)},
        **{
            f"loss-{term.name}": {"loss_weights": replace(base.losses, **{term.name: 0.0})}
            for term in fields(LossWeights)
            if getattr(base.losses, term.name)
        },
    }
    again = {"seed": base.seed + 1}  # how much of a difference is chance
    named = {"all-parts": {}, "all-parts-again": again, **{f"without-{part}": x for part, x in without.items()}}
    return {name: replace(base, name=name, **change) for name, change in named.items()}


def main(folder: Path) -> None:
    """Train what is not there yet."""
    retain_freed_memory()
    base = replace(load_recipe(BASE), max_steps=STEPS, val_check_interval=2 * STEPS)  # the config evaluates
    for name, recipe in variants(base).items():
        print(fit_recipe(recipe, Path(os.environ["REFINEFUSE_DATA"]), folder / name), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
