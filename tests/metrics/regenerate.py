"""Compute `values.json` anew by the literal formulas, in three minutes: `python tests/metrics/regenerate.py`.

The package plays no part in the values; only which metrics a convention has is asked of it.
"""

import json
import math
from functools import cache

from oracle_conventions import literal
from values import TRIPLETS, VALUES

from refinefuse.metrics import CONVENTIONS


@cache
def value(function, triplet):
    """A value, or None where it is no number or the images are too small."""
    try:
        found = float(function(*TRIPLETS[triplet]()))
    except ValueError:
        return None
    return None if math.isnan(found) else found


def by_convention(triplet):
    return {
        convention: {key: value(literal(convention, key), triplet) for key in rules.variants}
        for convention, rules in CONVENTIONS.items()
    }


if __name__ == "__main__":
    VALUES.write_text(json.dumps({name: by_convention(name) for name in TRIPLETS}, indent=1) + "\n", encoding="utf-8")
