"""Record anew what the shipped weights make of the pairs: `python tests/golden/regenerate.py`.

Run it after weights or the network have changed on purpose, look at the images, and commit both.
"""

import json

from golden import SCORES, WEIGHTS, fresh, fused_path, scores
from refinefuse import write_image

if __name__ == "__main__":
    for old in SCORES.parent.glob("fused-*.png"):
        old.unlink()
    table = {}
    for weights in WEIGHTS:
        fused = fresh(weights)
        write_image(fused_path(weights), fused)
        table[weights] = scores(fused, weights)
    SCORES.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
