"""Score files and folders of fused images, and print tables."""
