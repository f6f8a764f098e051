"""Fuse two cameras live: always the latest frames, with as little latency as possible."""
