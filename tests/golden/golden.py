"""What each of the shipped weights makes of a small pair, and what was recorded of it.

The pairs were cut from the samples that the package renders. They are stored, so that another renderer changes nothing
here.
"""

import json
from pathlib import Path

import numpy as np

from refinefuse import fuse, read_image
from refinefuse.metrics import evaluate
from refinefuse.weights.store import shipped

FOLDER = Path(__file__).parent
SCORES = FOLDER / "scores.json"
WEIGHTS = sorted(shipped())
TOLERANCES = {"VIF": 0.003, "Qabf": 0.003, "edge_recall": 0.2}
"""By how much each score may differ. One edge pixel, decided by another processor's rounding, is 0.04 of `edge_recall`.
"""
LEVELS = 1
"""By how many levels of 8 bits another processor may differ."""


def sources(weights):
    """The pair that the weights were made for: infrared and visible, or CT and MRI."""
    a, b = ("ct", "mri") if weights.startswith("medical") else ("infrared", "visible")
    return read_image(FOLDER / f"{a}.png"), read_image(FOLDER / f"{b}.png")


def fused_path(weights):
    """The recorded image."""
    return FOLDER / f"fused-{weights}.png"


def scores(fused, weights):
    """The recorded metrics of a fused image."""
    values = evaluate(fused, *sources(weights), metrics=TOLERANCES)
    return {key: round(float(value), 5) for key, value in values.items()}


def fresh(weights):
    """The pair fused by the weights, now."""
    return fuse(*sources(weights), weights=weights, device="cpu")


def image_difference(weights):
    """Levels by which the fused image differs from the recorded one, at most."""
    recorded = read_image(fused_path(weights)).astype(int)
    fused = fresh(weights)
    assert fused.shape == recorded.shape
    return int(np.abs(fused - recorded).max())


def score_differences(weights):
    """By metric, how far the score of the fused image is from the recorded one, as a multiple of its tolerance."""
    recorded = json.loads(SCORES.read_text(encoding="utf-8"))[weights]
    found = scores(fresh(weights), weights)
    assert found.keys() == recorded.keys()
    return {key: abs(found[key] - recorded[key]) / tolerance for key, tolerance in TOLERANCES.items()}
