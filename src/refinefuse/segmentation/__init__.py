"""Semantic segmentation with pretrained networks, and its evaluation."""
