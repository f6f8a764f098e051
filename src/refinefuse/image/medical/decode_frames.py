"""Decode compressed DICOM frames in a separate process, run as a script.

JPEG and JPEG 2000 decoders crash on some damaged files. Here that only ends this process, and its parent reports the
file. Requests are lines of JSON on standard input ({"path", "bytes"}); the response is a line of JSON ({"shape",
"dtype"} or {"error"}), followed by the pixels.

Arguments: the module search path of the parent, as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

_SPARE = 512 * 2**20  # bytes for decoding, in addition to the pixels


def _limit_memory(pixels: int) -> None:
    """Limit memory growth to a few times the size of the decoded pixels, if the system supports it."""
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
    except BaseException as error:  # reported by the parent
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
