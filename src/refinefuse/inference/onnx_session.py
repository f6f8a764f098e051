"""onnxruntime sessions, also for networks of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refinefuse.errors import InputError, optional

Feed = dict[str, np.ndarray]


def onnx_session(model: bytes | Path, threads: int, purpose: str, extra: str = "onnx") -> Any:
    """Open an onnxruntime session on the CPU.

    Args:
        model: an ONNX file, or its contents.
        threads: threads of the runtime.
        purpose: the feature that needs it, as the start of a sentence.
        extra: the package extra that installs onnxruntime.

    Raises:
        MissingDependencyError: if onnx or onnxruntime is not installed.
        InputError: if the model cannot be opened, or has a `Loop`, which may never end.
    """
    with optional(extra, purpose):
        import onnx
        import onnxruntime
    _check_bounded(model, onnx)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Spinning threads would compete with torch's threads, which pre- and post-process every image.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime exports no error class
        raise InputError(f"{_called(model)} cannot be loaded.\n  {error}") from None


def _called(model: bytes | Path) -> str:
    return f"The ONNX file '{model}'" if isinstance(model, Path) else "The ONNX model"


def _check_bounded(model: bytes | Path, onnx: Any) -> None:
    """Refuse `Loop`, the only operator with unbounded work, at any nesting depth."""
    try:
        content = onnx.load_from_string(model.read_bytes() if isinstance(model, Path) else model)
    except Exception as error:  # protobuf and file system errors have no common base class
        raise InputError(f"{_called(model)} cannot be loaded.\n  {error}") from None
    pending = [content.graph, *content.functions]
    while pending:
        for node in pending.pop().node:
            if node.op_type == "Loop":
                raise InputError(
                    f"{_called(model)} has a Loop ('{node.name}') whose number of iterations is not fixed.\n"
                    "Export the network with the loop unrolled."
                )
            for attribute in node.attribute:
                pending += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def run_onnx(session: Any, feed: Feed, path: Path) -> list[np.ndarray]:
    """Run a session and return all outputs.

    Raises:
        InputError: if the network fails; the message names the file.
    """
    try:
        found: list[np.ndarray] = session.run(None, feed)
    except Exception as error:  # as above
        raise InputError(
            f"Cannot run the network in the ONNX file '{path}'.\n  got: {error}\nExport it again."
        ) from None
    return found
