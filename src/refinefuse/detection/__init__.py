"""Object detection on fused images: labels, detectors and their evaluation."""
