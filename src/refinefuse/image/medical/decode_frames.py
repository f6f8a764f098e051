"""Decode the compressed frames of DICOM files in a process of its own, run as a script.

Decoders of JPEG and JPEG 2000 end the whole process on some damaged files. Here that ends this process alone, and its
parent reports the file. Requests come as lines of JSON on standard input ({"path", "bytes"}); the answer is a line of
JSON ({"shape", "dtype"} or {"error"}), followed by the pixels.

Arguments: the module search path of the parent, as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

_SPARE = 512 * 2**20  # bytes that decoding may take beside the pixels


def _limit_memory(pixels: int) -> None:
    """Let the process grow by a few times the size of the decoded pixels and no more, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return
    in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _SPARE + 4 * pixels, hard))


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    import numpy as np
    import pydicom

    try:
        dataset = pydicom.dcmread(request["path"], force=True)
        _limit_memory(int(request["bytes"]))
        pixels = np.ascontiguousarray(dataset.pixel_array)
    except BaseException as error:  # the parent has to answer for it
        return {"error": str(error) or type(error).__name__}, b""
    return {"shape": pixels.shape, "dtype": pixels.dtype.str}, pixels.tobytes()


def main() -> None:
    """Answer requests until standard input ends."""
    sys.path[:] = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        head, pixels = _answer(json.loads(line))
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + pixels)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
