"""Detection on fused images: labels, detectors, and how well the boxes of one agree with the other."""
