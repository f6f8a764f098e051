"""Shipped weights, and the location of weights files. This package handles files, not networks."""
