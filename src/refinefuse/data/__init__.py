"""Pairs: how files are matched, and how training crops and augments them."""
