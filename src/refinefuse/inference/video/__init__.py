"""Video fusion: decoding, matching by time, fusion and encoding run concurrently."""
