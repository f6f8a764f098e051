"""Videos: decoded, matched by time, fused and encoded at the same time."""
