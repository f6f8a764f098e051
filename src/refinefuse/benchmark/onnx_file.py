"""Run a fusion network in an ONNX file as a method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refinefuse.benchmark.classical import Luma, Rule
from refinefuse.errors import InputError
from refinefuse.inference.onnx_session import onnx_session, run_onnx


def open_onnx(path: Path) -> Rule:
    """Open a network with the inputs `a` and `b`, in this order, and the fused image as its first output.

    All are float32 (1, 1, h, w) in [0, 1]; for three-channel inputs the luma is repeated, and three-channel outputs are
    averaged. Runs on one CPU thread.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        InputError: the file cannot be opened or does not have these inputs.
    """
    session = onnx_session(path, 1, "A method in an ONNX file")
    inputs = session.get_inputs()
    channels = [entry.shape[1] if len(entry.shape) == 4 else None for entry in inputs]
    if len(inputs) != 2 or any(c is None or c in (0, 2) or (isinstance(c, int) and c > 3) for c in channels):
        found = ", ".join(f"{entry.name} {entry.shape}" for entry in inputs)
        raise InputError(f"'{path}' must have two inputs (1, 1, h, w) or (1, 3, h, w).\n  got: {found}")

    def fuse(a: Luma, b: Luma) -> Luma:
        planes = [np.repeat(x[None, None], 3 if c == 3 else 1, 1) for x, c in zip((a, b), channels, strict=True)]
        feed = {entry.name: plane for entry, plane in zip(inputs, planes, strict=True)}
        fused: Luma = run_onnx(session, feed, path)[0][0].mean(0)
        return fused

    return fuse
