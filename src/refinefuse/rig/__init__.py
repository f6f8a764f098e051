"""Two cameras on one mount: calibrate them once from ordinary scenes, apply that everywhere, and check that it holds."""
