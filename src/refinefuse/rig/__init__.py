"""Two cameras on one mount: calibrate once from ordinary scenes, reuse everywhere, check later."""
