"""Every metric by every convention on two triplets, against values that literal programs gave once."""

import json
import math
import warnings

import pytest
from images import tensors
from oracle_conventions import OTHER
from values import TRIPLETS, VALUES

from refinefuse.metrics import CONVENTIONS, METRICS, evaluate

RECORDED = json.loads(VALUES.read_text(encoding="utf-8"))
TOLERANCES = {
    ("tang_py", "SSIM"): 1e-5,  # single precision
    ("tang_py", "MS-SSIM"): 1e-5,
    ("li", "Nabf"): 1e-3,  # rounding decides which edges are equal
}


SAME_ON_WHOLE_LEVELS = {("liu2012", "QMI")}
"""A stretch gives no two levels the same one, so it changes no histogram of whole levels but their order."""


def tolerance(convention, key):
    return TOLERANCES.get((convention, key), 1e-9)


@pytest.mark.parametrize("triplet", TRIPLETS)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_equals_the_recorded_values(convention, triplet):
    recorded = RECORDED[triplet][convention]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one triplet is too small for MS-SSIM
        scores = evaluate(*tensors(*TRIPLETS[triplet]()), metrics="convention", convention=convention)
    assert scores.keys() == recorded.keys()
    for key, value in recorded.items():
        expected = math.nan if value is None else value
        approximately = pytest.approx(expected, rel=tolerance(convention, key), abs=1e-12, nan_ok=True)
        assert float(scores[key]) == approximately, key


def test_every_definition_of_a_convention_differs_from_the_default():
    """So that a convention that forgets one of its own definitions is noticed above."""
    differs = {}
    for convention, definitions in OTHER.items():
        for key in definitions:
            pairs = [(RECORDED[name][convention][key], RECORDED[name]["default"][key]) for name in TRIPLETS]
            differs[convention, key] = any(
                own != default and (own is None or abs(own - default) > 100 * tolerance(convention, key) * abs(default))
                for own, default in pairs
            )
    assert sorted(name for name, found in differs.items() if not found) == sorted(SAME_ON_WHOLE_LEVELS)


def test_every_own_definition_of_a_convention_has_a_literal_one():
    own = {(name, key) for name, rules in CONVENTIONS.items() for key, variant in rules.variants.items() if variant}
    assert own == {(name, key) for name, definitions in OTHER.items() for key in definitions}
    assert CONVENTIONS["default"].variants.keys() == METRICS.keys()
