"""Fuse two cameras live: always the latest frames, with minimum latency."""
