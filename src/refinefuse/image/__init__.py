"""Files, colour and depth: from a picture on disk to a tensor in [0, 1] and back, exactly."""
