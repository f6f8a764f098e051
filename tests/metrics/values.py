"""Two triplets, and where the values of every metric by every convention are recorded: `regenerate.py` computes them."""

from pathlib import Path

from medical_scene import medical
from images import triplet

VALUES = Path(__file__).parent / "values.json"
TRIPLETS = {"street": lambda: triplet(165, 170), "medical": medical}
