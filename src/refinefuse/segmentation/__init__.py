"""Semantic segmentation: ready-trained networks that say of every pixel what it shows, and how well they agree."""
