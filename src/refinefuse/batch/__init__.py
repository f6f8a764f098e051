"""Fuse many pairs on a Ray cluster: find the pairs, fuse them in workers, store the results, resume."""
