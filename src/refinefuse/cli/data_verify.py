"""`refinefuse data verify`."""

from __future__ import annotations

from pathlib import Path


def run(path: Path, *, b: Path | None = None, name: str | None = None, limit: int = 5) -> int:
    """Find images that are missing, misnamed, of another size, unreadable, or in both training and test.

    Reads every image. Leaks are found by image content, and by name if the names identify the scene. The exit code is 1
    if anything is found.

    Args:
        path: Folder of your datasets, or of one dataset of the catalog; or the first of your own two folders.
        b: Second of your own two folders.
        name: Check only this dataset of the catalog.
        limit: Number of items to show per finding; 0 shows all.
    """
    from refinefuse.data.verify import verify_folders, verify_root
    from refinefuse.errors import format_names

    report = verify_root(path, name, progress=None) if b is None else verify_folders(path, b, progress=None)
    for split, count in report.pairs.items():
        print(f"{split}: {count} pairs" if split != "pairs" else f"{count} pairs")
    for finding in report.findings:
        print(f"\n{finding.kind}, {finding.where}: {finding.what}{f' ({len(finding.items)})' if finding.items else ''}")
        if finding.items:
            print(format_names(finding.items, limit or len(finding.items)))
    print("\nNothing is wrong." if not report.findings else f"\n{len(report.findings)} findings.")
    return 1 if report.findings else 0
