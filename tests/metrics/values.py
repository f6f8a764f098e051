"""Two triplets, and the file with the values of every metric by every convention, which `regenerate.py` writes."""

from pathlib import Path

from images import triplet
from medical_scene import medical

VALUES = Path(__file__).parent / "values.json"
TRIPLETS = {"street": lambda: triplet(165, 170), "medical": medical}
