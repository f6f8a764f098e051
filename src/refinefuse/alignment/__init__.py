"""Bring one image of a pair onto the grid of the other, and say honestly whether it worked."""
