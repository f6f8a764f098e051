"""Fusion of images in any format; the result has the format of the inputs."""
