"""Two cameras fused while they run: the latest frames, as few milliseconds after they came as can be."""
