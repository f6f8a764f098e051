"""The config of a small experiment, and the names of its pairs."""

NAMES = [f"{index}D" if index % 2 else f"{index}N" for index in range(1, 7)]

CONFIG = """
title: A small experiment
methods:
  - {spec: laplacian, name: pyramid}
  - {spec: "folder:{data_root}/results/{dataset}/*"}
  - {spec: average}
  - {spec: copy-of-b}
  - {spec: copy-of-a}
datasets:
  - {name: Set, a: ir, b: vi}
metrics: [EN, SD, SF, edge_recall, noise_gain]
scenes: 1
"""
