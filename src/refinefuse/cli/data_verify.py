"""`refinefuse data verify`."""

from __future__ import annotations

from pathlib import Path


def run(path: Path, *, b: Path | None = None, name: str | None = None, limit: int = 5) -> int:
    """Say what is missing, misnamed, of another size, unreadable, or shown by both training and test.

    Every image is read. Leaks are found by the content of the images, and by names where these identify the scene.
    Exits with 1 if something was found.

    Args:
        path: the folder of your datasets, or of one of the catalog; or the first of two folders of your own.
        b: the second folder of your own.
        name: look at this dataset of the catalog alone.
        limit: how many items are shown of each finding; 0 shows all.
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
