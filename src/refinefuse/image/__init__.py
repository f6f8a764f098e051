"""Image files, color and depth: lossless conversion between files and tensors in [0, 1]."""
