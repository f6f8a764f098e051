"""Export the networks of the browser page, and the pair that it shows first, with the package itself.

Each network becomes one ONNX graph that takes a region of the pair and the statistics of the whole pair, so that large
images can be fused tile by tile. `models.json` holds the numbers that tiling needs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime

from refinefuse.export import region_graph, to_onnx
from refinefuse.network.model import RefineFuse
from refinefuse.samples import write_samples
from refinefuse.weights.store import shipped

NETWORKS = {"infrared-visible-small": "Best quality", "infrared-visible-nano": "Fastest"}
"""Those of the page with their titles, as far as they ship; the first one is the default."""


def optimized(graph: bytes) -> bytes:
    """The graph as onnxruntime rewrites it before it runs: a browser that need not do this starts in half the time."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return Path(options.optimized_model_filepath).read_bytes()


def export(name: str, title: str, folder: Path) -> dict[str, Any]:
    """Write one network and return its entry in `models.json`."""
    model = RefineFuse.from_pretrained(name)
    (folder / f"{name}.onnx").write_bytes(optimized(region_graph(to_onnx(model)).SerializeToString()))
    config = model.config
    return {
        "name": name,
        "title": title,
        "file": f"{name}.onnx",
        "halo": model.halo,
        "stride": config.stride,
        "cells": config.context_size,
    }


def main() -> None:
    """Write everything into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the networks and the sample pairs")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    available = shipped()
    models = [export(name, title, folder) for name, title in NETWORKS.items() if name in available]
    (folder / "models.json").write_text(json.dumps(models, indent=1) + "\n")
    write_samples(folder / "samples", overwrite=True)


if __name__ == "__main__":
    main()
