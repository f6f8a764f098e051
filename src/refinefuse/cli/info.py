"""`refinefuse info`."""

from __future__ import annotations

from refinefuse.cli.session import to_stderr

EXAMPLES = """\
  refinefuse info fused.png
  refinefuse info fused/*.png fused.mp4 fused.nii.gz
"""


def run(file: str, *more: str) -> int:
    """Show how a result was made: version, weights and their checksum, sources, range, transform.

    The exit code is 1 if a file has no such record.

    Args:
        file: Image, video, NIfTI file, DICOM file or folder of DICOM files.
        more: Further files.
    """
    from refinefuse.inference.provenance_files import read_provenance

    without = False
    for path in (file, *more):
        found = read_provenance(path)
        if found is None:
            without = True
            to_stderr(f"'{path}' has no record of how it was made.")
        else:
            print("\n".join([f"{path}", *(f"  {line}" for line in found.lines())]))
    return 1 if without else 0
