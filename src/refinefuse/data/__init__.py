"""Pairs: how files find their partners, and how training cuts and varies them."""
