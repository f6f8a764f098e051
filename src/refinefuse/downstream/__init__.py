"""Downstream evaluation: networks retrained on the fused images of each method and compared."""
