"""Benchmarks of fusion methods in one command: methods x datasets x metrics, with tables, figures and a report."""
