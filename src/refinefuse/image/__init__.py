"""Files, color and depth: from an image on disk to a tensor in [0, 1] and back, exactly."""
