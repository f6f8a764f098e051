"""Lets the tests import what lies beside them, and the makers of series and clips."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
