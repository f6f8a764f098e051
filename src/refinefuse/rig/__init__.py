"""Two cameras on one mount: calibrated once from ordinary scenes, applied everywhere, checked later."""
