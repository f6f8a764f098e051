"""`refinefuse sample`: pairs to try the package with."""

from __future__ import annotations

import shlex
from pathlib import Path


def run(folder: Path, *, overwrite: bool = False) -> int:
    """Write rendered sample pairs to try the package with.

    A night street with headlight glare, a hot truck behind smoke, wooded hills at dusk in 16 bits (infrared in
    FOLDER/ir, visible in FOLDER/vi), and a slice through a head (FOLDER/ct, FOLDER/mri).

    Args:
        folder: Folder to write to; created if it does not exist.
        overwrite: Replace existing files.

    Returns:
        The exit code, 0.

    Raises:
        InputError: A file exists already, or the folder cannot be written to.
    """
    from refinefuse.samples import write_samples

    for path in write_samples(folder, overwrite=overwrite):
        print(path)
    infrared, visible, fused = (shlex.quote(str(folder / name)) for name in ("ir", "vi", "fused"))
    print(f"\nFuse them with:\n  refinefuse fuse {infrared} {visible} -o {fused}")
    return 0
