"""The plan of a small experiment, and the names of its pairs."""

NAMES = [f"{index}D" if index % 2 else f"{index}N" for index in range(1, 7)]

PLAN = """
title: A small experiment
methods:
  - {source: laplacian, name: pyramid}
  - {source: "folder:{data}/results/{set}/*"}
  - {source: average}
  - {source: copy-of-b}
  - {source: copy-of-a}
sets:
  - {name: Set, a: ir, b: vi}
metrics: [EN, SD, SF, kept, noise]
scenes: 1
"""
